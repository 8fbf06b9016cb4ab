# SPDX-License-Identifier: GPL-2.0-or-later
"""Nobody watches more of the cluster than it needs; and no more of it vanishes at once than
the withdraw brake lets pass."""

import contextlib
import os

import pytest
from cluster import loads, metric, running_id, since, status, wait_healthy, wait_running
from kubelab import REFLECTOR, problems, restart, wait_problem
from kubeobjects import heartbeat, node as make_node

from roostlab import Pinger, wait_until

ALL, SELF, REFLECTORS = "all", "itself", "the reflectors"
CROWD = 40      # Nodes that nobody here is
YOUNG = "2026-11-23T23:00:00Z"


@pytest.fixture(scope="module")
def lab(make_kube_lab):
    lab = make_kube_lab(nodes=4, tor=None, pods=1)
    for node in lab.nodes.values():
        wait_healthy(node)
    return lab


def scope(request):
    query = request.query
    if query.get("fieldSelector") == f"metadata.name=node{int(request.client.split('.')[-1]) - 10}":
        return SELF
    if query.get("labelSelector") == "roost/reflector=true":
        return REFLECTORS
    return ALL if not {"fieldSelector", "labelSelector"} & set(query) else str(query)


def asked(lab, node, since_request=0):
    """What a node has asked for."""
    return {scope(request) for request in requests(lab, node)[since_request:]}


def requests(lab, node):
    return lab.api.seen(client=node.addresses.address[4], resource="nodes",
                        verb=lambda verb: verb in ("list", "watch"))


def neighbours(node):
    return {name.split(":")[0] for name in node.sessions()}


@contextlib.contextmanager
def all_pinging(lab):
    pods = [lab.pod(f"{name}-pod1") for name in ("node1", "node2", "node3", "node4")]
    with contextlib.ExitStack() as stack:
        pingers = [stack.enter_context(Pinger(a.netns, b.address)) for a in pods for b in pods if a is not b]
        yield
        lost = {(p.source_netns, p.address): p.stop() for p in pingers}
    assert {pair: n for pair, n in lost.items() if n} == {}


def switch(lab, topology, want):
    """All nodes at once; want: {node: its neighbours}"""
    lab.topology = topology
    before = {node.name: loads(node) for node in lab.nodes.values()}
    lab.write_config(lab.config())
    for node in lab.nodes.values():
        wait_until(lambda: loads(node) > before[node.name], 30, f"{node.name} has read the file")
        wait_until(lambda: neighbours(node) == want[node.name], 60,
                   lambda: f"{node.name} speaks to {want[node.name]}: {neighbours(node)}", 0.1)
        wait_healthy(node)


def everyone_but(lab, name):
    return set(lab.nodes) - {name}


def test_a_client_of_reflectors_watches_itself_and_them_and_a_mesh_everybody(lab):
    mesh = {name: everyone_but(lab, name) for name in lab.nodes}
    clients = {name: {"node1"} if name != "node1" else everyone_but(lab, name) for name in lab.nodes}
    for node in lab.nodes.values():
        assert asked(lab, node) == {ALL}
    lab.put_node("node1", labels=REFLECTOR)
    with all_pinging(lab):
        switch(lab, "reflector", clients)
        wait_until(lambda: lab.api.watches() == 7, 20, lambda: f"{lab.api.watches()} watches: one of all "
                   "nodes by the reflector, two by each client", 0.1)
        before = {name: len(requests(lab, node)) for name, node in lab.nodes.items()}
        lab.relist()
        for name, node in lab.nodes.items():
            want = {ALL} if name == "node1" else {SELF, REFLECTORS}
            wait_until(lambda: asked(lab, node, before[name]) == want, 40, f"{name} has listed {want} anew", 0.1)
        wait_until(lambda: lab.api.watches() == 7, 40, "all watch again", 0.1)
        traffic_does_not_depend_on_the_others(lab)
        switch(lab, "mesh", mesh)
        wait_until(lambda: lab.api.watches() == 4, 20, "each watches all nodes again", 0.1)
        assert asked(lab, lab.node("node4"), -1) == {ALL}
    assert all(ping.ok for ping in lab.ping_matrix())


