# SPDX-License-Identifier: GPL-2.0-or-later
"""Topologies: who speaks to whom, and how one gets from one to another.

node1 and node2 are reflectors, node3 to node5 their clients, dual-stack.  node5 has no
podCIDRs, as nodes of a control plane often have none.
"""

import contextlib
import re

import pytest
from cluster import loads, since, status, table, wait_healthy

from roostlab import Pinger, wait_until

REFLECTORS = ("node1", "node2")
PODLESS = "node5"
RACKS = {"node1": "a", "node3": "a", "node2": "b", "node4": "b", PODLESS: "b"}
MOVED = {**RACKS, "node3": "b"}


def config(lab, nodes=None):
    """The lab's file, a mesh."""
    text = lab.config(nodes)
    if PODLESS in lab.nodes:
        text = re.sub(rf"(- name: {PODLESS}\n.*\n)    podCIDRs: .*\n", r"\1", text)
    return text


def reflecting(lab, topology="reflector", reflectors=REFLECTORS, nodes=None):
    """The lab's file with reflectors in it."""
    text = config(lab, nodes).replace("topology: mesh", f"topology: {topology}")
    for name in reflectors:
        text = text.replace(f"- name: {name}\n", f"- name: {name}\n    reflector: true\n")
    return text


def racked(lab, racks):
    """With a reflector for each rack."""
    text = reflecting(lab, "reflector\n  topologyKey: rack")
    for name, rack in racks.items():
        text = text.replace(f"- name: {name}\n", f"- name: {name}\n    labels: {{rack: {rack}}}\n")
    return text


@pytest.fixture(scope="module")
def lab5(make_lab):
    lab = make_lab(nodes=5, tor=None, ipv6=True)
    lab.write_config(config(lab))
    wait_settled(lab, {node: everyone_but(lab, node) for node in lab.nodes})
    for name in lab.nodes:
        if name != PODLESS:
            lab.add_pod(name)
    return lab


@pytest.fixture
def mesh(lab5):
    lab5.write_config(config(lab5))
    wait_settled(lab5, {node: everyone_but(lab5, node) for node in lab5.nodes})
    return lab5


@pytest.fixture
def reflected(lab5):
    lab5.write_config(reflecting(lab5))
    wait_settled(lab5, neighbours(lab5))
    return lab5


def everyone_but(lab, name):
    return set(lab.nodes) - {name}


def neighbours(lab, reflectors=REFLECTORS):
    """{node: whom it has sessions with} under topology reflector."""
    return {name: everyone_but(lab, name) if name in reflectors else set(reflectors)
            for name in lab.nodes}


def neighbours_in_racks(lab, racks):
    return {name: {other for other in everyone_but(lab, name)
                   if name in REFLECTORS and other in REFLECTORS
                   or racks[name] == racks[other] and {name, other} & set(REFLECTORS)}
            for name in lab.nodes}


def spoken_to(node):
    return {name.rsplit(":")[0] for name in node.sessions()}


def wait_settled(lab, want):
    for name, others in want.items():
        node = lab.node(name)
        wait_until(lambda: spoken_to(node) == others, 60,
                   lambda: f"{name} has sessions with {sorted(others)}: {sorted(spoken_to(node))}")
        wait_healthy(node)
        assert status(node)["sessions"]["leaving"] == 0
    assert missing_routes(lab) == []


def missing_routes(lab):
    none = lab.node(PODLESS).addresses.pods.values() if PODLESS in lab.nodes else ()
    return [text for text in lab.missing_routes() if not any(prefix in text for prefix in none)]


@contextlib.contextmanager
def all_pinging(lab):
    """Every pod pings every other one, by IPv4 or by IPv6; a node without pods pings all."""
    pods = list(lab.pods.values())
    pairs = [(a.netns, b.addresses[4 if (i + k) % 2 else 6])
             for i, a in enumerate(pods) for k, b in enumerate(pods) if a is not b]
    if PODLESS in lab.nodes:
        pairs += [(lab.node(PODLESS).netns, address)
                  for pod in pods for address in pod.addresses.values()]
    with contextlib.ExitStack() as stack:
        pingers = [stack.enter_context(Pinger(*pair)) for pair in pairs]
        yield
        lost = {(p.source_netns, p.address): p.stop() for p in pingers}
    assert {pair: n for pair, n in lost.items() if n} == {}


