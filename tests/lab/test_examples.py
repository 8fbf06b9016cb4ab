"""contrib/examples: each file as it is, with the routers' files beside it as they are.

router1 and router2 are what the files' names say.  Shown is that pods and the host
outside reach each other, and that the routers hold exactly what they should.
"""

import contextlib
import os
import signal
import subprocess
import sys

import pytest
from cluster import since, wait_healthy

from roostlab import Pinger, netns, wait_until
from roostlab.addresses import OUTSIDE, in_rack
from roostlab.ping import matrix
from roostlab.site import OUTSIDE_AS, Route

EXAMPLES = os.path.join(os.path.dirname(__file__), "..", "..", "contrib", "examples")
DEFAULT = {4: "0.0.0.0/0", 6: "::/0"}
TIMEOUT_S = 60
PING_MS, AWAY_MS = 20, 4000


def example(name):
    return os.path.join(EXAMPLES, name)


@pytest.fixture
def build(make_site):
    """build("two-racks", {1: ["node1"]}, {"router1.frr.conf": 65001}): a site of two-racks.yaml."""
    def build_site(name, racks, routers, **options):
        with open(example(f"{name}.yaml"), encoding="utf-8") as stream:
            config = stream.read()
        return make_site(config=config, racks=racks, router_as=list(filter(None, routers.values())),
                         routers=[example(file if file.count(".") == 3 else f"{name}.{file}")
                                  for file in routers], **options)
    return build_site


# -- what should be there ------------------------------------------------------

def pods_of(site, path, communities="", more=lambda node: ""):
    """What a router should have heard from each node: {family: {Route}}."""
    return {family: {Route(node.addresses.pods[family], path(node), node.addresses.address[family],
                           communities, more(node)) for node in site.nodes.values()}
            for family in site.families}


def default_route(site, path=str(OUTSIDE_AS)):
    return {family: {Route(DEFAULT[family], path, OUTSIDE[family])} for family in site.families}


# Of nodes that listen to reflectors, on what is exported as `cluster` (RENDER_MARK).
MARK = "large 64512:82:1"


def wait_heard(router, want):
    """Until a router holds these BGP routes and no other."""
    for family, routes in want.items():
        def heard():
            return {route._replace(more=route.more.replace(MARK, "").strip())
                    for route in router.bgp_routes(family)}
        wait_until(lambda: heard() == routes, TIMEOUT_S,
                   lambda: f"{router.name} holds\n{sorted(routes)}:\n{sorted(heard())}", 0.2)


def ways(machine, family):
    """{prefix: {gateway}}: where a kernel sends packets to, by BIRD's word."""
    return {DEFAULT[family] if route["dst"] == "default" else route["dst"]:
            {hop["gateway"] for hop in route.get("nexthops", [route])}
            for route in machine.routes(family)
            if route.get("protocol") == "bird" and route.get("metric") == 32}


def next_hops(machine, prefix, family):
    return ways(machine, family).get(prefix, set())


def wait_next_hops(machine, prefix, want):
    family = 6 if ":" in prefix else 4
    wait_until(lambda: next_hops(machine, prefix, family) == set(want), TIMEOUT_S,
               lambda: f"{machine.name} reaches {prefix} by {sorted(want)}: "
                       f"{next_hops(machine, prefix, family)}", 0.1)


def wait_nodes(site, wanted, healthy=True):
    """Until each node has the way to each other node's pods that wanted(node, other, family) says."""
    for node in site.nodes.values():
        for family in site.families:
            want = {other.addresses.pods[family]: set(wanted(node, other, family))
                    for other in site.nodes.values() if other is not node}
            wait_until(lambda: want.items() <= ways(node, family).items(), TIMEOUT_S,
                       lambda: f"{node.name} reaches {want}: {ways(node, family)}", 0.1)
        if healthy:
            wait_healthy(node, TIMEOUT_S)


def routers_of(site, rack, family):
    return [in_rack(rack, number)[family] for number in range(1, len(site.routers) + 1)]


# -- what should work ----------------------------------------------------------

SERVER = """
import socket, sys
server = socket.create_server(("::" if sys.argv[1] == "6" else "0.0.0.0", 0),
                              family=socket.AF_INET6 if sys.argv[1] == "6" else socket.AF_INET)
print(server.getsockname()[1], flush=True)
server.settimeout(70)
print(server.accept()[1][0], flush=True)
"""
CLIENT = """
import socket, sys, time
end = time.monotonic() + 30
while True:
    try:
        socket.create_connection((sys.argv[1], int(sys.argv[2])), 30)
        break
    except OSError:
        if time.monotonic() > end:
            raise
        time.sleep(0.1)
"""


