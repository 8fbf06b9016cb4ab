#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Many ADDs and DELs: what is left behind, and whether they get slower.

Some pods stay all the time, the others come and go, several at a time, until every
address has been used many times over.  After each period it counts what must be the
same as at the beginning (leases held, bytes of the store, links, routes of all tables,
neighbours) and what must not grow (open files of the machine, kernel memory), and
prints it with the period's latencies.  Exit status 1: something leaked, or the last
quarter was slower than the first by half and more.

usage: soak_cni.py [--cycles N] [--in-flight N] [--build DIR]
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

from bench_cni import Runner, percentile  # noqa: E402
from cniharness import Host, Namespace, find_plugin  # noqa: E402

PERIODS = 20
RESIDENTS = 20
COUNTED = ("leases", "store", "links", "routes", "neighbours")


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
            "neighbours": len(neighbours), "files": files,
            "kernel": int(memory["SUnreclaim"].split()[0]) / 1024}


def cycle(runners, pods, plugin, conf, number, walls):
    """A pod of each runner comes and goes."""
    for command in ("ADD", "DEL"):
        for i, (runner, pod) in enumerate(zip(runners, pods)):
            runner.send(command, f"pod{number + i}", pod, plugin, conf)
        for runner in runners:
            status, wall, *_ = runner.receive()
            if status != 0:
                sys.exit(f"{command} failed with status {status} after {number} cycles")
            walls[command].append(wall)


def show(number, seconds, walls, have):
    figures = [f"{statistics.median(walls[c]):7.2f} {percentile(walls[c], 99):7.2f}"
               for c in ("ADD", "DEL")]
    print(f"{number:8} {seconds:7.0f} {figures[0]} {figures[1]} {have['leases']:7} "
          f"{have['store']:7} {have['links']:6} {have['routes']:7} {have['neighbours']:7} "
          f"{have['files']:7} {have['kernel']:8.1f}", flush=True)


def soak(host, runners, pods, arguments):
    """[(what is left, latencies)] of each period."""
    conf = os.path.join(host.folder, "conf.json")
    with open(conf, "w") as file:
        json.dump(host.conf(), file)
    for i in range(RESIDENTS):
        host.add(f"resident{i}")
    # All addresses used once, so that the store has its size.
    number, begin, rows = 0, time.monotonic(), []
    while number < 260:
        cycle(runners, pods, host.plugin, conf, number, {"ADD": [], "DEL": []})
        number += len(runners)
    print(f"{'cycles':>8} {'s':>7} {'ADD ms':>7} {'p99':>7} {'DEL ms':>7} {'p99':>7} "
          f"{'leases':>7} {'bytes':>7} {'links':>6} {'routes':>7} {'neigh.':>7} {'files':>7} "
          f"{'kernel MiB':>10}")
    for period in range(1, PERIODS + 1):
        walls = {"ADD": [], "DEL": []}
        while number < 260 + arguments.cycles * period // PERIODS:
            cycle(runners, pods, host.plugin, conf, number, walls)
            number += len(runners)
        rows.append((count(host), walls))
        show(number, time.monotonic() - begin, walls, rows[-1][0])
    return rows


def judge(rows):
    """What is wrong, as sentences."""
    first, last = rows[0][0], rows[-1][0]
    wrong = [f"{name}: {first[name]} at first, {last[name]} at last"
             for name in COUNTED if first[name] != last[name]]
    quarter = len(rows) // 4
    for command in ("ADD", "DEL"):
        early, late = (statistics.median(wall for _, walls in part for wall in walls[command])
                       for part in (rows[:quarter], rows[-quarter:]))
        print(f"{command}: median of the first quarter {early:.2f} ms, of the last {late:.2f} ms")
        if late > 1.5 * early:
            wrong.append(f"{command} became slower")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cycles", type=int, default=100000)
    parser.add_argument("--in-flight", type=int, default=8)
    parser.add_argument("--build", default=os.environ.get("ROOST_BUILDDIR", "."))
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("soak_cni.py needs root: it makes network namespaces")
    os.environ.setdefault("ROOST_BUILDDIR", os.path.abspath(arguments.build))
    print(f"{os.cpu_count()} processors, Linux {os.uname().release}, load {os.getloadavg()[0]:.1f}")
    with Host(find_plugin()) as host:
        program = os.path.abspath(arguments.build) + "/tests/bench/cni_run"
        runners = [Runner(program, host) for _ in range(arguments.in_flight)]
        pods = [Namespace() for _ in runners]
        try:
            wrong = judge(soak(host, runners, pods, arguments))
        finally:
            for runner in runners:
                runner.close()
            for pod in pods:
                pod.close()
    sys.exit("\n".join(wrong) or 0)


if __name__ == "__main__":
    main()
