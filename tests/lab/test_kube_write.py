# SPDX-License-Identifier: GPL-2.0-or-later
"""What Roost tells the API server: that a node's network works, and which Nodes it left out."""

import pytest
from cluster import metric, roostd_log, running_id, since, wait_healthy
from kubelab import restart, wait_problem
from kubeobjects import node as make_node

from roostlab import Lab, wait_until

CONDITION, EVENT = "nodes/status", "events"
BAD = "10.99.0.0/24"        # outside cluster.podCIDRs


@pytest.fixture(scope="module")
def lab(make_kube_lab):
    lab = make_kube_lab(nodes=2, tor="none")
    for node in lab.nodes.values():
        wait_healthy(node)
    return lab


def network_unavailable(lab, name):
    """The Node's condition; None: it has none."""
    conditions = lab.api.get("nodes", name)["status"]["conditions"]
    return next((c for c in conditions if c["type"] == "NetworkUnavailable"), None)


def patches(lab, name):
    return [body for node, subresource, body in lab.api.patches if (node, subresource) == (name, "status")]


def wait_condition(lab, name):
    wait_until(lambda: (network_unavailable(lab, name) or {}).get("status") == "False", 20,
               lambda: f"{name} has a network: {network_unavailable(lab, name)}")


def test_condition_is_cleared_when_the_routes_are_announced(lab):
    for name, node in lab.nodes.items():
        wait_condition(lab, name)
        assert network_unavailable(lab, name)["reason"] == "RoostAnnouncesRoutes"
        assert node.has_conflist()
        # The others are as the kubelet wrote them, and it is said once.
        assert len(lab.api.get("nodes", name)["status"]["conditions"]) == 5
        assert len(patches(lab, name)) == 1


def test_node_that_was_made_anew_is_told_again(lab):
    node2 = lab.nodes["node2"]
    lab.api.put("nodes", make_node("node2", [node2.addresses.address[4]], [node2.addresses.pods[4]],
                                   created="2026-11-23T00:00:00Z"))      # another uid
    wait_condition(lab, "node2")
    assert len(patches(lab, "node2")) == 2
    lab.put_node("node2")
    wait_condition(lab, "node2")


def test_condition_waits_for_the_first_announcement(lab):
    """A node whose neighbours are all away announces to nobody."""
    node1, node2 = lab.nodes.values()
    node2.stop_bird()
    node1.stop_roostd()
    node1.stop_bird()
    node1.exec(["rm", "/run/roost/node.json"])      # as after a reboot
    before = len(patches(lab, "node1"))
    node1.start_bird()
    node1.start_roostd()
    wait_problem(node1, "1 of 1 sessions are down")
    wait_until(lambda: not node1.has_conflist(), 20, "the conflist of before the reboot is gone")
    assert len(patches(lab, "node1")) == before
    node2.start_bird()
    wait_until(node1.has_conflist, 20, "pods may come")
    wait_until(lambda: len(patches(lab, "node1")) == before + 1, 10, "node1 has a network")
    for node in (node1, node2):
        wait_healthy(node)


def left_out_events(lab):
    return [event for event in lab.api.events() if event["reason"] == "LeftOut"]


def test_node_that_is_left_out_gets_one_event_of_all(lab):
    lab.api.put("nodes", make_node("bad", ["192.168.1.77"], [BAD]))
    wait_until(lambda: lab.api.count(verb="create", resource=EVENT) == 2, 20, "both nodes have told it")
    [event] = left_out_events(lab)
    assert event["involvedObject"] == {"apiVersion": "v1", "kind": "Node", "name": "bad", "uid": "bad"}
    assert event["type"] == "Warning" and event["source"]["component"] == "roostd"
    assert BAD in event["message"] and event["metadata"]["namespace"] == "default"
    # Nothing new: nothing is told.
    lab.api.put("nodes", make_node("bad", ["192.168.1.77"], [BAD], labels={"rack": "z"}))
    for node in lab.nodes.values():
        node.roostctl("apply", check=True)
    assert lab.api.count(verb="create", resource=EVENT) == 2
    # Another fault is another event.
    lab.api.put("nodes", make_node("bad", [], ["10.244.77.0/24"]))
    wait_until(lambda: len(left_out_events(lab)) == 2, 20, "the other fault has its event")
    lab.api.delete("nodes", "bad")


def test_events_are_limited(lab):
    before, node1 = len(left_out_events(lab)), lab.node("node1")
    for number in range(40):
        lab.api.put("nodes", make_node(f"bad{number:02}", [f"192.168.1.{100 + number}"], [BAD]))
    wait_until(lambda: metric(node1, "roost_source_bad_nodes") == 40, 20, "all are left out")
    # Each may tell of 20 in an hour, some of which are the same, and has told of some.
    wait_until(lambda: len(left_out_events(lab)) - before >= 10, 20, "some are told")
    node1.roostctl("apply")
    for client in (node.addresses.address[4] for node in lab.nodes.values()):
        assert lab.api.count(verb="create", resource=EVENT, client=client) <= 20
    for number in range(40):
        lab.api.delete("nodes", f"bad{number:02}")
    wait_until(lambda: metric(node1, "roost_source_bad_nodes") == 0, 20, "all are gone")


def test_node_without_a_pod_cidr_has_no_network_yet(lab):
    """A kubelet makes its Node first; the podCIDR comes a moment later."""
    lab.api.put("nodes", make_node("node3", ["192.168.1.13"]))
    node3 = Lab.add_node(lab, "node3")
    wait_until(lambda: running_id(node3), 20, "node3 has a configuration")
    wait_until(lambda: len(since(node3)) == 2, 20, "node3 has its sessions")
    wait_problem(node3, "this Node has no podCIDR")
    assert not node3.has_conflist() and not patches(lab, "node3")
    lab.put_node("node3")
    wait_until(node3.has_conflist, 20, "pods may come")
    wait_condition(lab, "node3")


def test_forbidden_is_said_once_and_harms_nothing(lab):
    node1 = lab.node("node1")
    lab.api.deny("patch", CONDITION)
    lab.api.deny("create", EVENT)
    lab.api.put("nodes", make_node("bad", ["192.168.1.78"], [BAD]))
    log = len(roostd_log(node1))
    restart(node1)
    wait_until(lambda: roostd_log(node1)[log:].count("cannot ") == 2, 20,
               lambda: f"both are said: {roostd_log(node1)[log:]}")
    said = roostd_log(node1)[log:]
    assert 'cannot patch resource' in said and "NetworkUnavailable stays as it is" in said
    assert 'cannot create resource "events"' in said and "named by roostctl status only" in said
    before = lab.api.count(verb="create") + lab.api.count(verb="patch")
    for _ in range(3):
        node1.roostctl("apply", check=True)
    assert lab.api.count(verb="create") + lab.api.count(verb="patch") == before
    assert roostd_log(node1)[log:].count("cannot ") == 2
    assert node1.has_conflist()
