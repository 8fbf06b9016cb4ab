"""Routers: what one may say, what it is told, and how one is reached that is not near.

The router is a BIRD that says more than it should, by IPv4 and by IPv6.
"""

import re

import pytest
from cluster import since, status, table, wait_healthy

from roostlab import wait_until
from roostlab.addresses import CLUSTER_AS, TOR, TOR_AS, TOR_OUTSIDE, TOR_PEER

SESSIONS = [f"{peer}:peer" for peer in TOR_PEER.values()]
POD_CIDR = {1: ["10.244.1.0/24", "fd00:10:244:1::/64"], 2: ["10.244.2.0/24", "fd00:10:244:2::/64"]}
NOBODYS = ["10.244.7.0/24", "fd00:10:244:7::/64"]           # in the cluster's, and no node's
AGGREGATE = ["10.244.0.0/20", "fd00:10:244::/60"]
DEFAULT = ["0.0.0.0/0", "::/0"]
OUTSIDE = ["10.99.0.0/24", "fd00:99::/64"]
HALF = {1: ["10.244.1.128/25", "fd00:10:244:1:8000::/65"],  # of a node's podCIDR
        2: ["10.244.2.128/25", "fd00:10:244:2:8000::/65"]}
AROUND = ["192.168.0.0/16", "fd00::/16"]                    # our own address, and much more
NODE2 = ["192.168.1.12/32", "fd00:1::12/128"]
FAR_END = ["192.168.1.128/25", "fd00:1::8000/113"]          # of the segment
ELSEWHERE = ["192.168.2.0/24", "fd00:2::/64"]
ANNOUNCED = [
    *DEFAULT, *OUTSIDE, *POD_CIDR[1], *HALF[1], *POD_CIDR[2], *HALF[2], *NOBODYS, *AGGREGATE,
    "10.244.7.64/26", "fd00:10:244:7:4000::/66", *AROUND, "192.168.1.0/25", "fd00:1::/113",
    *NODE2, "192.168.1.4/30", "fd00:1::4/126", *FAR_END, *ELSEWHERE]
# One more router is on the far end; nobody answers there.
FAR_ROUTER = """\
  - {name: far-end, address: 192.168.1.254, asNumber: 65001, import: []}
  - {name: far-end6, address: "fd00:1::fffe", asNumber: 65001, import: []}
"""


def announce(lab, prefixes, attributes=""):
    """Has the router announce these, with what `attributes` sets in its export filters."""
    path = lab.tor.path("etc/bird/bird.conf")
    with open(path, encoding="utf-8") as stream:
        text = stream.read()
    for family in lab.families:
        static = "".join(f" route {prefix} unreachable;" for prefix in prefixes
                         if (":" in prefix) == (family == 6))
        text = re.sub(rf"protocol static announced{family} .*",
                      f"protocol static announced{family} {{ ipv{family};{static} }}", text)
    text = re.sub(r"\]; export .*", f"]; export filter {{ {attributes} accept; }}; }};", text)
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(text)
    assert "Reconfigured" in lab.tor.birdc("configure")


def set_role(lab, role):
    path = lab.tor.path("etc/bird/bird.conf")
    with open(path, encoding="utf-8") as stream:
        text = re.sub(r"\tlocal role \w+;\n\terror wait time 1, 1;\n", "", stream.read())
    if role:        # BIRD's pause after an error is a minute
        text = re.sub(r"template bgp .*\n",
                      rf"\g<0>\tlocal role {role};\n\terror wait time 1, 1;\n", text)
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(text)
    assert "Reconfigur" in lab.tor.birdc("configure")


def tor_rows(node):
    return [row for row in table(node, "peers") if row["session"] in SESSIONS]


def are_up(node):
    return set(SESSIONS) <= set(since(node))


def configure(lab, node, more="", **options):
    """Gives both of the router's entries these options, and node1 alone the file."""
    lines = "".join(f"    {key}: {value}\n" for key, value in options.items())
    as_number = f"    asNumber: {TOR_AS}\n"
    node.write_config(lab.config().replace(as_number, as_number + lines) + more)
    assert node.roostctl("apply").returncode == 0
    wait_until(lambda: are_up(node), 30, "the sessions with the router are up")


def imported(node):
    """{prefix} that BIRD has from the router."""
    return {prefix for session in SESSIONS for prefix in re.findall(
        r"^([0-9a-f:.]+/\d+) ", node.birdc(f"show route protocol '{session}'", check=False), re.M)}


def wait_imported(node, prefixes):
    wait_until(lambda: imported(node) == set(prefixes), 30,
               lambda: f"from the router: {sorted(prefixes)}, not {sorted(imported(node))}")


