#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Many ADDs and DELs: what is left behind, and whether they get slower.

Some pods stay all the time, the others come and go, several at a time, until every
address has been used many times over.  After each period it counts what must be the
same as at the beginning (leases held, bytes of the store, links, routes of all tables,
neighbours, processes and netlink sockets in the node's namespace) and what must not
grow (open files of the machine, kernel memory), and prints it with the period's
latencies.  Now and then the floor has a turn (cni_floor.c), so that a machine that
became slower is told apart from a plugin that did.  Exit status 1: something leaked,
or the last tenth was slower than the first, as a multiple of the floor, by half and
more.

usage: soak_cni.py [--cycles N] [--in-flight N] [--mode MODE] [--build DIR]
"""

import argparse
import json
import os
import statistics
import sys
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, "..", "lab"))

from bench_cni import (Runner, describe_machine, floor_of, isolate,  # noqa: E402
                       make_floor_bridge, percentile)
from cniharness import Host, Namespace, find_plugin  # noqa: E402

PERIODS = 20
RESIDENTS = 20
FLOOR_EVERY = 20        # that many rounds of ours, then one of the floor
COUNTED = ("leases", "store", "links", "routes", "neighbours", "processes", "sockets")


def processes_in(namespace):
    """How many processes live in a network namespace."""
    own, found = os.fstat(namespace.fd).st_ino, 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            found += os.stat(f"/proc/{pid}/ns/net").st_ino == own
        except OSError:
            pass        # it ended meanwhile
    return found


def netlink_sockets(namespace):
    with namespace.entered(), open("/proc/thread-self/net/netlink") as file:
        return len(file.readlines())


def count(host):
    """What has to be the same whenever only the residents are there."""
    with open("/proc/sys/fs/file-nr") as file:
        files = int(file.read().split()[0])
    with open("/proc/meminfo") as file:
        memory = dict(line.split(":") for line in file)
    routes = sum(len(host.namespace.ip(family, "route", "show", "table", "all"))
                 for family in ("-4", "-6"))
    neighbours = [n for n in host.namespace.ip("neigh", "show") if "lladdr" in n]
    return {"leases": len(host.held()), "links": len(host.namespace.links()), "routes": routes,
            "store": os.path.getsize(f"{host.data_dir}/pods/leases"),
            "neighbours": len(neighbours), "processes": processes_in(host.namespace),
            "sockets": netlink_sockets(host.namespace), "files": files,
            "kernel": int(memory["SUnreclaim"].split()[0]) / 1024}


def cycle(runner, pods, plugin, conf, number, walls):
    """All the pods come and go."""
    containers = [str(number + i) for i in range(len(pods))]
    for command in ("ADD", "DEL"):
        _, samples = runner.run(command, containers, pods, plugin, conf, len(pods))
        walls[command] += [wall for wall, *_ in samples]


def show(number, seconds, walls, have):
    figures = [f"{statistics.median(walls[c]):7.2f} {percentile(walls[c], 99):7.2f}"
               for c in ("ADD", "DEL")]
    print(f"{number:8} {seconds:7.0f} {figures[0]} {figures[1]} {have['leases']:7} "
          f"{have['store']:7} {have['links']:6} {have['routes']:7} {have['neighbours']:7} "
          f"{have['processes']:6} {have['sockets']:8} {have['files']:7} {have['kernel']:8.1f}",
          flush=True)


def soak(host, runner, pods, arguments):
    """[(what is left, our latencies, the floor's)] of each period."""
    conf = os.path.join(host.folder, "conf.json")
    with open(conf, "w") as file:
        json.dump(host.conf(), file)
    for i in range(RESIDENTS):
        host.add(f"resident{i}")
    make_floor_bridge(host)
    floor = floor_of(arguments.build, host, f"{arguments.mode}-46")
    # All addresses used once, so that the store has its size.
    number, begin, rows = 0, time.monotonic(), []
    while number < 260:
        cycle(runner, pods, host.plugin, conf, number, {"ADD": [], "DEL": []})
        number += len(pods)
    print(f"{'cycles':>8} {'s':>7} {'ADD ms':>7} {'p99':>7} {'DEL ms':>7} {'p99':>7} "
          f"{'leases':>7} {'bytes':>7} {'links':>6} {'routes':>7} {'neigh.':>7} {'procs':>6} "
          f"{'sockets':>8} {'files':>7} {'kernel MiB':>10}")
    for period in range(1, PERIODS + 1):
        walls, floors = {"ADD": [], "DEL": []}, {"ADD": [], "DEL": []}
        turn = 0
        while number < 260 + arguments.cycles * period // PERIODS:
            cycle(runner, pods, host.plugin, conf, number, walls)
            number += len(pods)
            turn += 1
            if turn % FLOOR_EVERY == 1:
                cycle(runner, pods, floor, conf, number, floors)
        rows.append((count(host), walls, floors))
        show(number, time.monotonic() - begin, walls, rows[-1][0])
    return rows


def median_of(rows, which, command):
    return statistics.median(wall for row in rows for wall in row[which][command])


def judge(rows):
    """What is wrong, as sentences."""
    first, last = rows[0][0], rows[-1][0]
    wrong = [f"{name}: {first[name]} at first, {last[name]} at last"
             for name in COUNTED if first[name] != last[name]]
    tenth = len(rows) // 10
    for command in ("ADD", "DEL"):
        parts = rows[:tenth], rows[-tenth:]
        ours = [median_of(part, 1, command) for part in parts]
        floor = [median_of(part, 2, command) for part in parts]
        print(f"{command}: median of the first tenth {ours[0]:.2f} ms (the floor "
              f"{floor[0]:.2f}), of the last {ours[1]:.2f} ms (the floor {floor[1]:.2f})")
        if ours[1] / floor[1] > 1.5 * ours[0] / floor[0]:
            wrong.append(f"{command} became slower")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cycles", type=int, default=100000)
    parser.add_argument("--in-flight", type=int, default=8)
    parser.add_argument("--mode", default="bridge", choices=("bridge", "routed"))
    parser.add_argument("--build", default=os.environ.get("ROOST_BUILDDIR", "."))
    arguments = parser.parse_args()
    isolate()
    arguments.build = os.path.abspath(arguments.build)
    os.environ.setdefault("ROOST_BUILDDIR", arguments.build)
    describe_machine()
    with Host(find_plugin()) as host:
        host.mode = arguments.mode
        runner = Runner(arguments.build, host)
        pods = [Namespace() for _ in range(arguments.in_flight)]
        try:
            wrong = judge(soak(host, runner, pods, arguments))
        finally:
            runner.close()
            for pod in pods:
                pod.close()
    sys.exit("\n".join(wrong) or 0)


if __name__ == "__main__":
    main()
