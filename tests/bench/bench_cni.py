#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What an ADD and a DEL cost: this plugin, Debian's bridge + host-local, and the floor.

The floor (cni_floor.c) is a process that asks the kernel for the same pair and does
nothing else.  All three take turns on namespaces of the same kind, in one run, so
that whatever else the machine does hits all of them.  Columns: wall time of the
process (median, 99th percentile), CPU time of it and all it started (mean), peak
RSS of the largest; in brackets how many times as much as Roost.

usage: bench_cni.py [--rounds N] [--reference DIR] [--build DIR]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lab"))

from cniharness import Host, Namespace, find_plugin  # noqa: E402

IPV4 = "10.244.1.0/24"
IPV6 = "fd00:10:244:1::/64"
IN_FLIGHT = 50


class Runner:
    """cni_run in the host's namespace: starts plugins and measures them."""

    def __init__(self, program, host):
        with host.namespace.entered():
            self.process = subprocess.Popen([program], stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, text=True)

    def send(self, command, container, pod, binary, conf):
        print(command, container, pod.path, binary, conf, file=self.process.stdin, flush=True)

    def receive(self):
        status, wall_us, cpu_us, rss_kib = self.process.stdout.readline().split()
        return int(status), float(wall_us) / 1000, float(cpu_us) / 1000, int(rss_kib)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def configurations(host, plugin, reference, floor, families):
    """{name: (binary, configuration file)}, each with bridge and addresses of its own."""
    ranges = [[{"subnet": s}] for s in families]
    other = [[{"subnet": s.replace("244", "245")}] for s in families]
    routes = [{"dst": "::/0" if ":" in s else "0.0.0.0/0"} for s in families]
    confs = {
        "roost": (plugin, host.conf("1.0.0", subnets=(), ipam={"ranges": ranges})),
        "bridge + host-local": (reference, {
            "cniVersion": "1.0.0", "name": "reference", "type": "bridge", "bridge": "ref0",
            "isGateway": True, "ipam": {"type": "host-local", "ranges": other, "routes": routes,
                                        "dataDir": host.folder + "/host-local"}}),
        "floor (IPv4)": (floor, {}),
    }
    files = {}
    for name, (binary, conf) in confs.items():
        path = os.path.join(host.folder, name.split()[0] + ".json")
        with open(path, "w") as file:
            json.dump(conf, file)
        files[name] = (binary, path)
    return files


def make_floor_bridge(host):
    for command in ("link add flr0 type bridge", "addr add 10.246.1.1/24 dev flr0",
                    "link set flr0 up"):
        host.namespace.run("ip", *command.split())


def measure(runners, pods, files, rounds):
    """{(name, command): [(wall, cpu, rss)]}; one plugin's round after the other's."""
    samples = {}
    number = 0
    for _ in range(rounds):
        for name, (binary, conf) in files.items():
            numbers = range(number, number + len(runners))
            number += len(runners)
            for command in ("ADD", "DEL"):
                for runner, pod, container in zip(runners, pods, numbers):
                    runner.send(command, container, pod, binary, conf)
                for runner in runners:
                    status, *sample = runner.receive()
                    if status != 0:
                        sys.exit(f"{name}: {command} failed with status {status}")
                    samples.setdefault((command, name), []).append(sample)
    return samples


def percentile(values, percent):
    values = sorted(values)
    return values[min(len(values) - 1, len(values) * percent // 100)]


def show(title, samples):
    print(f"\n{title}")
    print(f"  {'':4} {'':20} {'median ms':>16} {'p99 ms':>16} {'CPU ms':>16} {'RSS MiB':>9}")
    figures = {}
    for (command, name), rows in samples.items():
        walls, cpus, sizes = zip(*rows)
        figures[command, name] = (statistics.median(walls), percentile(walls, 99),
                                  statistics.mean(cpus), max(sizes) / 1024)
    for command in ("ADD", "DEL"):
        ours = figures[command, "roost"]
        for (which, name), row in figures.items():
            if which != command:
                continue
            cells = [f"{value:7.2f} ({value / our:5.1f}x)" for value, our in zip(row[:3], ours)]
            print(f"  {command:4} {name:20} {cells[0]:>16} {cells[1]:>16} {cells[2]:>16} "
                  f"{row[3]:9.1f}")


def system_calls(host, pod, binary, conf, command):
    """Counted by strace over the plugin and all it starts, or None without it."""
    trace = host.folder + "/trace"
    env = {"CNI_COMMAND": command, "CNI_CONTAINERID": "4242", "CNI_NETNS": pod.path,
           "CNI_IFNAME": "eth0", "CNI_PATH": os.path.dirname(binary), "PATH": os.environ["PATH"]}
    with host.namespace.entered(), open(conf) as stdin:
        try:
            subprocess.run(["strace", "-f", "-qq", "-o", trace, binary], env=env, check=True,
                           stdin=stdin, stdout=subprocess.DEVNULL)
        except FileNotFoundError:
            return None
    with open(trace) as file:
        return sum("(" in line and "resumed>" not in line for line in file)


def bench(title, families, in_flight, rounds, arguments):
    with Host(find_plugin()) as host:
        make_floor_bridge(host)
        files = configurations(host, host.plugin, arguments.reference + "/bridge",
                               arguments.build + "/tests/bench/cni_floor", families)
        runners = [Runner(arguments.build + "/tests/bench/cni_run", host) for _ in range(in_flight)]
        pods = [Namespace() for _ in range(in_flight)]
        try:
            # The first pod on a node makes the bridge; that is not what is measured.
            measure(runners[:1], pods[:1], files, 2)
            show(title, measure(runners, pods, files, rounds))
            if in_flight == 1:
                print("  system calls (ADD, DEL):", ", ".join(
                    f"{name} {[system_calls(host, pods[0], *file, c) for c in ('ADD', 'DEL')]}"
                    for name, file in files.items()))
        finally:
            for runner in runners:
                runner.close()
            for pod in pods:
                pod.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=100, help="sequential ADDs of each plugin")
    parser.add_argument("--reference", default="/usr/lib/cni",
                        help="folder of bridge and host-local")
    parser.add_argument("--build", default=os.environ.get("ROOST_BUILDDIR", "."))
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("bench_cni.py needs root: it makes network namespaces")
    arguments.build = os.path.abspath(arguments.build)
    os.environ.setdefault("ROOST_BUILDDIR", arguments.build)
    print(f"{os.cpu_count()} processors, Linux {os.uname().release}, load {os.getloadavg()[0]:.1f}")
    few = max(1, arguments.rounds // 25)
    bench("one after the other, IPv4", [IPV4], 1, arguments.rounds, arguments)
    bench("one after the other, IPv4 and IPv6", [IPV4, IPV6], 1, arguments.rounds, arguments)
    bench(f"{IN_FLIGHT} at a time, IPv4", [IPV4], IN_FLIGHT, few, arguments)
    bench(f"{IN_FLIGHT} at a time, IPv4 and IPv6", [IPV4, IPV6], IN_FLIGHT, few, arguments)


if __name__ == "__main__":
    main()