@pytest.fixture(scope="module")
def policy(make_lab):
    lab = make_lab(nodes=2, tor="bird", ipv6=True)
    node = lab.node("node1")
    for other in lab.nodes.values():
        wait_healthy(other)
    return lab, node


def goes_to_node2(node):
    return node.has_route(POD_CIDR[2][0], "192.168.1.12") and \
        node.has_route(POD_CIDR[2][1], "fd00:1::12", 6)


def test_of_what_a_router_says_only_what_is_safe_is_taken(policy):
    lab, node = policy
    before = since(node)
    announce(lab, ANNOUNCED)
    in_cluster = [*POD_CIDR[2], *NOBODYS, *AGGREGATE]
    wait_imported(node, in_cluster)
    # The node's own word for its pods wins, and the others' routes are where they were.
    assert goes_to_node2(node)
    assert since(node) == before

    wide = "[0.0.0.0/0, 10.0.0.0/8, 192.168.0.0/16, '::/0', 'fd00::/16']"
    safe = [*DEFAULT, *OUTSIDE, *in_cluster, *AROUND, *ELSEWHERE]
    configure(lab, node, **{"import": wide})
    wait_imported(node, [*safe, *FAR_END])      # nothing says that it is of the segment
    configure(lab, node, FAR_ROUTER, **{"import": wide})
    wait_imported(node, safe)
    assert since(node) == before
    named = [*HALF[2], *NODE2, *FAR_END]
    configure(lab, node, FAR_ROUTER, **{"import": [*named, *HALF[1]]})
    wait_imported(node, named)                  # but for ours
    configure(lab, node, **{"import": "[]"})
    wait_imported(node, set())
    assert goes_to_node2(node)
    configure(lab, node)


def attributes(machine, prefix):
    """{"med": "77"} of BIRD's route; BIRD 2 prints it as BGP.med, BIRD 3 as bgp_med."""
    return dict(re.findall(r"(?:BGP\.|bgp_)(\w+): (.*)",
                           machine.birdc(f"show route {prefix} all", check=False)))


def of_nobodys(node, attribute):
    """What both routes to nobody's podCIDRs have of it."""
    found = {attributes(node, prefix).get(attribute) for prefix in NOBODYS}
    return found.pop() if len(found) == 1 else found


def test_local_preference_path_limit_and_a_router_that_is_about_to_go(policy):
    lab, node = policy
    announce(lab, NOBODYS, "bgp_path.prepend(65001); bgp_path.prepend(65001);")
    configure(lab, node, localPreference=200)
    wait_until(lambda: of_nobodys(node, "local_pref") == "200", 30, "the local preference is set")
    announce(lab, NOBODYS, "bgp_community.add((65535, 0));")
    wait_until(lambda: of_nobodys(node, "local_pref") == "0", 30, "GRACEFUL_SHUTDOWN is honoured")
    announce(lab, NOBODYS, "bgp_path.prepend(65001); bgp_path.prepend(65001);")
    configure(lab, node, asPathLimit=3)
    wait_imported(node, NOBODYS)
    configure(lab, node, asPathLimit=2)
    wait_imported(node, set())


def test_our_own_as_in_the_path_is_a_loop_unless_it_is_allowed(policy):
    """Once is what a router says of another node of our AS, unless it puts in its own."""
    lab, node = policy
    clean = ["10.244.8.0/24", "fd00:10:244:8::/64"]
    announce(lab, [*NOBODYS, *clean],
             f"if net = {NOBODYS[0]} || net = {NOBODYS[1]} then {{ bgp_path.prepend({CLUSTER_AS}); "
             f"bgp_path.prepend({CLUSTER_AS}); }}")
    for times, wanted in ((0, clean), (1, [*clean, *POD_CIDR[2]]),
                          (2, [*clean, *POD_CIDR[2], *NOBODYS])):
        configure(lab, node, allowLocalAS=times)
        wait_imported(node, wanted)


def test_roles_have_to_fit_and_mark_what_must_not_go_on(policy):
    """RFC 9234: what a customer has from a provider it tells no other one."""
    lab, node = policy
    announce(lab, NOBODYS)
    before = since(node)
    set_role(lab, "provider")
    wait_until(lambda: are_up(node) and all(since(node)[name] != before[name] for name in SESSIONS),
               30, "without one of ours they are up")
    node.write_config(lab.config() + "    role: provider\nbird: {confirmTimeout: 5}\n")
    applied = node.roostctl("apply")
    assert applied.returncode == 1 and "rolled back" in applied.stdout, applied.stdout
    configure(lab, node, role="customer")
    wait_until(lambda: of_nobodys(node, "otc") == str(TOR_AS), 30,
               lambda: f"the router's AS is noted: {of_nobodys(node, 'otc')}")
    set_role(lab, "peer")
    wait_until(lambda: all("Role mismatch" in (row["reason"] or "") for row in tor_rows(node)), 60,
               lambda: f"the reason is told: {tor_rows(node)}")
    assert not any(row["up"] for row in tor_rows(node))
    set_role(lab, None)
    configure(lab, node)


