"""Routers: what one may say, what it is told, and how one is reached that is not near.

The router is a BIRD that says more than it should.
"""

import re

import pytest
from cluster import since, status, table, wait_healthy

from roostlab import wait_until
from roostlab.addresses import CLUSTER_AS, TOR, TOR_AS, TOR_OUTSIDE

POD_CIDR = {1: "10.244.1.0/24", 2: "10.244.2.0/24"}
NOBODYS = "10.244.7.0/24"                   # in the cluster's, and no node's
ANNOUNCED = [
    "0.0.0.0/0", "10.99.0.0/24",
    POD_CIDR[1], "10.244.1.128/25",         # ours, and inside of ours
    POD_CIDR[2], "10.244.2.128/25",         # another node's, and inside of it
    NOBODYS, "10.244.7.64/26", "10.244.0.0/20",
    "192.168.0.0/16", "192.168.1.0/25",     # around our own address
    "192.168.1.12/32", "192.168.1.4/30",    # another node's address, and a piece of the segment
]


def announce(lab, prefixes, attributes=""):
    """Has the router announce these, with what `attributes` sets in its export filter."""
    path = lab.tor.path("etc/bird/bird.conf")
    with open(path, encoding="utf-8") as stream:
        text = stream.read()
    static = "".join(f" route {prefix} unreachable;" for prefix in prefixes)
    text = re.sub(r"protocol static announced4 .*", f"protocol static announced4 {{ ipv4;{static} }}",
                  text)
    text = re.sub(r"export (all|filter.*?); \};\n\}\ntemplate bgp node6",
                  f"export filter {{ {attributes} accept; }}; }};\n}}\ntemplate bgp node6",
                  text, flags=re.S)
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(text)
    assert "Reconfigured" in lab.tor.birdc("configure")


def configure(lab, node, **options):
    """Gives the router's entry these options, and node1 alone the file."""
    lines = "".join(f"    {key}: {value}\n" for key, value in options.items())
    node.write_config(lab.config() + lines)
    assert node.roostctl("apply").returncode == 0
    wait_until(lambda: "tor:peer" in since(node), 30, "the session with the router is up")


def imported(node, session="tor:peer"):
    """{prefix} that BIRD has from the router."""
    out = node.birdc(f"show route protocol '{session}'", check=False)
    return set(re.findall(r"^(\d\S+/\d+) ", out, re.M))


def wait_imported(node, prefixes):
    wait_until(lambda: imported(node) == set(prefixes), 30,
               lambda: f"from the router: {sorted(prefixes)}, not {sorted(imported(node))}")


@pytest.fixture(scope="module")
def policy(make_lab):
    lab = make_lab(nodes=2, tor="bird")
    node = lab.node("node1")
    for other in lab.nodes.values():
        wait_healthy(other)
    return lab, node


def goes_to_node2(node):
    return node.has_route(POD_CIDR[2], "192.168.1.12")


def test_of_what_a_router_says_only_what_is_safe_is_taken(policy):
    lab, node = policy
    before = since(node)
    announce(lab, ANNOUNCED)
    wait_imported(node, {POD_CIDR[2], NOBODYS, "10.244.0.0/20"})
    # The node's own word for its pods wins, and the others' routes are where they were.
    assert goes_to_node2(node)
    assert since(node) == before

    configure(lab, node, **{"import": "[0.0.0.0/0, 10.0.0.0/8, 192.168.0.0/16]"})
    wait_imported(node, {"0.0.0.0/0", "10.99.0.0/24", POD_CIDR[2], NOBODYS, "10.244.0.0/20",
                         "192.168.0.0/16"})
    configure(lab, node, **{"import": "[10.244.2.128/25, 192.168.1.12/32, 10.244.1.128/25]"})
    wait_imported(node, {"10.244.2.128/25", "192.168.1.12/32"})     # named, but for ours
    configure(lab, node, **{"import": "[]"})
    wait_imported(node, set())
    assert goes_to_node2(node)
    configure(lab, node)


def local_preference(node):
    found = re.search(r"BGP.local_pref: (\d+)", node.birdc(f"show route {NOBODYS} all", check=False))
    return found and int(found.group(1))


