#!/usr/bin/python3
"""A reflector with 300 clients: how long until all sessions are up and all routes are in
its kernel, what that takes, and what `roostctl` then takes to look at it.

The reflector is a node with roostd and BIRD.  A client is a BIRD of its own with one
session and no roostd; they share one namespace, each with an address of its own.
Of what they are told they use nothing, for the next hops are their own addresses.
"""

import contextlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "contrib", "lab"))
sys.path.insert(0, os.path.join(HERE, "..", "lab"))

from cluster import cpu_s, loads, memory_mb, running_id, status, table, wait_healthy  # noqa: E402
from roostlab import Lab, netns, wait_until  # noqa: E402
from roostlab.base import netns_name, write_file  # noqa: E402

CLIENTS = int(os.environ.get("BENCH_CLIENTS", "300"))
REFLECTOR = "172.30.0.1"

CLIENT = """\
log "{folder}/{n}.log" all;
router id {address};
protocol device {{}}
protocol static {{ ipv4; route {pods} unreachable; }}
protocol bgp reflector {{
	local {address} as 64512;
	neighbor {reflector} as 64512;
	strict bind on;
	direct;
	connect delay time 1;
	connect retry time 5;
	error wait time 1, 30;
	graceful restart on;
	ipv4 {{
		import all;
		export all;
		next hop self;
	}};
}}
"""


def address(n):
    return f"172.30.{1 + n // 250}.{1 + n % 250}"


def pods(n):
    return f"10.{244 + (n + 1) // 256}.{(n + 1) % 256}.0/24"


def config(clients):
    return ("cluster: {name: lab, asNumber: 64512, podCIDRs: [10.244.0.0/14], topology: reflector}\n"
            "nodes:\n"
            f"- {{name: node1, addresses: [{REFLECTOR}], podCIDRs: [10.244.0.0/24], reflector: true}}\n"
            + "".join(f"- {{name: client{n}, addresses: [{address(n)}], podCIDRs: [{pods(n)}]}}\n"
                      for n in range(clients)))


class Clients:
    """Starts them, and ends each by its own PID."""

    def __init__(self, namespace, folder):
        self.namespace, self.folder = namespace, folder
        self.processes = []
        for n in range(CLIENTS):
            write_file(f"{folder}/{n}.conf", CLIENT.format(
                folder=folder, n=n, address=address(n), pods=pods(n), reflector=REFLECTOR))

    def start(self):
        for n in range(CLIENTS):
            path = f"{self.folder}/{n}"
            self.processes.append(subprocess.Popen(
                netns.inside(self.namespace, ["bird", "-f", "-c", f"{path}.conf", "-s",
                                              f"{path}.ctl", "-P", f"{path}.pid"]),
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def kill(self):
        for process in self.processes:
            process.send_signal(signal.SIGKILL)
        for process in self.processes:
            process.wait()
        self.processes = []


def up(node):
    return node.birdc("show protocols", check=False).count("Established")


def in_kernel(node):
    return sum(route["dst"].startswith("10.") and route.get("gateway", "").startswith("172.30.")
               for route in node.routes())


def roostctl_s(node, *words):
    took = []
    for _ in range(10):
        began = time.monotonic()
        node.roostctl(*words)
        took.append(time.monotonic() - began)
    return statistics.median(took)


def wait_all(node, began):
    """{what: seconds since `began` when it was seen}"""
    seen = {}
    wait_until(lambda: up(node) == CLIENTS, 120, lambda: f"{up(node)} sessions are up", 0.1)
    seen["sessions up"] = time.monotonic() - began
    wait_until(lambda: in_kernel(node) == CLIENTS, 120, lambda: f"{in_kernel(node)} in the kernel", 0.1)
    seen["routes in its kernel"] = time.monotonic() - began
    # Its own podCIDR and those of all clients but the one it speaks to.
    wait_until(lambda: all(row["routesOut"] == CLIENTS for row in table(node, "peers")), 120,
               "every client was told all podCIDRs", 0.2)
    seen["every client told all podCIDRs"] = time.monotonic() - began
    return seen


def bring_up(lab, clients):
    node = lab.node("node1")
    netns.ip(node.netns, f"addr add {REFLECTOR}/16 dev eth0")
    before = loads(node)
    began = time.monotonic()
    node.write_config(config(CLIENTS))
    wait_until(lambda: loads(node) > before and len(node.sessions()) == CLIENTS
               and not status(node)["configuration"]["applying"], 60, "the file is applied")
    print(f"a file with {CLIENTS + 1} nodes: applied after {time.monotonic() - began:.2f} s")
    pids = {service: node.host_pid(service) for service in ("bird", "roostd")}
    for service, pid in pids.items():
        print(f"  {service}: {memory_mb(pid, 'VmRSS'):.1f} MB")

    cpu = {service: cpu_s(pid) for service, pid in pids.items()}
    began = time.monotonic()
    clients.start()
    print(f"{CLIENTS} clients started within {time.monotonic() - began:.1f} s; from the first on:")
    for what, seconds in wait_all(node, began).items():
        print(f"  {what:40} {seconds:6.1f} s")
    wait_healthy(node, 120)
    for service, pid in pids.items():
        print(f"  {service}: {memory_mb(pid, 'VmRSS'):.1f} MB (peak {memory_mb(pid, 'VmHWM'):.1f}), "
              f"{cpu_s(pid) - cpu[service]:.2f} s of CPU")
    for words in (("status",), ("peers",), ("routes",)):
        print(f"  roostctl {' '.join(words):8} {1000 * roostctl_s(node, *words):7.0f} ms")


def kill_bird(lab):
    print("BIRD of the reflector killed:")
    node = lab.node("node1")
    starts, running = node.service_status()["bird"]["starts"], running_id(node)
    began = time.monotonic()
    node.kill_bird()
    wait_until(lambda: node.service_status()["bird"]["starts"] > starts, 20, "BIRD is back")
    assert in_kernel(node) == CLIENTS, "its routes stay in the kernel"
    for what, seconds in wait_all(node, began).items():
        print(f"  {what:40} {seconds:6.1f} s")
    wait_healthy(node, 120)
    assert running_id(node) == running


@contextlib.contextmanager
def beside(lab, folder):
    """The clients, in a namespace on the lab's segment."""
    lab._connect("clients", {4: f"{address(0)}"})       # pylint: disable=protected-access
    namespace = netns_name(lab.name, "clients")
    netns.ip(namespace, f"addr del {address(0)}/24 dev eth0",
             *(f"addr add {address(n)}/16 dev eth0" for n in range(CLIENTS)))
    clients = Clients(namespace, folder)
    try:
        yield clients
    finally:
        clients.kill()


def main():
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.stdout.reconfigure(line_buffering=True)
    with Lab(f"b{os.getpid()}", nodes=1) as lab, tempfile.TemporaryDirectory() as folder:
        wait_healthy(lab.node("node1"))
        with beside(lab, folder) as clients:
            bring_up(lab, clients)
            kill_bird(lab)


if __name__ == "__main__":
    main()
