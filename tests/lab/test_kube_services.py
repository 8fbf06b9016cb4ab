# SPDX-License-Identifier: GPL-2.0-or-later
"""Addresses of Services reach the router from the nodes that serve them, as they come and
go, and no session, no other node and no kernel notices.

The router is an FRR; kube-proxy is one rule of nftables.
"""

import json

import pytest
from cluster import metric, since, status, table, wait_healthy
from kubelab import KubeLab, restart, wait_problem
from kubeobjects import endpoint_slice, service

from roostlab import wait_until
from roostlab.addresses import TOR_AS

SERVICE_CIDR = "203.0.113.0/24"
VIP, OTHER_VIP = "203.0.113.10", "203.0.113.20"
ADDRESS = {"node1": "192.168.1.11", "node2": "192.168.1.12", "node3": "192.168.1.13"}
ALL = set(ADDRESS)


class ServicesLab(KubeLab):
    def config(self, nodes=None, extra=""):
        return (super().config(nodes, extra)
                .replace("  topology:", f"  serviceCIDRs: [{SERVICE_CIDR}]\n  topology:")
                .replace(f"asNumber: {TOR_AS}\n", f"asNumber: {TOR_AS}\n    export: [pods, services]\n"))


@pytest.fixture(scope="module")
def lab(make_kube_lab):
    lab = make_kube_lab(nodes=3, tor="frr", pods=1, kind=ServicesLab)
    lab.tor.exec(["vtysh", "-c", "configure terminal",
                  "-c", f"ip prefix-list pods seq 10 permit {SERVICE_CIDR} le 32"])
    for node in lab.nodes.values():
        wait_healthy(node)
    return lab


def heard(lab, address):
    """From which nodes the router has the address."""
    out = lab.tor.exec(["vtysh", "-c", f"show bgp ipv4 unicast {address}/32 json"], check=False).stdout
    paths = json.loads(out or "{}").get("paths", [])
    hops = {hop["ip"] for path in paths for hop in path["nexthops"]}
    return {name for name, own in ADDRESS.items() if own in hops}


def wait_heard(lab, address, nodes):
    wait_until(lambda: heard(lab, address) == set(nodes), 20,
               lambda: f"{address} from {sorted(nodes)}, not {sorted(heard(lab, address))}", 0.1)


def endpoints(lab, name, **ready):
    """An endpoint on each of these nodes, ready or not."""
    lab.api.put("endpointslices", endpoint_slice(name, [
        (f"10.244.{node[-1]}.99", node, is_ready) for node, is_ready in ready.items()]))


def row(node, address):
    """What `roostctl services` says of it here."""
    return next((row for row in table(node, "services") if row["address"] == address), None)


@pytest.fixture(name="web")
def fixture_web(lab):
    """A Service that is Local, with an endpoint on node2, as all routers know; and gone at the end."""
    lab.api.put("services", service("web", external=[VIP], cluster_ips=["10.96.0.10"], policy="Local"))
    endpoints(lab, "web", node2=True)
    wait_heard(lab, VIP, {"node2"})
    yield lab.api.get("services", "default/web")
    for plural, key in (("services", "default/web"), ("endpointslices", "default/web-abcde")):
        if lab.api.get(plural, key):
            lab.api.delete(plural, key)
    wait_heard(lab, VIP, set())


def test_a_local_service_is_announced_where_its_endpoints_are(lab, web):
    del web
    before = {name: since(node) for name, node in lab.nodes.items()}
    node1, node2 = lab.node("node1"), lab.node("node2")
    assert row(node2, VIP)["announcedTo"] == ["tor:peer"]
    assert row(node2, VIP)["service"] == "default/web"
    assert "no ready endpoint on this node" in row(node1, VIP)["reason"]
    assert metric(node2, "roost_services_announced") == 1
    assert status(node2)["services"] == {"addresses": 1, "announced": 1, "outside": 0, "routers": 1}
    assert "announced   to tor:peer" in node2.roostctl("explain", VIP, check=True).stdout

    endpoints(lab, "web", node1=True, node2=False, node3=True)
    wait_heard(lab, VIP, {"node1", "node3"})
    endpoints(lab, "web", node1=False)
    wait_heard(lab, VIP, set())
    assert row(node1, VIP)["reason"] == "the Service has no ready endpoint"
    assert node1.roostctl("explain", VIP).returncode == 1
    endpoints(lab, "web", node3=True)
    wait_heard(lab, VIP, {"node3"})
    assert {name: since(node) for name, node in lab.nodes.items()} == before