def test_local_preference_path_limit_and_a_router_that_is_about_to_go(policy):
    lab, node = policy
    announce(lab, [NOBODYS], "bgp_path.prepend(65001); bgp_path.prepend(65001);")
    configure(lab, node, localPreference=200)
    wait_until(lambda: local_preference(node) == 200, 30, "the local preference is set")
    announce(lab, [NOBODYS], "bgp_community.add((65535, 0));")
    wait_until(lambda: local_preference(node) == 0, 30, "GRACEFUL_SHUTDOWN is honoured")
    announce(lab, [NOBODYS], "bgp_path.prepend(65001); bgp_path.prepend(65001);")
    configure(lab, node, asPathLimit=3)
    wait_imported(node, {NOBODYS})
    configure(lab, node, asPathLimit=2)
    wait_imported(node, set())


def test_a_flood_is_cut_off_and_no_good_route_is_lost(policy):
    lab, node = policy
    configure(lab, node, **{"import": "[10.50.0.0/16]", "importLimit": 100})
    announce(lab, [f"10.50.{n}.0/24" for n in range(250)])

    def row():
        return [row for row in table(node, "peers") if row["session"] == "tor:peer"][0]
    said = "import limit of 100 routes reached: no more are taken"
    wait_until(lambda: said in (row()["reason"] or ""), 30,
               lambda: f"roostctl peers says that the limit is reached: {row()}")
    assert row()["up"]
    assert len(imported(node)) == 100
    assert goes_to_node2(node)
    announce(lab, [NOBODYS])
    configure(lab, node)
    wait_imported(node, {NOBODYS})
    assert "limit" not in (row()["reason"] or "")


def test_attributes_arrive_at_the_router(policy):
    lab, node = policy
    configure(lab, node, med=77, communities="['64512:100', '64512:200']",
              largeCommunities="['64512:1:2']")

    def told():
        return lab.tor.birdc(f"show route {POD_CIDR[1]} all", check=False)
    wait_until(lambda: "BGP.med: 77" in told(), 30, "the router has the route with its MED")
    assert "BGP.community: (64512,100) (64512,200)" in told()
    assert "BGP.large_community: (64512, 1, 2)" in told()
    configure(lab, node)
    wait_until(lambda: "BGP.med" not in told() and "via 192.168.1.11" in told(), 30, "all is gone")


def test_a_router_that_is_not_near_is_reached_by_the_gateway(policy):
    """Its address behind the router, and what it announces resolved by the gateway."""
    lab, node = policy
    path = lab.tor.path("etc/bird/bird.conf")
    with open(path, encoding="utf-8") as stream:
        text = stream.read()
    text = re.sub(r"protocol bgp node1_ipv4 .*\n", f"""protocol bgp far {{
	local {TOR_OUTSIDE[4]} as {TOR_AS};
	neighbor {node.addresses.address[4]} as {CLUSTER_AS};
	multihop 2;
	connect delay time 1;
	ipv4 {{ import all; export where net = 0.0.0.0/0; next hop self; }};
}}
""", text).replace("protocol static announced4 { ipv4;",
                   "protocol static announced4 { ipv4; route 0.0.0.0/0 unreachable;")
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(text)
    node.write_config(lab.config().split("peers:\n")[0] + "peers:\n"
                      f"  - {{name: far, address: {TOR_OUTSIDE[4]}, asNumber: {TOR_AS}, multihop: 2,\n"
                      f"     gateway: {TOR[4]}, import: [0.0.0.0/0]}}\n")
    assert node.roostctl("apply").returncode == 0
    lab.tor.birdc("configure")
    wait_until(lambda: "far:peer" in since(node), 60, "the session is up")
    wait_until(lambda: any(route["dst"] == "default" and route.get("gateway") == TOR[4]
                           and route.get("protocol") == "bird" for route in node.routes()), 30,
               "the default route it announces goes by the gateway")
    wait_until(lambda: POD_CIDR[1] in lab.tor.birdc("show route protocol far"), 30,
               "it has the node's podCIDR")
    assert goes_to_node2(node)
    wait_until(lambda: status(node)["health"] == "healthy", 30, "and node1 is content")
