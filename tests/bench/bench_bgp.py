#!/usr/bin/python3
"""How long traffic stops when a router's link is cut, beside what BIRD configured by
hand does at the same cut; what the death of a BIRD costs, and the way from a mesh to
reflectors and back.

The cut: node1 is Roost's, node2's BIRD has a file as one writes it by hand.  Both
have the same two routers, ECMP and BFD with 3 times 100 ms, and each has a pod that
sends packets to 16 addresses behind the routers.  The link of one router is unplugged
at the switch, so that nobody loses a carrier.  One cut hits both nodes.
"""

import contextlib
import ctypes
import itertools
import os
import select
import signal
import socket
import statistics
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "contrib", "lab"))
sys.path.insert(0, os.path.join(HERE, "..", "lab"))

from cluster import since, status, wait_healthy  # noqa: E402
from roostlab import Lab, Pinger, netns, wait_until  # noqa: E402
from roostlab.base import netns_path, write_file  # noqa: E402
from roostlab.tor import BirdTor  # noqa: E402

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "20"))
SENT_EVERY_S = 0.005
TARGETS = [f"10.99.0.{2 + n}" for n in range(16)]
ROUTERS = {"r1": "192.168.1.1", "r2": "192.168.1.2"}

ROUTER = """\
log stderr all;
router id {address};
protocol device {{}}
protocol bfd {{ interface "eth0" {{ interval 100 ms; multiplier 3; }}; }}
protocol kernel {{ ipv4 {{ export where source = RTS_BGP; }}; }}
protocol static {{ ipv4; route 10.99.0.0/24 via "eth1"; }}
template bgp node {{
	local {address} as 65001;
	bfd on;
	connect delay time 1;
	error wait time 1, 5;
	ipv4 {{ import all; export where source = RTS_STATIC; next hop self; }};
}}
protocol bgp n1 from node {{ neighbor 192.168.1.11 as 64512; }}
protocol bgp n2 from node {{ neighbor 192.168.1.12 as 64512; }}
"""

BY_HAND = """\
log stderr all;
router id 192.168.1.12;
protocol device {}
protocol bfd { interface "eth0" { interval 100 ms; multiplier 3; }; }
protocol kernel { merge paths on; ipv4 { export where source = RTS_BGP; }; }
protocol static { ipv4; route 10.244.2.0/24 unreachable; }
template bgp uplink {
	local 192.168.1.12 as 64512;
	bfd on;
	connect delay time 1;
	error wait time 1, 5;
	ipv4 { import where net = 10.99.0.0/24; export where source = RTS_STATIC; };
}
protocol bgp r1 from uplink { neighbor 192.168.1.1 as 65001; }
protocol bgp r2 from uplink { neighbor 192.168.1.2 as 65001; }
"""


# -- packets -------------------------------------------------------------------

def socket_in(namespace):
    """A UDP socket of another network namespace; it stays there, the thread that made
    it ends."""
    made = []

    def make():
        with open(netns_path(namespace), "rb") as file:
            if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), 0x40000000) != 0:
                raise OSError(ctypes.get_errno(), f"setns {namespace}")
        made.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    return made[0]


class Stream:
    """Packets from a pod to each of TARGETS; remembers when which arrived."""

    def __init__(self, pod_netns, outside_netns, port):
        self.sender, self.port = socket_in(pod_netns), port
        self.receivers = {}
        for target in TARGETS:
            receiver = socket_in(outside_netns)
            receiver.bind((target, port))
            self.receivers[receiver.fileno()] = (receiver, target)
        self.arrived = {target: [] for target in TARGETS}
        self.stopping = False
        self.threads = [threading.Thread(target=f, daemon=True) for f in (self._send, self._receive)]
        for thread in self.threads:
            thread.start()

    def _send(self):
        while not self.stopping:
            for target in TARGETS:
                with contextlib.suppress(OSError):      # no route for a moment
                    self.sender.sendto(b"x", (target, self.port))
            time.sleep(SENT_EVERY_S)

    def _receive(self):
        poll = select.poll()
        for number in self.receivers:
            poll.register(number, select.POLLIN)
        while not self.stopping:
            for number, _ in poll.poll(100):
                receiver, target = self.receivers[number]
                receiver.recv(100)
                self.arrived[target].append(time.monotonic())

    def longest_gap(self, after):
        """Of all targets, of packets since just before `after`."""
        gaps = [0]
        for times in self.arrived.values():
            seen = [t for t in list(times) if t > after - 0.2]
            gaps += [b - a for a, b in itertools.pairwise(seen)]
        return max(gaps)

    def flowing(self, after):
        """Every target has got something in the last 50 ms."""
        now = time.monotonic()
        return now > after and all(t and t[-1] > now - 0.05 for t in self.arrived.values())

    def stop(self):
        self.stopping = True
        for thread in self.threads:
            thread.join()
        for receiver, _ in self.receivers.values():
            receiver.close()
        self.sender.close()