def traffic_does_not_depend_on_the_others(lab):
    """Heartbeats of nodes that a client has nothing to do with."""
    client = lab.api.clients["192.168.1.14"]
    sent = client.bytes_sent
    events = metric(lab.node("node4"), "roost_source_events_total")
    for number in range(300):
        lab.api.put("nodes", heartbeat(lab.api.get("nodes", "node2"), number))
    lab.api.put("nodes", heartbeat(lab.api.get("nodes", "node1"), 1))
    wait_until(lambda: metric(lab.node("node4"), "roost_source_events_total") > events, 20,
               "the client hears of the reflector")
    assert client.bytes_sent - sent < 20 * 1500
    assert metric(lab.node("node4"), "roost_source_events_total") - events < 20


def test_a_client_that_becomes_a_reflector_watches_everybody_until_it_is_none_again(lab):
    node1, node2 = lab.node("node1"), lab.node("node2")
    alone = {name: {"node1"} if name != "node1" else everyone_but(lab, name) for name in lab.nodes}
    both = {name: {"node1", "node2"} - {name} if name in ("node3", "node4") else everyone_but(lab, name)
            for name in lab.nodes}
    lab.put_node("node1", labels=REFLECTOR)
    lab.put_node("node2")
    switch(lab, "reflector", alone)
    wait_until(lambda: lab.api.watches() == 7, 20, "clients watch themselves and the reflector", 0.1)
    for label, watched, watches, want in (("true", {ALL}, 6, both), (None, {SELF, REFLECTORS}, 7, alone)):
        before = len(requests(lab, node2))
        lab.label("node2", **{"roost/reflector": label})
        wait_until(lambda: asked(lab, node2, before) == watched, 20,
                   lambda: f"node2 watches {watched}: {asked(lab, node2, before)}", 0.1)
        wait_until(lambda: lab.api.watches() == watches, 20, lambda: f"{lab.api.watches()} watches", 0.1)
        for node in lab.nodes.values():
            wait_until(lambda: neighbours(node) == want[node.name], 30,
                       lambda: f"{node.name} speaks to {want[node.name]}: {neighbours(node)}", 0.1)
            wait_healthy(node)
    # A new reflector learns from its own Node that it is one.
    before = len(requests(lab, node1))
    node1.stop_roostd()
    os.remove(node1.path("var/lib/roost/cluster.json"))
    node1.start_roostd()
    wait_until(lambda: ALL in asked(lab, node1, before), 20,
               lambda: f"node1 watches all Nodes: {asked(lab, node1, before)}", 0.1)
    wait_healthy(node1)
    assert neighbours(node1) == alone["node1"] and all(ping.ok for ping in lab.ping_matrix())
    switch(lab, "mesh", {name: everyone_but(lab, name) for name in lab.nodes})


def test_with_no_topology_a_node_watches_itself(lab):
    nodes = list(lab.nodes.values())
    lab.put_node("node1", labels=REFLECTOR)
    lab.topology = "reflector"
    lab.write_config(lab.config())
    wait_until(lambda: lab.api.watches() == 7, 40, "there are clients", 0.1)
    switch(lab, "none", {node.name: set() for node in nodes})
    wait_until(lambda: lab.api.watches() == 4, 20, "one watch for each node", 0.1)
    for node in nodes:
        assert asked(lab, node, -1) == {SELF}
    switch(lab, "mesh", {node.name: everyone_but(lab, node.name) for node in nodes})


# -- the withdraw brake ---------------------------------------------------------------

@pytest.fixture
def brake(lab):
    """Tells all nodes how much may go at once, and for how long it is held back otherwise."""
    def set_brake(percent, delay):
        before = {node.name: loads(node) for node in lab.nodes.values()}
        lab.write_config(lab.config().replace("maxWithdraw: 100%",
                                              f"maxWithdraw: {percent}%, withdrawDelay: {delay}"))
        for node in lab.nodes.values():
            wait_until(lambda: loads(node) > before[node.name], 20, f"{node.name} has read the file")
    for node in lab.nodes.values():
        restart(node)       # who went in the test before is no part of a sudden loss
    yield set_brake
    lab.only_our_nodes()
    lab.write_config(lab.config())
    wait_running(lab, 4)


def crowd(lab, count=CROWD):
    for n in range(10, 10 + count):
        lab.api.put("nodes", make_node(f"crowd{n}", [f"192.168.1.{90 + n}"], [f"10.244.{n}.0/24"]))
    for node in lab.nodes.values():
        wait_until(lambda: len(node.sessions()) == count + 3, 40, f"{node.name} knows the crowd", 0.1)


