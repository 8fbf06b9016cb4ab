"""A router known by the link alone: no address of it in the file, none of ours in its.

FRR's side is `neighbor eth0 interface remote-as external`, as in its documentation.
"""

import json

import pytest
from cluster import bird_log, status, table, wait_healthy

from roostlab import wait_until
from roostlab.addresses import CLUSTER, CLUSTER_AS, OUTSIDE_NET, TOR as TOR_ADDRESS, TOR_AS

POD_CIDR = {4: "10.244.1.0/24", 6: "fd00:10:244:1::/64"}
TOR = "tor:peer"
# A node of another rack, which the router knows the way to.
FAR = {4: "10.244.2.0/24", 6: "fd00:10:244:2::/64"}
ELSEWHERE = f"""  - name: node2
    addresses: [192.168.2.12, "fd00:2::12"]
    podCIDRs: [{FAR[4]}, "{FAR[6]}"]
"""


def frr(router, *commands):
    return router.exec(["vtysh", *(word for command in commands for word in ("-c", command))]).stdout


def config(lab, **options):
    options = {"name": "tor", "interface": "eth0", "asNumber": TOR_AS, "extendedNextHop": "true",
               "import": f"[{CLUSTER[4]}, '{CLUSTER[6]}', {OUTSIDE_NET[4]}, '{OUTSIDE_NET[6]}']",
               **options}
    entry = ", ".join(f"{key}: {value}" for key, value in options.items())
    head = lab.config().split("peers:\n")[0].replace("topology: mesh", "topology: none")
    return head + f"{ELSEWHERE}peers:\n  - {{{entry}}}\n"


def row(node):
    return next(row for row in table(node, "peers") if row["session"] == TOR)


def wait_up(node):
    wait_until(lambda: row(node)["up"], 60, lambda: f"the router has connected: {row(node)}")


@pytest.fixture(scope="module")
def linked(make_lab):
    lab = make_lab(nodes=1, tor="frr", ipv6=True)
    node = lab.node("node1")
    frr(lab.tor, "configure terminal", f"router bgp {TOR_AS}",
        f"no neighbor {node.addresses.address[4]}", f"no neighbor {node.addresses.address[6]}",
        "neighbor eth0 interface remote-as external",
        "neighbor eth0 timers connect 1",
        "no bgp network import-check",
        *(command for family, prefix in FAR.items() for command in (
            f"address-family ipv{family} unicast", "neighbor eth0 activate", f"network {prefix}",
            "exit-address-family")))
    node.write_config(config(lab))
    assert node.roostctl("apply").returncode == 0
    wait_up(node)
    return lab, node


def link_local(machine):
    out = machine.exec(["ip", "-j", "-6", "address", "show", "dev", "eth0", "scope", "link"]).stdout
    return next(info["local"] for link in json.loads(out) for info in link.get("addr_info", [])
                if info.get("scope") == "link")


def test_it_is_one_session_by_the_routers_name_with_routes_of_both_families(linked):
    lab, node = linked
    router, own = link_local(lab.tor), link_local(node)
    wait_healthy(node, 60)
    wait_until(lambda: row(node)["routesIn"] == 4 and row(node)["routesOut"] == 2, 30,
               lambda: f"routes of both families go both ways: {row(node)}")
    assert len(table(node, "peers")) == 1
    assert row(node)["name"] == "tor"
    assert row(node)["address"].split("%")[0] == router
    assert row(node)["asNumber"] == TOR_AS
    for family, prefix in POD_CIDR.items():
        said = json.loads(frr(lab.tor, f"show bgp ipv{family} unicast {prefix} json"))
        assert [path["aspath"]["string"] for path in said["paths"]] == [str(CLUSTER_AS)]
    # A router with a global address on the link names that one.
    hops = {router, TOR_ADDRESS[6]}
    wait_until(lambda: any(route["dst"] == OUTSIDE_NET[4]
                           and route.get("via", {}).get("host") in hops
                           for route in node.routes(4)), 30, "IPv4 goes by an IPv6 next hop")
    wait_until(lambda: any(route["dst"] == OUTSIDE_NET[6] and route.get("gateway") in hops
                           for route in node.routes(6)), 30, "IPv6 goes to the router")
    for prefix in FAR.values():
        judged = next(row for row in table(node, "routes") if row["prefix"] == prefix)
        assert judged["verdict"] == "ok", judged
        assert judged["bird"]["nextHop"] in hops and judged["kernel"]["nextHops"] == [
            judged["bird"]["nextHop"]], judged
    explained = node.roostctl("explain", "10.244.2.7")
    assert explained.returncode == 0, explained.stdout
    assert "tor:peer is up" in explained.stdout
    announced = status(node)["podCIDRs"]
    assert [cidr["announcedTo"] for cidr in announced] == [1, 1]
    for family, prefix in POD_CIDR.items():
        wait_until(lambda: any(route["dst"] == prefix for route in lab.tor.routes(family)), 30,
                   f"the router's kernel has {prefix}")


def change(node, text):
    """Applies it; {session: action} as roostctl plan has it before."""
    path = "var/lib/roost/planned.yaml"
    with open(node.path(path), "w", encoding="utf-8") as stream:
        stream.write(text)
    plan = json.loads(node.roostctl("-o", "json", "plan", f"/{path}").stdout)["sessions"]
    node.write_config(text)
    done = node.roostctl("apply")
    assert done.returncode == 0, done.stdout + done.stderr
    wait_up(node)
    return {row["session"]: row["action"] for row in plan}


@pytest.mark.parametrize("options,action", [
    ({"import": "[]"}, "refresh"), ({"med": 5}, "refresh"), ({"importLimit": 7}, "keep"),
    ({"holdTime": 30}, "RESTART")], ids=lambda value: str(*value) if isinstance(value, dict) else "")
def test_plan_knows_what_a_change_does(linked, options, action):
    lab, node = linked
    for wanted in (config(lab, **options), config(lab)):
        starts = bird_log(node).count("tor:peer~1: State changed to start")
        assert change(node, wanted) == {TOR: action}
        assert (bird_log(node).count("tor:peer~1: State changed to start") > starts) == \
            (action == "RESTART")


@pytest.mark.parametrize("key,value,said", [("ttlSecurity", "true", "ttl-security hops 1"),
                                            ("password", "abc", "password abc")])
def test_both_sides_can_secure_it(linked, key, value, said):
    lab, node = linked
    frr(lab.tor, "configure terminal", f"router bgp {TOR_AS}", f"neighbor eth0 {said}")
    assert change(node, config(lab, **{key: value})) == {TOR: "RESTART"}
    frr(lab.tor, "configure terminal", f"router bgp {TOR_AS}", f"no neighbor eth0 {said}")
    change(node, config(lab))


def test_whoever_was_away_is_back_under_the_same_name(linked):
    lab, node = linked
    before = row(node)["since"]
    frr(lab.tor, "clear bgp *")
    wait_until(lambda: row(node)["up"] and row(node)["since"] != before, 60,
               lambda: f"the router is back: {row(node)}")
    starts = node.service_status()["bird"]["starts"]
    node.kill_bird()
    wait_until(lambda: node.service_status()["bird"]["starts"] > starts
               and status(node)["bird"]["reachable"], 30, "BIRD is back")
    wait_up(node)
    assert [row["session"] for row in table(node, "peers")] == [TOR]