# -- a link is cut -------------------------------------------------------------

def router_config():
    peers = "".join(
        f"- {{name: {name}, address: {address}, asNumber: 65001, import: [10.99.0.0/24],\n"
        "   bfd: {interval: 100, multiplier: 3}}\n" for name, address in ROUTERS.items())
    return (
        "cluster: {name: lab, asNumber: 64512, podCIDRs: [10.244.0.0/16], topology: none}\n"
        "nodes:\n"
        "- {name: node1, addresses: [192.168.1.11], podCIDRs: [10.244.1.0/24]}\n"
        "- {name: node2, addresses: [192.168.1.12], podCIDRs: [10.244.2.0/24]}\n"
        f"peers:\n{peers}")


class RoutedLab(Lab):
    """Two nodes, two routers, and the outside host on a segment behind both."""

    def build_routers(self):
        outside, switch = self._netns("outside"), self._netns("switch")
        netns.add(outside)
        netns.ip(outside, "link set lo up")
        netns.ip(switch, "link add br1 type bridge", "link set br1 up",
                 f"link add outside type veth peer name eth0 netns {outside}",
                 "link set outside master br1 up")
        netns.ip(outside, "link set eth0 up",
                 *(f"addr add {target}/24 dev eth0" for target in TARGETS))
        self.routers = {}
        for name, address in ROUTERS.items():
            self._connect(name, {4: address})
            number = address.rsplit(".", maxsplit=1)[1]
            netns.ip(switch, f"link add {name}-out type veth peer name eth1 netns {self._netns(name)}",
                     f"link set {name}-out master br1 up")
            netns.ip(self._netns(name), "link set eth1 up",
                     f"addr add 10.99.0.{250 + int(number)}/24 dev eth1")
            router = self.routers[name] = BirdTor(self.name, name)
            os.makedirs(router.path("etc/bird"))
            write_file(router.path("etc/bird/bird.conf"), ROUTER.format(address=address))
            router.boot()
        for router in self.routers.values():
            router.wait_booted()

    def plug(self, name, is_in):
        netns.ip(self._netns("switch"),
                 f"link set {name} {'master br0' if is_in else 'nomaster'}")


def by_two_routers(node):
    """The node's kernel has both in one route."""
    return any(route["dst"] == "10.99.0.0/24" and len(route.get("nexthops", [])) == 2
               for route in node.routes())


def bfd_is_up(lab, node):
    out = node.birdc("show bfd sessions", check=False)
    return all(any(address in line and " Up " in line for line in out.splitlines())
               for address in ROUTERS.values())


def cuts():
    """[(Roost's gap, the gap by hand)] in seconds, one pair for each cut."""
    pairs = []
    with RoutedLab(f"b{os.getpid()}", nodes=2, pods=1) as lab:
        lab.build_routers()
        lab.write_config(router_config())
        one, two = lab.nodes.values()
        wait_healthy(one, 60)
        two.stop_roostd()
        two.exec(["sh", "-c", "cat > /run/hand.conf"], input=BY_HAND)
        two.exec(["birdc", "configure", '"/run/hand.conf"'])
        streams = [Stream(lab.pod(f"{node.name}-pod1").netns, lab.outside_netns, 4000 + i)
                   for i, node in enumerate((one, two))]
        try:
            for number in range(ROUNDS):
                name = ("r1", "r2")[number % 2]
                for node, stream in zip((one, two), streams):
                    wait_until(lambda: by_two_routers(node) and bfd_is_up(lab, node)
                               and stream.flowing(0), 60, f"{node.name} uses both routers", 0.1)
                began = time.monotonic()
                lab.plug(name, False)
                # BFD needs 300 ms to notice; then until all is well for a while.
                wait_until(lambda: all(s.flowing(began + 0.5) for s in streams), 30,
                           "traffic flows again", 0.05)
                pairs.append(tuple(s.longest_gap(began) for s in streams))
                lab.plug(name, True)
                # Not to wait for the next try, which comes later after each cut.
                one.birdc(f"restart '{name}:peer'")
                two.birdc(f"restart {name}")
        finally:
            for stream in streams:
                stream.stop()
    return pairs