def vanish(lab, *names):
    """They are gone while nobody looks, as after a restore of an old etcd."""
    lab.api.stop()
    for name in names:
        lab.api.delete("nodes", name)
    lab.api.compact()
    lab.api.start()


def numbers(*wanted):
    return [f"crowd{n}" for n in wanted]


def held(node):
    return metric(node, "roost_source_held_nodes")


def test_many_nodes_that_vanish_at_once_are_held_until_it_is_confirmed(lab, brake):
    nodes = list(lab.nodes.values())
    before = {node.name: since(node) for node in nodes}
    brake(0, 600)
    crowd(lab)
    lab.api.delete("nodes", "crowd49")      # one may always go, whatever maxWithdraw says
    for node in nodes:
        wait_until(lambda: "crowd49:v4" not in node.sessions(), 20, f"{node.name} has forgotten crowd49")
    brake(25, 600)
    vanish(lab, *numbers(*range(10, 30)))
    for node in nodes:
        wait_until(lambda: held(node) == 20, 60, lambda: f"{node.name} holds them: {problems(node)}", 0.1)
        assert len(node.sessions()) == CROWD - 1 + 3
        wait_problem(node, "20", "roostctl apply --force")
    # What comes is taken at once meanwhile, and in the place of who is gone: a machine that
    # has joined again under another name ...
    lab.api.put("nodes", make_node("crowd77", ["192.168.1.102"], ["10.244.12.0/24"], created=YOUNG))
    for node in nodes:
        wait_until(lambda: "crowd77:v4" in node.sessions(), 20, f"{node.name} knows crowd77")
        assert "crowd12:v4" not in node.sessions() and held(node) == 20
        assert not metric(node, "roost_source_bad_nodes")
    # ... a plain apply, or a restart, does not let go of the others ...
    nodes[0].roostctl("apply")
    restart(nodes[0])
    wait_until(lambda: held(nodes[0]) == 20, 20, "they are still held", 0.1)
    assert len(nodes[0].sessions()) == CROWD - 1 + 3
    # ... and who comes back is held no longer; but the others are, also when they are few.
    back = [10, 11, *range(13, 23)]
    for n in back:
        lab.api.put("nodes", make_node(f"crowd{n}", [f"192.168.1.{90 + n}"], [f"10.244.{n}.0/24"]))
    for node in nodes:
        wait_until(lambda: held(node) == 20 - len(back), 20, lambda: f"{node.name} holds the rest: {held(node)}", 0.1)
        assert len(node.sessions()) == CROWD - 1 + 3
    for node in nodes:
        assert "confirmed" in node.roostctl("apply", "--force").stdout
        assert len(node.sessions()) == CROWD - 20 + len(back) + 3 and held(node) == 0
    for name in [*numbers(*back, *range(30, 49)), "crowd77"]:
        lab.api.delete("nodes", name)
    for node in nodes:
        wait_until(lambda: held(node), 20, f"{node.name} holds events' nodes too", 0.1)
        node.roostctl("apply", "--force")
        assert since(node) == before[node.name]


def test_what_stays_away_long_enough_is_let_go(lab, brake):
    node = lab.node("node1")
    before = since(node)
    brake(25, 600)
    crowd(lab, 8)
    vanish(lab, *numbers(*range(10, 18)))
    wait_until(lambda: held(node) == 8, 60, "node1 holds them", 0.1)
    brake(25, 8)        # what is held goes by the file as it is now, not as it was then
    wait_until(lambda: len(node.sessions()) == 3, 30, "node1 has let go of them", 0.1)
    assert since(node) == before and held(node) == 0


def test_a_cluster_of_none_is_not_believed(lab):
    nodes = list(lab.nodes.values())
    before = [(running_id(node), since(node), node.routes()) for node in nodes]
    kept = [stored.data for stored in lab.api.resources["nodes"].objects.values()]
    vanish(lab, *lab.nodes)
    for node in nodes:
        wait_until(lambda: status(node)["health"] == "degraded" and problems(node), 60,
                   f"{node.name} says that it is in no list", 0.1)
    assert [(running_id(node), since(node), node.routes()) for node in nodes] == before
    for data in kept:
        lab.api.put("nodes", data)
    wait_running(lab, 4)
    assert [(running_id(node), since(node), node.routes()) for node in nodes] == before
