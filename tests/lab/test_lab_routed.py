# SPDX-License-Identifier: GPL-2.0-or-later
"""A whole cluster without bridges: `cni.mode: routed` in the one file."""

import json

import pytest

from cluster import status, table, wait_healthy
from roostlab import wait_until

PROTOCOL = "82"         # of a node's routes to its routed pods


def node_mode(node):
    with open(node.path("root/run/roost/node.json"), encoding="utf-8") as stream:
        return json.load(stream)["mode"]


@pytest.fixture(scope="module")
def routed(make_lab):
    """Three nodes, a router and the outside host; two pods on node1, one on the others."""
    lab = make_lab(nodes=3, tor="bird", ipv6=True, pods=0)
    lab.write_config(lab.config(extra="cni: {mode: routed}\n"))
    for node in lab.nodes.values():
        wait_until(lambda: node_mode(node) == "routed", 30, f"{node.name} is told of the mode")
        wait_healthy(node)
    for name in ("node1", "node1", "node2", "node3"):
        lab.add_pod(name)
    return lab


def pod_routes(node):
    """The node's routes to routed pods, of both families."""
    return {route["dst"] for family in ("-4", "-6") for route in json.loads(
        node.exec(["ip", "-j", family, "route", "show", "proto", PROTOCOL]).stdout or "[]")}


def addresses(lab, node_name):
    return {ip["address"].split("/")[0] for pod in lab.pods.values()
            if pod.node_name == node_name for ip in pod.result["ips"]}


def test_every_pod_and_the_outside_host_reach_every_pod_without_bridges(routed):
    pings = routed.ping_matrix()
    assert {ping.family for ping in pings} == {4, 6}
    assert len(pings) == 2 * (4 * 3 + 4)
    assert [ping for ping in pings if not ping.ok] == []
    for node in routed.nodes.values():
        assert node.exec(["ip", "link", "show", "type", "bridge"]).stdout == ""


def test_pods_have_their_address_alone(routed):
    for pod in routed.pods.values():
        assert {ip["address"].split("/")[1] for ip in pod.result["ips"]} == {"32", "128"}
        assert [ip["gateway"] for ip in pod.result["ips"]] == ["169.254.1.1", "fe80::1"]


def test_roostctl_is_content_with_every_route(routed):
    for node in routed.nodes.values():
        assert status(node)["health"] == "healthy", status(node)
        routes = table(node, "routes")
        rows = routes["routes"] if isinstance(routes, dict) else routes
        assert rows and {row["verdict"] for row in rows} == {"ok"}, rows


def test_no_pods_route_leaves_its_node_or_gets_into_bird(routed):
    everyone = set()
    for name, node in routed.nodes.items():
        mine = addresses(routed, name)
        assert pod_routes(node) == mine
        assert node.exec(["ip", "-j", "route", "show", "proto", "bird"]).stdout
        everyone |= mine
    assert len(everyone) == 8
    for machine in [*routed.nodes.values(), routed.tor]:
        known = machine.birdc("show route all")
        assert "10.244.1.0/24" in known, "the aggregate is what is announced"
        assert [a for a in everyone if f"{a}/32" in known or f"{a}/128" in known] == []
    for name, node in routed.nodes.items():
        kernel = "".join(node.exec(["ip", family, "route", "show", "table", "main"]).stdout
                         for family in ("-4", "-6"))
        here = {line.split()[0] for line in kernel.splitlines()}
        assert here & everyone == addresses(routed, name)


def test_check_and_status_pass_and_deleted_pods_leave_nothing(routed):
    node = routed.node("node1")
    node.cni.status()
    pod = routed.add_pod("node1")
    node.cni.check(pod.container_id, pod.netns_path, result=pod.result)
    before = addresses(routed, "node1")
    mine = {ip["address"].split("/")[0] for ip in pod.result["ips"]}
    routed.del_pod(pod)
    assert pod_routes(node) == before - mine


def test_a_killed_bird_or_roostd_takes_no_pods_route_along(routed):
    node = routed.node("node1")
    before = pod_routes(node)
    node.kill_roostd()
    node.kill_bird()
    wait_healthy(node)
    assert pod_routes(node) == before == addresses(routed, "node1")
    assert [ping for ping in routed.ping_matrix() if not ping.ok] == []