def test_a_flood_is_cut_off_and_no_good_route_is_lost(policy):
    lab, node = policy
    configure(lab, node, **{"import": "[10.50.0.0/16, 'fd00:50::/32']", "importLimit": 100})
    announce(lab, [prefix for n in range(250)
                   for prefix in (f"10.50.{n}.0/24", f"fd00:50:{n:x}::/48")])

    said = "import limit of 100 routes reached: no more are taken"
    wait_until(lambda: all(said in (row["reason"] or "") for row in tor_rows(node)), 30,
               lambda: f"roostctl peers says that the limit is reached: {tor_rows(node)}")
    assert all(row["up"] for row in tor_rows(node))
    assert len(imported(node)) == 200
    assert goes_to_node2(node)
    announce(lab, NOBODYS)
    configure(lab, node)
    wait_imported(node, NOBODYS)
    assert not any("limit" in (row["reason"] or "") for row in tor_rows(node))


def test_attributes_arrive_at_the_router(policy):
    lab, node = policy
    configure(lab, node, med=77, communities="['64512:100', '64512:200']",
              largeCommunities="['64512:1:2']")

    def told(prefix):
        return attributes(lab.tor, prefix)
    for prefix in POD_CIDR[1]:
        wait_until(lambda: told(prefix).get("med") == "77", 30, f"{prefix} has come with its MED")
        assert told(prefix)["community"] == "(64512,100) (64512,200)"
        assert told(prefix)["large_community"] == "(64512, 1, 2)"
    configure(lab, node)
    for prefix, hop in zip(POD_CIDR[1], ("192.168.1.11", "fd00:1::11")):
        wait_until(lambda: told(prefix).get("next_hop", "").startswith(hop)
                   and "med" not in told(prefix), 30, "all is gone")


FAR = {4: "far:peer", 6: "far6:peer"}


def test_a_router_that_is_not_near_is_reached_by_the_gateway(policy):
    """Its address behind the router, and what it announces resolved by the gateway; watched
    with BFD, and taken from nobody who is further away."""
    lab, node = policy
    path = lab.tor.path("etc/bird/bird.conf")
    with open(path, encoding="utf-8") as stream:
        text = re.sub(r"protocol bgp node1_.*\n", "", stream.read()) + "protocol bfd { }\n"
    for family, default in zip(lab.families, DEFAULT):
        text += f"""protocol bgp far{family} {{
	local {TOR_OUTSIDE[family]} as {TOR_AS};
	neighbor {node.addresses.address[family]} as {CLUSTER_AS};
	multihop 2;
	ttl security on;
	bfd on;
	connect delay time 1;
	ipv{family} {{ import all; export where net = {default}; next hop self; }};
}}
"""
        text = text.replace(f"protocol static announced{family} {{ ipv{family};",
                            f"protocol static announced{family} {{ ipv{family}; route {default} unreachable;")
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(text)
    node.write_config(lab.config().split("peers:\n")[0] + "peers:\n" + "".join(
        f"  - {{name: {FAR[family].split(':')[0]}, address: '{TOR_OUTSIDE[family]}', asNumber: {TOR_AS},\n"
        f"     multihop: 2, ttlSecurity: true, bfd: true, gateway: '{TOR[family]}',\n"
        f"     import: ['{default}']}}\n" for family, default in zip(lab.families, DEFAULT)))
    assert node.roostctl("apply").returncode == 0
    lab.tor.birdc("configure")
    wait_until(lambda: set(FAR.values()) <= set(since(node)), 60, "the sessions are up")
    for i, family in enumerate(lab.families):
        wait_until(lambda: any(route["dst"] == "default" and route.get("gateway") == TOR[family]
                               and route.get("protocol") == "bird" for route in node.routes(family)),
                   30, "the default route it announces goes by the gateway")
        wait_until(lambda: POD_CIDR[1][i] in lab.tor.birdc(f"show route protocol far{family}"), 30,
                   "it has the node's podCIDR")
    wait_until(lambda: [row["bfd"] for row in table(node, "peers") if row["kind"] == "router"]
               == ["Up", "Up"], 30, "BFD watches both")
    assert goes_to_node2(node)
    wait_until(lambda: status(node)["health"] == "healthy", 30, "and node1 is content")