def test_the_last_endpoint_counts_while_it_terminates_and_serves(lab, web):
    del web
    going = endpoint_slice("web", [("10.244.2.99", "node2", False)])
    going["endpoints"][0]["conditions"].update(serving=True, terminating=True)
    endpoints(lab, "web", node1=True)
    wait_heard(lab, VIP, {"node1"})
    lab.api.put("endpointslices", going)
    wait_heard(lab, VIP, {"node2"})         # nobody else has one
    # A new one takes over before the old one is gone.
    going["endpoints"] += endpoint_slice("web", [("10.244.3.99", "node3", True)])["endpoints"]
    lab.api.put("endpointslices", going)
    wait_heard(lab, VIP, {"node3"})


def test_any_endpoint_makes_all_nodes_announce_and_the_last_one_ends_it(lab):
    lab.api.put("services", service("wide", ingress=[OTHER_VIP, "198.51.100.7"],
                                    cluster_ips=["10.96.0.11"]))
    endpoints(lab, "wide", node3=True)
    wait_heard(lab, OTHER_VIP, ALL)
    assert heard(lab, "198.51.100.7") == set()
    assert row(lab.node("node1"), "198.51.100.7")["reason"] == "outside cluster.serviceCIDRs"
    # As kubeadm marks its control plane.
    lab.label("node1", **{"node.kubernetes.io/exclude-from-external-load-balancers": ""})
    wait_heard(lab, OTHER_VIP, ALL - {"node1"})
    lab.label("node1", **{"node.kubernetes.io/exclude-from-external-load-balancers": None})
    wait_heard(lab, OTHER_VIP, ALL)
    lab.api.delete("endpointslices", "default/wide-abcde")
    wait_heard(lab, OTHER_VIP, set())
    endpoints(lab, "wide", node2=True)
    wait_heard(lab, OTHER_VIP, ALL)
    lab.api.delete("services", "default/wide")
    wait_heard(lab, OTHER_VIP, set())
    lab.api.delete("endpointslices", "default/wide-abcde")


def pings(lab, source, address):
    return lab.exec(source, ["ping", "-c1", "-W1", address], check=False).returncode == 0


def test_the_announced_address_is_in_no_kernel_and_kube_proxy_has_its_packets(lab, web):
    del web
    node, pod = lab.node("node2"), lab.pod("node2-pod1")
    for other in lab.nodes.values():
        assert not [route for route in other.routes() if route["dst"].startswith("203.0.113.")]
    dnat = f"ip daddr {VIP} dnat to {pod.address}"
    node.exec(["nft", f"""
        table ip proxy {{
            chain out {{ type nat hook output priority -100; {dnat}; }}
            chain in {{ type nat hook prerouting priority -100; {dnat}; }}
        }}"""])
    try:
        wait_until(lambda: pings(lab, "node2", VIP), 10, "the node reaches the Service")
        wait_until(lambda: pings(lab, "outside", VIP), 10, "so does a host behind the router")
    finally:
        node.exec(["nft", "delete table ip proxy"])


def test_services_are_known_while_the_api_server_is_away(lab, web):
    del web
    lab.api.stop()
    try:
        for node in lab.nodes.values():
            wait_problem(node, "192.168.1.240")
            restart(node)
        assert heard(lab, VIP) == {"node2"}
        assert row(lab.node("node2"), VIP)["announced"]
    finally:
        lab.recover()
    endpoints(lab, "web", node1=True)
    wait_heard(lab, VIP, {"node1"})


def test_without_the_permission_nodes_are_as_before_and_it_is_named(lab, web):
    del web
    node = lab.node("node2")
    lab.api.deny("list", "endpointslices")
    try:
        restart(node)
        wait_problem(node, "not permitted to list endpointslices")
        wait_until(lambda: metric(node, "roost_source_synced") == 1, 10, "its Nodes are fresh")
        assert heard(lab, VIP) == {"node2"}
    finally:
        lab.recover()


def test_a_drained_node_leaves_its_services_to_the_others(lab):
    lab.api.put("services", service("wide", external=[OTHER_VIP], cluster_ips=["10.96.0.11"]))
    endpoints(lab, "wide", node3=True)
    wait_heard(lab, OTHER_VIP, ALL)
    node = lab.node("node3")
    try:
        node.roostctl("drain")
        wait_heard(lab, OTHER_VIP, ALL - {"node3"})
        assert row(node, OTHER_VIP)["reason"] == "this node is drained"
    finally:
        node.roostctl("undrain")
    wait_heard(lab, OTHER_VIP, ALL)