def by_and_by(lab, text, order):
    """The file changes on one node after the other, each time when the last is through."""
    for name in order:
        node = lab.node(name)
        before = loads(node)
        node.write_config(text)
        wait_until(lambda: loads(node) > before and not status(node)["configuration"]["applying"],
                   30, f"{name} has taken the file")


# -- there and back ------------------------------------------------------------

# The clients first is the hard case: nobody reflects yet.
@pytest.mark.parametrize("order", ["clients first", "reflectors first", "at once"])
def test_from_mesh_to_reflector_and_back_without_a_lost_ping(mesh, order):
    names = sorted(mesh.nodes, reverse=order == "clients first")
    with all_pinging(mesh):
        for text, want in (
                (reflecting(mesh), neighbours(mesh)),
                (reflecting(mesh, "mesh"), {n: everyone_but(mesh, n) for n in mesh.nodes})):
            if order == "at once":
                mesh.write_config(text)
            else:
                by_and_by(mesh, text, names)
            wait_settled(mesh, want)


# With a reflector in each rack none serves all, and each parts from the other rack's nodes.
@pytest.mark.parametrize("order", [
    ("node5", "node4", "node3", "node2", "node1"), ("node2", "node1", "node3", "node4", "node5"), ()],
    ids=["clients first", "reflectors first", "at once"])
def test_racks_and_a_node_that_moves_to_another_one_lose_no_ping(mesh, order):
    with all_pinging(mesh):
        for racks in (RACKS, MOVED):
            text = racked(mesh, racks)
            if order:
                by_and_by(mesh, text, order)
            else:
                mesh.write_config(text)
            wait_settled(mesh, neighbours_in_racks(mesh, racks))


def test_marking_reflectors_first_changes_no_session(mesh):
    before = {node.name: since(node) for node in mesh.nodes.values()}
    by_and_by(mesh, reflecting(mesh, "mesh"), sorted(mesh.nodes))
    wait_settled(mesh, {name: everyone_but(mesh, name) for name in mesh.nodes})
    assert {node.name: since(node) for node in mesh.nodes.values()} == before


# -- life with reflectors ------------------------------------------------------

def route_of(node, prefix):
    return next((r for r in node.routes(6 if ":" in prefix else 4) if r["dst"] == prefix), None)


def test_routes_lead_to_the_nodes_and_not_to_the_reflector(reflected):
    assert all(ping.ok for ping in reflected.ping_matrix())
    rows = {row["prefix"]: row for row in table(reflected.node("node3"), "routes")}
    assert rows["10.244.4.0/24"]["wantedNextHop"] == "192.168.1.14"
    assert rows["10.244.4.0/24"]["bird"]["protocol"] in ("node1:v4", "node2:v4")
    assert {row["verdict"] for row in rows.values()} == {"ok"}
    assert route_of(reflected.node("node3"), "10.244.4.0/24")["gateway"] == "192.168.1.14"


def test_without_one_reflector_no_ping_is_lost(reflected):
    node1 = reflected.node("node1")
    clients = [reflected.pod(f"node{i}-pod1") for i in (3, 4)]
    with Pinger(clients[0].netns, clients[1].address) as there, \
            Pinger(clients[1].netns, clients[0].addresses[6]) as back:
        node1.kill_bird()
        wait_until(lambda: "node1:v4" not in since(reflected.node("node3")), 20,
                   "node3 notices that node1's BIRD is gone")
        node1.start_bird()
        wait_settled(reflected, neighbours(reflected))
    assert (there.stop(), back.stop()) == (0, 0)