def seen_source(site, source_netns, pod, family):
    """The address a pod sees when somebody connects to it."""
    with subprocess.Popen(netns.inside(pod.netns, [sys.executable, "-c", SERVER, str(family)]),
                          stdout=subprocess.PIPE, text=True) as server:
        try:
            port = server.stdout.readline().strip()
            subprocess.run(netns.inside(source_netns, [sys.executable, "-c", CLIENT,
                                                       pod.addresses[family], port]),
                           check=True, timeout=90)
            return server.stdout.readline().strip()
        finally:
            server.kill()


def wait_pings(site):
    """A wait: where BFD is on, a machine that stands still for 300 ms loses its routes."""
    def unanswered():
        to_outside = matrix([(pod.name, pod.netns) for pod in site.pods.values()],
                            [("outside", {family: OUTSIDE[family] for family in site.families})])
        return [f"{ping.source} to {ping.address}" for ping in site.ping_matrix() + to_outside
                if not ping.ok]
    wait_until(lambda: not unanswered(), TIMEOUT_S,
               lambda: f"all pods and the outside host reach each other: {unanswered()}", 0.2)


def check_traffic(site):
    """All pods reach each other and the outside host, that one them; nobody's address is changed."""
    pods = list(site.pods.values())
    for family in site.families:
        for node in site.nodes.values():
            prefix = node.addresses.pods[family]
            wait_until(lambda: len(next_hops(site.outside, prefix, family)) == len(site.router_as),
                       TIMEOUT_S, f"outside reaches {prefix} by each router", 0.1)
    wait_pings(site)
    first, last = pods[0], pods[-1]
    for family in site.families:
        assert seen_source(site, site.outside_netns, last, family) == OUTSIDE[family]
        assert seen_source(site, first.netns, last, family) == first.addresses[family]


def check_restart_of_bird(site):
    """Killed and away for some seconds: who is outside, and other pods, reach its node's pods."""
    node = site.node("node1")
    pod, *_, far = sorted(site.pods.values(), key=lambda pod: pod.node_name)
    before = since(node)
    with contextlib.ExitStack() as stack:
        pingers = [stack.enter_context(Pinger(source, pod.addresses[family], 1000 / PING_MS))
                   for family in site.families for source in (site.outside_netns, far.netns)]
        node.stop_bird(signal.SIGKILL)
        seen = [pinger.sent for pinger in pingers]
        wait_until(lambda: all(pinger.sent > n + AWAY_MS / PING_MS for pinger, n in zip(pingers, seen)),
                   TIMEOUT_S, "the pings go on")
        node.start_bird()
        wait_until(lambda: set(since(node)) == set(before), TIMEOUT_S, "every session is up again", 0.2)
        assert all(since(node)[name] != when for name, when in before.items())
        wait_healthy(node, TIMEOUT_S)
        lost = [(pinger.source_netns, pinger.address, pinger.stop()) for pinger in pingers]
    assert not [row for row in lost if row[-1]]


# -- two racks, an AS each, two routers ----------------------------------------

def wait_two_racks_ebgp(site):
    rack_as = {1: "64512", 2: "64513"}
    for router in site.routers:
        pods = pods_of(site, lambda node: rack_as[node.addresses.rack], "65000:100",
                       lambda node: f"med 50 large 64512:100:{node.addresses.rack}")
        wait_heard(router, {family: pods[family] | default_route(site)[family]
                            for family in site.families})
    # In one's own rack straight to the node, else by both routers.
    wait_nodes(site, lambda node, other, family: [other.addresses.address[family]]
               if node.addresses.rack == other.addresses.rack
               else routers_of(site, node.addresses.rack, family))
    for node in site.nodes.values():
        for family in site.families:
            wait_next_hops(node, DEFAULT[family], routers_of(site, node.addresses.rack, family))


def test_two_racks_with_an_as_each_go_on_without_one_router(build, capsys):
    site = build("two-racks-ebgp", {1: ["node1", "node2"], 2: ["node3", "node4"]},
                 {"router1.frr.conf": 65001, "router2.bird.conf": 65002}, default_route=False)
    wait_two_racks_ebgp(site)
    check_traffic(site)
    for down, router in enumerate(site.routers, 1):
        # Each flow has its router, by a hash: of these some go by the one, some by the other.
        pairs = [(a, b) for a in site.pods.values() for b in site.pods.values()
                 if site.node(a.node_name).addresses.rack != site.node(b.node_name).addresses.rack]
        with contextlib.ExitStack() as stack:
            pingers = [stack.enter_context(Pinger(a.netns, b.addresses[family], 1000 / PING_MS))
                       for i, (a, b) in enumerate(pairs) for family in [(4, 6)[i % 2]]]
            site.set_links(router, "down")
            for node in site.nodes.values():
                for family in site.families:
                    other = routers_of(site, node.addresses.rack, family)[2 - down]
                    wait_next_hops(node, DEFAULT[family], [other])
            seen = [len(pinger.answered) for pinger in pingers]
            wait_until(lambda: all(len(pinger.answered) > n for pinger, n in zip(pingers, seen)),
                       TIMEOUT_S, "every ping is answered again")
            lost = [pinger.stop() * PING_MS for pinger in pingers]
        with capsys.disabled():
            print(f"\n{router.name} down: {sum(map(bool, lost))} of {len(lost)} flows lost pings, "
                  f"at most {max(lost)} ms of them; BFD is 3 x 100 ms")
        # The aim is 1 s; two busy cores add to it, and without BFD it would be 9 s.
        assert max(lost) < 5000
        wait_pings(site)
        site.set_links(router, "up")
        wait_two_racks_ebgp(site)