# -- nothing is to be lost -----------------------------------------------------

@contextlib.contextmanager
def all_pinging(lab, counts, per_second=50):
    pods = [lab.pod(f"{name}-pod1") for name in lab.nodes]
    with contextlib.ExitStack() as stack:
        pingers = [stack.enter_context(Pinger(a.netns, b.address, per_second))
                   for a in pods for b in pods if a is not b]
        yield
        for pinger in pingers:
            counts[0] += pinger.stop()
            counts[1] += pinger.sent


def killed_birds(lab):
    counts = [0, 0]
    took = []
    with all_pinging(lab, counts):
        for number in range(max(3, ROUNDS // 4)):
            node = list(lab.nodes.values())[number % len(lab.nodes)]
            starts = node.service_status()["bird"]["starts"]
            began = time.monotonic()
            node.kill_bird()
            wait_until(lambda: node.service_status()["bird"]["starts"] > starts, 20, "it is back")
            wait_until(lambda: len(since(node)) == len(lab.nodes) - 1, 60, "its sessions are up")
            wait_healthy(node, 60)
            took.append(time.monotonic() - began)
            for other in lab.nodes.values():
                wait_healthy(other, 60)
    return counts, took


def reflecting(lab, topology):
    text = lab.config().replace("topology: mesh", f"topology: {topology}")
    for name in ("node1", "node2"):
        text = text.replace(f"- name: {name}\n", f"- name: {name}\n    reflector: true\n")
    return text


def there_and_back(lab):
    counts = [0, 0]
    with all_pinging(lab, counts):
        for _ in range(max(1, ROUNDS // 5)):
            for topology in ("reflector", "mesh"):
                lab.write_config(reflecting(lab, topology))
                reflectors = 2
                for name, node in lab.nodes.items():
                    want = (len(lab.nodes) - 1 if topology == "mesh" or name in ("node1", "node2")
                            else reflectors)
                    wait_until(lambda: len(node.sessions()) == want
                               and status(node).get("health") == "healthy", 60,
                               f"{name} has {want} sessions", 0.1)
    return counts


def main():
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    pairs = cuts()
    with Lab(f"b{os.getpid()}", nodes=5, pods=1) as lab:
        for node in lab.nodes.values():
            wait_healthy(node)
        killed, took = killed_birds(lab)
        moved = there_and_back(lab)
    print(f"\na router's link is cut, BFD 3 x 100 ms, {len(pairs)} cuts: longest gap of 16 flows, ms")
    print(f"{'':34} {'median':>8} {'min':>8} {'max':>8}")
    for name, gaps in (("Roost", [p[0] for p in pairs]), ("BIRD's file written by hand",
                                                          [p[1] for p in pairs])):
        print(f"{name:34} {1000 * statistics.median(gaps):8.0f} {1000 * min(gaps):8.0f} "
              f"{1000 * max(gaps):8.0f}")
    ratio = statistics.median(p[0] for p in pairs) / statistics.median(p[1] for p in pairs)
    print(f"{'ratio of the medians':34} {ratio:8.2f}          (aim: at most 1.2, and under 1 s)")
    print(f"\nBIRD killed with SIGKILL on one of 5 nodes, {len(took)} times, 20 streams of 50 a second: "
          f"{killed[0]} of {killed[1]} pings lost (aim: 0)")
    print(f"healthy again after {statistics.median(took):.1f} s (median), {max(took):.1f} s (longest)")
    print(f"\nmesh to reflectors and back with 5 nodes, {max(1, ROUNDS // 5)} times: "
          f"{moved[0]} of {moved[1]} pings lost (aim: 0)")


if __name__ == "__main__":
    main()
