# SPDX-License-Identifier: GPL-2.0-or-later
"""Topology reflector: who speaks to whom, and how one gets there and back.

node1 and node2 are reflectors, node3 to node5 their clients, dual-stack.
"""

import contextlib
import re

import pytest
from cluster import loads, since, status, table, wait_healthy

from roostlab import Pinger, wait_until

REFLECTORS = ("node1", "node2")


def reflecting(lab, topology="reflector", reflectors=REFLECTORS, nodes=None):
    """The lab's file with reflectors in it."""
    text = lab.config(nodes).replace("topology: mesh", f"topology: {topology}")
    for name in reflectors:
        text = text.replace(f"- name: {name}\n", f"- name: {name}\n    reflector: true\n")
    return text


@pytest.fixture(scope="module")
def lab5(make_lab):
    return make_lab(nodes=5, tor=None, ipv6=True, pods=1)


@pytest.fixture
def mesh(lab5):
    lab5.write_config(lab5.config())
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


def spoken_to(node):
    return {name.rsplit(":")[0] for name in node.sessions()}


def wait_settled(lab, want):
    for name, others in want.items():
        node = lab.node(name)
        wait_until(lambda: spoken_to(node) == others, 60,
                   lambda: f"{name} has sessions with {sorted(others)}: {sorted(spoken_to(node))}")
        wait_healthy(node)
        assert status(node)["sessions"]["leaving"] == 0
    assert lab.missing_routes() == []


@contextlib.contextmanager
def all_pinging(lab):
    """Every pod pings every other one, by IPv4 or by IPv6."""
    pods = [lab.pod(f"{name}-pod1") for name in lab.nodes]
    with contextlib.ExitStack() as stack:
        pingers = [stack.enter_context(Pinger(a.netns, b.addresses[4 if (i + k) % 2 else 6]))
                   for i, a in enumerate(pods) for k, b in enumerate(pods) if a is not b]
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
        wait_until(lambda: route_of(node, "10.244.6.0/24") is None, 30,
                   f"{node.name} has forgotten node6")
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