def test_a_node_that_comes_adds_its_sessions_and_touches_no_other(reflected):
    before = {node.name: since(node) for node in reflected.nodes.values()}
    reflected.add_node("node6", reflecting(reflected, nodes=[*reflected.nodes, "node6"]))
    reflected.write_config(reflecting(reflected))
    wait_settled(reflected, neighbours(reflected))
    for name, sessions in before.items():
        after = since(reflected.node(name))
        assert {session: after[session] for session in sessions} == sessions
        assert set(after) - set(sessions) == ({"node6:v4", "node6:v6"} if name in REFLECTORS
                                              else set())
    # And a node that goes leaves no route.
    node6 = reflected.nodes.pop("node6")
    reflected.write_config(reflecting(reflected))
    for node in reflected.nodes.values():
        for prefix in node6.addresses.pods.values():
            wait_until(lambda: route_of(node, prefix) is None, 30,
                       f"{node.name} has forgotten {prefix}")
    wait_settled(reflected, neighbours(reflected))
    assert {node.name: since(node) for node in reflected.nodes.values()} == before
    node6.power_off()


def filtered(node, session):
    """How many updates the import filter of a session has refused."""
    text = node.birdc(f"show protocols all '{session}'")
    # received, rejected, filtered, ...
    return int(re.search(r"Import updates: +\d+ +\d+ +(\d+)", text)[1])


def test_a_client_cannot_announce_what_is_another_nodes(reflected):
    """node3's file says that node4's podCIDR and half of node1's are node3's."""
    node3, node5 = reflected.node("node3"), reflected.node("node5")
    stolen = ("10.244.4.0/24", "10.244.1.128/25")
    before = node5.routes()
    node3.write_config(reflecting(reflected)
                       .replace('["10.244.4.0/24"', '["10.244.44.0/24"')
                       .replace('["10.244.1.0/24"', '["10.244.11.0/24"')
                       .replace('["10.244.3.0/24"', '["10.244.3.0/24", "%s", "%s"' % stolen))
    wait_until(lambda: {row["session"]: row["routesOut"] for row in table(node3, "peers")}
               ["node1:v4"] == 3, 30, "node3 announces three podCIDRs")
    for name in REFLECTORS:
        wait_until(lambda: filtered(reflected.node(name), "node3:v4") >= 2, 20,
                   f"{name} has refused two of them")
        heard = reflected.node(name).birdc("show route protocol 'node3:v4'")
        assert "10.244.3.0/24" in heard and not any(prefix in heard for prefix in stolen)
    assert node5.routes() == before


# -- none ----------------------------------------------------------------------

@pytest.fixture(scope="module")
def lab_tor(make_lab):
    return make_lab(nodes=3, tor="bird", ipv6=True, pods=1)


def routed(lab, topology, brings=True):
    """With a router of another AS, which brings the other nodes' podCIDRs only to those that
    take their own AS in a path."""
    text = lab.config().replace("topology: mesh", f"topology: {topology}")
    return text.replace("asNumber: 65001", "asNumber: 65001\n    allowLocalAS: 1") if brings else text


@pytest.fixture
def unrouted(lab_tor):
    lab_tor.write_config(lab_tor.config().split("peers:")[0])
    wait_until(lambda: all(spoken_to(node) == everyone_but(lab_tor, name)
                           for name, node in lab_tor.nodes.items()), 60, "a mesh without routers")
    for node in lab_tor.nodes.values():
        wait_healthy(node)
    return lab_tor


# One edit, or the routers first.
@pytest.mark.parametrize("steps", [("none",), ("mesh", "none")], ids=["none", "mesh, none"])
def test_from_mesh_to_routers_alone_and_back_without_a_lost_ping(unrouted, steps):
    routers = {"tor", "tor-v6"}
    with all_pinging(unrouted):
        for topology in (*steps, "mesh"):
            by_and_by(unrouted, routed(unrouted, topology), unrouted.nodes)
            wait_settled(unrouted, {name: routers | (everyone_but(unrouted, name)
                                                     if topology == "mesh" else set())
                                    for name in unrouted.nodes})


def test_where_routers_do_not_bring_it_a_mesh_stays_until_somebody_insists(unrouted):
    with all_pinging(unrouted):
        by_and_by(unrouted, routed(unrouted, "none", brings=False), unrouted.nodes)
        for name, node in unrouted.nodes.items():
            wait_until(lambda: status(node)["sessions"]["leaving"] == 4, 30, f"{name} keeps its mesh")
            assert spoken_to(node) == everyone_but(unrouted, name) | {"tor", "tor-v6"}
    for node in unrouted.nodes.values():
        node.roostctl("apply", "--force")
        assert spoken_to(node) == {"tor", "tor-v6"}