# -- two racks, one AS, the routers reflect ------------------------------------

def test_two_racks_with_reflecting_routers(build):
    site = build("two-racks-ibgp", {1: ["node1", "node2"], 2: ["node3", "node4"]},
                 {"router1.frr.conf": 64512, "router2.bird.conf": 64512})
    for router in site.routers:
        pods = pods_of(site, lambda node: "")
        wait_heard(router, {family: pods[family] | default_route(site)[family]
                            for family in site.families})
    wait_nodes(site, lambda node, other, family: routers_of(site, node.addresses.rack, family))
    check_traffic(site)
    check_restart_of_bird(site)


# -- a default route from two routers ------------------------------------------

def test_a_default_route_that_is_learned(build):
    site = build("default-route", {1: ["node1", "node2"]},
                 {"router1.frr.conf": 65001, "router2.bird.conf": 65002}, default_route=False)
    for router in site.routers:
        pods = pods_of(site, lambda node: "64512")
        wait_heard(router, {family: pods[family] | default_route(site)[family]
                            for family in site.families})
    wait_nodes(site, lambda node, other, family: [other.addresses.address[family]])
    for node in site.nodes.values():
        for family in site.families:
            wait_next_hops(node, DEFAULT[family], routers_of(site, 1, family))
    check_traffic(site)
    check_restart_of_bird(site)
    # One takes it back: the other one's is left.
    site.routers[0].change("router bgp 65001", "neighbor 10.99.0.2 shutdown",
                           "neighbor fd00:99::2 shutdown")
    for node in site.nodes.values():
        for family in site.families:
            wait_next_hops(node, DEFAULT[family], routers_of(site, 1, family)[1:])
    wait_pings(site)


# -- one segment ---------------------------------------------------------------

RACK = ["node1", "node2", "node3"]


def wait_one_segment(site, healthy=True):
    """The routers hold each node's pods, and the nodes reach each other straight."""
    pods = pods_of(site, lambda node: "64512")
    for router in site.routers:
        wait_heard(router, {family: pods[family] | default_route(site)[family]
                            for family in site.families})
    wait_nodes(site, lambda node, other, family: [other.addresses.address[family]], healthy)


@pytest.mark.parametrize("file", ["router1.frr.conf", "router1.bird.conf"])
def test_a_single_rack(build, file):
    site = build("single-rack", {1: RACK}, {file: 65001}, families=[4])
    wait_one_segment(site)
    check_traffic(site)
    check_restart_of_bird(site)


TWO_ROUTERS = {"router1.frr.conf": 65001, "router2.bird.conf": 65002}


@pytest.mark.parametrize("name, families", [("dual-stack", [4, 6]), ("ipv6-only", [6])])
def test_a_mesh_of(build, name, families):
    site = build(name, {1: RACK}, TWO_ROUTERS, families=families)
    wait_one_segment(site)
    check_traffic(site)
    check_restart_of_bird(site)


@pytest.mark.plain
def test_twenty_nodes_two_of_them_reflectors(build):
    site = build("reflectors", {1: [f"node{i}" for i in range(1, 21)]}, TWO_ROUTERS)
    wait_one_segment(site)
    for node in site.nodes.values():
        reflector = node.name in ("node1", "node2")
        # Two families; of the routers a reflector has two, the others none.
        wait_until(lambda: len(since(node)) == 2 * ((19 + 2) if reflector else 2), TIMEOUT_S,
                   lambda: f"{node.name} has its sessions and no more: {sorted(since(node))}", 0.2)
    check_traffic(site)


def test_a_gobgp_reflector(build):
    """router2 is no router: it is none of the outside host's neighbours."""
    site = build("gobgp-reflector", {1: RACK}, {"dual-stack.router1.frr.conf": 65001,
                                                "router2.gobgp.toml": None})
    pods = pods_of(site, lambda node: "64512")
    wait_heard(site.routers[0], {family: pods[family] | default_route(site)[family]
                                 for family in site.families})
    wait_heard(site.routers[1], pods_of(site, lambda node: ""))
    wait_nodes(site, lambda node, other, family: [other.addresses.address[family]])
    check_traffic(site)
    check_restart_of_bird(site)
