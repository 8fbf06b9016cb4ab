#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What an ADD and a DEL cost: this plugin, Debian's plugins, and the floor.

Six take turns on namespaces of the same kind, in one run, so that whatever else the
machine does hits all of them: roost in mode bridge beside bridge + host-local, roost
in mode routed beside ptp + host-local, and for either the floor (cni_floor.c), a
process that asks the kernel for the same pair and does nothing else.  IPv4 and dual
stack, one after the other and 50 at a time.  A seventh does nothing at all: what it
takes to start a process is in every figure.

Columns: wall time from posix_spawn() to wait4(), median and 99th percentile; CPU time
of the process and all it started, mean; peak RSS of the largest; system calls,
programs and threads of one more call under strace.  The references' times depend on
the machine; so the ratios at the end are what counts.

All of it happens in network namespaces that only this process holds, and in a tmpfs of
its own mount namespace: however it ends, nothing is left.

usage: bench_cni.py [--rounds N] [--reference DIR] [--build DIR]
       BENCH_ROUNDS=N bench_cni.py
"""

import argparse
import ipaddress
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lab"))

from cniharness import Host, Namespace, find_plugin  # noqa: E402

IN_FLIGHT = 50
BURST = 100             # pods of a round with IN_FLIGHT of them at a time
SLOW_EVERY = 10         # dual-stack ptp takes two seconds: that many rounds, one of its
MANY_LEASES = 16000
STATUS_LEASES = 1000

FLOORS = {"roost, bridge": "floor, bridge", "roost, routed": "floor, routed"}
REFERENCES = {"roost, bridge": "bridge + host-local", "roost, routed": "ptp + host-local"}


def isolate():
    """Starts this program again in a network and a mount namespace of its own."""
    if os.geteuid() != 0:
        sys.exit(f"{sys.argv[0]} needs root: it makes network namespaces")
    if os.environ.get("ROOST_BENCH") != str(os.getpid()):
        os.environ["ROOST_BENCH"] = str(os.getpid())
        os.execvp("unshare", ["unshare", "--net", "--mount", sys.executable, *sys.argv])
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    tempfile.tempdir = "/run"


def describe_machine():
    with open("/proc/meminfo") as file:
        memory = int(re.search(r"MemTotal: *(\d+)", file.read()).group(1)) / (1 << 20)
    print(f"{os.cpu_count()} processors, {memory:.0f} GiB, Linux {os.uname().release}, "
          f"load {os.getloadavg()[0]:.1f}", flush=True)


class Runner:
    """cni_run in the host's namespace: starts plugins and measures them."""

    def __init__(self, build, host):
        with host.namespace.entered():
            self.process = subprocess.Popen([build + "/tests/bench/cni_run"], text=True,
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def run(self, command, containers, pods, binary, conf, in_flight):
        """(seconds for all of them, [(wall ms, CPU ms, RSS KiB)])"""
        lines = [f"{command} {container} {pod.path} {binary} {conf}\n"
                 for container, pod in zip(containers, pods)]
        self.process.stdin.write("".join(lines) + f"go {in_flight}\n")
        self.process.stdin.flush()
        seconds, samples = float(self.process.stdout.readline()) / 1e6, []
        for _ in lines:
            status, wall_us, cpu_us, rss_kib = self.process.stdout.readline().split()
            if status != "0":
                sys.exit(f"{binary}: {command} failed with status {status}")
            samples.append((float(wall_us) / 1000, float(cpu_us) / 1000, int(rss_kib)))
        return seconds, samples

    def close(self):
        self.process.stdin.close()
        self.process.wait()


# ---------------------------------------------------------------- who takes part

def subnets(families, number):
    return [f"10.{number}.1.0/24" if family == 4 else f"fd00:10:{number}:1::/64"
            for family in families]


def floor_of(build, host, kind):
    """The floor under the name that says which one it is to be."""
    path = os.path.join(host.folder, kind)
    if not os.path.exists(path):
        os.symlink(build + "/tests/bench/cni_floor", path)
    return path


def make_floor_bridge(host):
    for command in ("link add flr0 type bridge", "addr add 10.246.1.1/24 dev flr0",
                    "addr add fd00:10:246:1::1/64 dev flr0 nodad", "link set flr0 up"):
        host.namespace.run("ip", *command.split())


def reference_conf(host, kind, families, number):
    routes = [{"dst": "0.0.0.0/0" if family == 4 else "::/0"} for family in families]
    return {"cniVersion": "1.0.0", "name": "reference-" + kind, "type": kind,
            "ipam": {"type": "host-local", "routes": routes,
                     "ranges": [[{"subnet": s}] for s in subnets(families, number)],
                     "dataDir": host.folder + "/host-local"}}


def contenders(host, families, arguments):
    """{name: (binary, configuration file)}, each with addresses of its own."""
    ends = "".join(map(str, families))
    confs = {
        "roost, bridge": (host.plugin, host.conf(subnets=subnets(families, 244))),
        "bridge + host-local": (arguments.reference + "/bridge", {
            **reference_conf(host, "bridge", families, 245), "bridge": "ref0",
            "isGateway": True}),
        "floor, bridge": (floor_of(arguments.build, host, "bridge-" + ends), {}),
        "roost, routed": (host.plugin, host.conf(subnets=subnets(families, 243), name="routed",
                                                 mode="routed")),
        "ptp + host-local": (arguments.reference + "/ptp",
                             reference_conf(host, "ptp", families, 242)),
        "floor, routed": (floor_of(arguments.build, host, "routed-" + ends), {}),
        "an empty process": (floor_of(arguments.build, host, "nothing"), {}),
    }
    files = {}
    for name, (binary, conf) in confs.items():
        path = os.path.join(host.folder, re.sub(r"\W+", "-", name) + ".json")
        with open(path, "w") as file:
            json.dump(conf, file)
        files[name] = (binary, path)
    return files


# ---------------------------------------------------------------- measuring

class Samples:
    """What was seen of one contender's ADDs or DELs."""

    def __init__(self):
        self.rows, self.seconds = [], 0
        self.calls = self.programs = self.threads = None

    def add(self, seconds, rows):
        self.seconds += seconds
        self.rows += rows

    def column(self, number):
        return [row[number] for row in self.rows]

    @property
    def median(self):
        return statistics.median(self.column(0))

    @property
    def p99(self):
        return percentile(self.column(0), 99)

    @property
    def cpu(self):
        return statistics.mean(self.column(1))

    @property
    def rss(self):
        return max(self.column(2)) / 1024

    @property
    def per_second(self):
        return len(self.rows) / self.seconds


def percentile(values, percent):
    values = sorted(values)
    return values[min(len(values) - 1, len(values) * percent // 100)]


def measure(runner, pods, files, rounds, in_flight, slow=()):
    """{(command, name): Samples}; everybody has a turn in every round, and begins one
    now and then, but those that are slow have few."""
    samples = {(command, name): Samples() for command in ("ADD", "DEL") for name in files}
    names = list(files)
    number = 0
    for turn in range(rounds):
        names.append(names.pop(0))
        for name in names:
            if name in slow and turn % SLOW_EVERY:
                continue
            numbers = range(number, number + len(pods))
            number += len(pods)
            for command in ("ADD", "DEL"):
                samples[command, name].add(*runner.run(command, numbers, pods, *files[name],
                                                       in_flight))
    return samples


def trace(host, pod, binary, conf, command):
    """(system calls, programs, threads and processes) of one call, or None without strace."""
    path = host.folder + "/trace"
    env = {"CNI_COMMAND": command, "CNI_CONTAINERID": "4242", "CNI_NETNS": pod.path,
           "CNI_IFNAME": "eth0", "CNI_PATH": os.path.dirname(binary), "PATH": os.environ["PATH"]}
    with host.namespace.entered(), open(conf) as stdin:
        try:
            subprocess.run(["strace", "-f", "-qq", "-o", path, binary], env=env, check=True,
                           stdin=stdin, stdout=subprocess.DEVNULL)
        except FileNotFoundError:
            return None
    with open(path) as file:
        lines = file.readlines()
    return (sum("(" in line and "resumed>" not in line for line in lines),
            sum(re.search(r"execve(\(| resumed>).* = 0$", line) is not None for line in lines),
            len({line.split()[0] for line in lines}))


def count_calls(host, pod, files, samples):
    for name, (binary, conf) in files.items():
        for command in ("ADD", "DEL"):
            found = trace(host, pod, binary, conf, command)
            if found:
                one = samples[command, name]
                one.calls, one.programs, one.threads = found


# ---------------------------------------------------------------- printing

def table(head, rows):
    """A table that Markdown reads, too."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    for row in lines:
        cells = [cell.ljust(width) if i == 0 else cell.rjust(width)
                 for i, (cell, width) in enumerate(zip(row, widths))]
        print("| " + " | ".join(cells) + " |")
    print(flush=True)


def show(title, samples, in_flight):
    print(f"\n## {title}\n")
    for command in ("ADD", "DEL"):
        rows = []
        for (which, name), one in samples.items():
            if which != command:
                continue
            row = [name, str(len(one.rows)), f"{one.median:.2f}", f"{one.p99:.2f}",
                   f"{one.cpu:.2f}", f"{one.rss:.1f}"]
            if in_flight > 1:
                row.append(f"{one.per_second:.0f}")
            elif one.calls:
                row += [str(one.calls), str(one.programs), str(one.threads)]
            rows.append(row)
        more = ["per second"] if in_flight > 1 else ["calls", "programs", "threads"]
        head = [command, "n", "median ms", "p99 ms", "CPU ms", "RSS MiB", *more]
        table(head[:len(rows[0])], rows)


class Aims:
    """What was aimed at and what is, in columns: one for each mode and family."""

    def __init__(self, columns):
        self.columns = columns
        self.rows = {}

    def at_most(self, what, column, value, aim, unit=""):
        self.note(f"{what}: at most {aim}{unit}", column, value, value <= aim)

    def at_least(self, what, column, value, aim, unit=""):
        self.note(f"{what}: at least {aim}{unit}", column, value, value >= aim)

    def note(self, what, column, value, met=True):
        cell = f"{value:.{0 if isinstance(value, int) else 2 if value < 10 else 1}f}"
        row = self.rows.setdefault(what, [""] * len(self.columns))
        row[self.columns.index(column)] = cell if met else cell + " MISSED"

    def compare(self, families, samples, in_flight):
        for name, floor in FLOORS.items():
            column = f"{name.split()[1]}, {families}"
            ours, theirs = samples["ADD", name], samples["ADD", REFERENCES[name]]
            least = samples["ADD", floor]
            self.at_most("ADD, times the floor's", column, ours.median / least.median, 1.5)
            faster = theirs.median / ours.median
            if in_flight > 1:
                self.at_least("ADD, times faster than the reference", column, faster, 8)
            elif "ptp" in REFERENCES[name] and "IPv6" in families:
                self.at_least("ADD, times faster than dual-stack ptp", column, faster, 100)
            else:
                self.at_least("ADD, times faster than the reference", column, faster, 6)
            self.note("(the floor's ADD is so many times faster)", column,
                      theirs.median / least.median)
            self.at_least("ADD, times less CPU than the reference", column,
                          theirs.cpu / ours.cpu, 10)
            self.note("(the floor's ADD takes so many times less CPU)", column,
                      theirs.cpu / least.cpu)
            self.at_most("DEL, times the floor's", column,
                         samples["DEL", name].median / samples["DEL", floor].median, 1.2)
            self.at_most("peak RSS", column, max(ours.rss, samples["DEL", name].rss), 2, " MiB")
            if ours.calls:
                self.at_most("ADD, system calls", column, ours.calls, 80)

    def show(self, title):
        print(f"\n## Aims: {title}\n")
        table(["", *self.columns], [[what, *cells] for what, cells in self.rows.items()])


# ---------------------------------------------------------------- the runs

def bench(families, in_flight, rounds, arguments, aims):
    names = " and ".join(f"IPv{family}" for family in families)
    with Host(find_plugin()) as host:
        make_floor_bridge(host)
        files = contenders(host, families, arguments)
        runner = Runner(arguments.build, host)
        slow = ["ptp + host-local"] if 6 in families and in_flight == 1 else []
        pods = [Namespace() for _ in range(1 if in_flight == 1 else BURST)]
        try:
            # The first pod on a node makes the bridge; that is not what is measured.
            measure(runner, pods[:1], files, 1, 1)
            samples = measure(runner, pods, files, rounds, in_flight, slow)
            if in_flight == 1:
                count_calls(host, pods[0], files, samples)
        finally:
            runner.close()
            for pod in pods:
                pod.close()
    show(f"{names}, {in_flight} at a time", samples, in_flight)
    aims.compare(names, samples, in_flight)


def import_folder(host, name, subnet, count):
    """A folder of host-local that is taken over with the first look at a new store."""
    path = os.path.join(host.folder, "import-" + name)
    os.mkdir(path)
    first = int(ipaddress.ip_network(subnet).network_address) + 2
    for i in range(count):
        with open(f"{path}/{ipaddress.ip_address(first + i)}", "w") as file:
            file.write(f"imported{i}\r\neth0")
    return path


def bench_leases(rounds, arguments):
    """ADD and STATUS with few and with many leases in the store."""
    with Host(find_plugin()) as host:
        runner, pod, files = Runner(arguments.build, host), Namespace(), {}
        for number, count in enumerate((0, STATUS_LEASES, MANY_LEASES)):
            subnet = f"10.{240 + number}.0.0/17"
            ipam = {"importDir": import_folder(host, str(count), subnet, count)}
            path = os.path.join(host.folder, f"{count}.json")
            with open(path, "w") as file:
                json.dump(host.conf(subnets=[subnet], ipam=ipam, name=f"n{count}",
                                    bridge=f"br{number}"), file)
            files[count] = (host.plugin, path)
        seen = {(command, count): Samples() for command in ("ADD", "DEL", "STATUS")
                for count in files}
        try:
            for turn in range(-1, rounds):
                for count, file in files.items():
                    for command in ("ADD", "STATUS", "DEL"):
                        sample = runner.run(command, [f"c{turn}"], [pod], *file, 1)
                        if turn >= 0:       # the first makes the store and the bridge
                            seen[command, count].add(*sample)
            held = {count: len(host.held(f"n{count}")) for count in files}
        finally:
            runner.close()
            pod.close()
    assert all(held[count] == count for count in files), held
    print("\n## Leases in the store\n")
    table(["", "leases", "n", "median ms", "p99 ms", "CPU ms", "RSS MiB"],
          [[command, str(count), str(len(one.rows)), f"{one.median:.2f}", f"{one.p99:.2f}",
            f"{one.cpu:.2f}", f"{one.rss:.1f}"] for (command, count), one in seen.items()])
    aims = Aims([""])
    aims.at_most(f"STATUS with {STATUS_LEASES} leases", "", seen["STATUS", STATUS_LEASES].median,
                 2, " ms")
    aims.at_most(f"ADD with {MANY_LEASES} leases, more than with none", "",
                 seen["ADD", MANY_LEASES].median - seen["ADD", 0].median, 1, " ms")
    aims.show("leases")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=int(os.environ.get("BENCH_ROUNDS", "100")),
                        help="sequential ADDs of each plugin")
    parser.add_argument("--reference", default="/usr/lib/cni",
                        help="folder of bridge, ptp and host-local")
    parser.add_argument("--build", default=os.environ.get("ROOST_BUILDDIR", "."))
    arguments = parser.parse_args()
    isolate()
    arguments.build = os.path.abspath(arguments.build)
    os.environ.setdefault("ROOST_BUILDDIR", arguments.build)
    describe_machine()
    columns = [f"{mode}, {families}" for families in ("IPv4", "IPv4 and IPv6")
               for mode in ("bridge", "routed")]
    few = max(1, arguments.rounds // 20)
    for in_flight, rounds in (1, arguments.rounds), (IN_FLIGHT, few):
        aims = Aims(columns)
        for families in [4], [4, 6]:
            bench(families, in_flight, rounds, arguments, aims)
        aims.show(f"{in_flight} at a time")
    bench_leases(arguments.rounds, arguments)


if __name__ == "__main__":
    main()
