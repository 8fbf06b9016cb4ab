# SPDX-License-Identifier: GPL-2.0-or-later
"""Ways to speak to a router, each seen to work: a session for each option, by IPv4 and IPv6.

The routers are BIRDs in one namespace, each with addresses of its own.  What FRR and
GoBGP make of a node that shares its AS, or has one of its own, is below.
"""

import re
import signal
import subprocess

import pytest
from cluster import since, table, wait_healthy

from roostlab import Lab, netns, wait_until
from roostlab.addresses import CLUSTER_AS, LENGTH, in_rack
from roostlab.base import netns_name, run, write_file
from roostlab.site import BirdRouter, Route

FAMILIES = (4, 6)
DEFAULT = {4: "0.0.0.0/0", 6: "::/0"}
NOBODYS = {4: "10.244.7.0/24", 6: "fd00:10:244:7::/64"}     # in the cluster's, and no node's
OTHER = {4: "10.50.0.0/24", 6: "fd00:50::/64"}
SECOND = in_rack(1, 99)                                     # one more address of node1
HOPS = [in_rack(1, 231), in_rack(1, 232)]                   # two more ways out
NODE2_AS = 64602

# name: (what the node's entry says, what the router's sessions say, [(prefix, next hop)])
ROUTERS = {
    "waited-for": ("passive: true", {"local": "port 1790"}, [(NOBODYS, HOPS[0])]),
    "on-a-port": ("port: 1790", {"local": "port 1790", "more": "passive on;"},
                  [(NOBODYS, HOPS[1])]),
    "from-second": ("sourceAddress: {second}", {"neighbor": SECOND}, []),
    "many-paths": ("addPaths: both, export: [cluster], import: ['{other}']",
                   {"channel": "add paths on;"}, [(OTHER, HOPS[0]), (OTHER, HOPS[1])]),
    "uplink": ("import: ['{default}']", {}, [(DEFAULT, None)]),
    "downlink": ("export: [default], import: []", {}, []),
    "long-lived": ("gracefulRestart: {{restartTime: 1}}, longLivedGracefulRestart: {{staleTime: 3}}",
                   {"more": "long lived graceful restart on;"}, []),
}


class Router:
    """A BIRD of its own, on in_rack(1, 201) and so on."""

    def __init__(self, namespace, folder, number, name):
        _, says, announced = ROUTERS[name]
        self.name, self.namespace = name, namespace
        self.addresses, self.asn = in_rack(1, 200 + number), 65200 + number
        self.path = f"{folder}/{number}"
        self.process = None
        text = (f'log "{self.path}.log" all;\nrouter id {self.addresses[4]};\n'
                "protocol device { scan time 10; }\n")
        for family in FAMILIES:
            for i, (prefix, hop) in enumerate(announced):
                way = f"via {hop[family]}" if hop else "unreachable"
                text += (f"protocol static announced{family}_{i} {{ ipv{family}; "
                         f"route {prefix[family]} {way}; }}\n")
            text += f"""protocol bgp node{family} {{
	local {self.addresses[family]} {says.get('local', '')} as {self.asn};
	neighbor {says.get('neighbor', in_rack(1, 11))[family]} as {CLUSTER_AS};
	strict bind on;
	graceful restart on;
	connect delay time 1;
	connect retry time 1;
	error wait time 1, 1;
	{says.get('more', '')}
	ipv{family} {{ import all; export where source = RTS_STATIC; {says.get('channel', '')} }};
}}
"""
        write_file(f"{self.path}.conf", text)

    def start(self):
        self.process = subprocess.Popen(
            netns.inside(self.namespace, ["bird", "-f", "-c", f"{self.path}.conf", "-s",
                                          f"{self.path}.ctl", "-P", f"{self.path}.pid"]),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self):
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def birdc(self, command, check=True):
        return run(["birdc", "-s", f"{self.path}.ctl", *command.split()], check=check).stdout

    bgp_routes = BirdRouter.bgp_routes


class RouterLab(Lab):
    """Three nodes in a mesh, node2 of another AS; node1 speaks to the routers."""
    routers = ()

    def config(self, nodes=None, extra=""):
        text = super().config(nodes, extra)
        text = text.replace("  - name: node1\n", "  - name: node1\n    labels: {speaks-to: routers}\n")
        text = text.replace("  - name: node2\n", f"  - name: node2\n    asNumber: {NODE2_AS}\n")
        text += "peers:\n"
        for number, (name, (says, *_)) in enumerate(ROUTERS.items(), 1):
            for family in FAMILIES:
                own = says.format(second=f"'{SECOND[family]}'", other=OTHER[family],
                                  default=DEFAULT[family])
                text += (f"  - {{name: {name}-v{family}, address: '{in_rack(1, 200 + number)[family]}', "
                         f"asNumber: {65200 + number},\n"
                         f"     nodeSelector: {{speaks-to: routers}}, {own}}}\n")
        return text

    def _build(self):
        super()._build()
        self._connect("routers", in_rack(1, 200))
        for name, addresses in [("node1", SECOND)] + [
                ("routers", in_rack(1, 200 + number)) for number in range(1, len(ROUTERS) + 1)]:
            netns.ip(netns_name(self.name, name), *(
                f"addr add {addresses[family]}/{LENGTH[family]} dev eth0"
                + (" nodad" if family == 6 else "") for family in FAMILIES))


def session(name, family):
    return f"{name}-v{family}:peer"


def states(node):
    """{session: "Passive"}, BGP's word for it."""
    return {name: re.search(r"BGP state: +(\w+)", node.birdc(f"show protocols all '{name}'"))[1]
            for name in node.sessions()}


@pytest.fixture(scope="module")
def routers(make_lab, tmp_path_factory):
    """{name: its Router}; all sessions are up, and the one that waits was seen to wait."""
    lab = make_lab(kind=RouterLab, nodes=3, ipv6=True, pods=1)
    folder, node1 = tmp_path_factory.mktemp("routers"), lab.node("node1")
    routers = {name: Router(netns_name(lab.name, "routers"), folder, number, name)
               for number, name in enumerate(ROUTERS, 1)}
    waiting = {session("waited-for", family) for family in FAMILIES}
    try:
        assert {name for name, state in states(node1).items() if state == "Passive"} == waiting
        for router in routers.values():
            router.start()
        wait_until(lambda: len(since(node1)) == 2 * (len(ROUTERS) + 2), 60,
                   lambda: f"all are up: {sorted(since(node1))}")
        wait_healthy(node1)
        yield lab, routers
    finally:
        for router in routers.values():
            router.kill()


def node1_pods(family, hop=None):
    return Route("10.244.1.0/24" if family == 4 else "fd00:10:244:1::/64", str(CLUSTER_AS),
                      (hop or in_rack(1, 11))[family])


def wait_heard(router, family, want):
    wait_until(lambda: router.bgp_routes(family) == want, 30,
               lambda: f"{router.name} holds\n{sorted(want)}:\n{sorted(router.bgp_routes(family))}", 0.1)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_router_that_connects_one_on_another_port_and_one_for_another_address(routers, family):
    lab, all_of_them = routers
    for name, hop in (("waited-for", None), ("on-a-port", None), ("from-second", SECOND)):
        wait_heard(all_of_them[name], family, {node1_pods(family, hop)})
    peers = lab.node("node1").exec(["ss", "-Htn", "dport = :1790"]).stdout
    assert all_of_them["on-a-port"].addresses[family] in peers


@pytest.mark.parametrize("family", FAMILIES)
def test_more_than_one_route_to_a_prefix_in_both_directions(routers, family):
    lab, all_of_them = routers
    node = lab.node("node1")
    # Heard by one session, and shared by the kernel.
    wait_until(lambda: {hop["gateway"] for route in node.routes(family)
                        if route["dst"] == OTHER[family] for hop in route.get("nexthops", [])}
               == {hop[family] for hop in HOPS}, 30, "the kernel has both ways")
    both = {Route(NOBODYS[family], f"{CLUSTER_AS} {all_of_them[name].asn}", hop[family])
            for name, hop in zip(("waited-for", "on-a-port"), HOPS)}
    others = {Route(other.addresses.pods[family], path, other.addresses.address[family])
              for other, path in ((lab.node("node2"), f"{CLUSTER_AS} {NODE2_AS}"),
                                  (lab.node("node3"), str(CLUSTER_AS)))}
    wait_heard(all_of_them["many-paths"], family, both | others | {node1_pods(family)})


@pytest.mark.parametrize("family", FAMILIES)
def test_a_default_route_goes_on_to_whom_it_is_exported(routers, family):
    _, all_of_them = routers
    wait_heard(all_of_them["downlink"], family, {
        Route(DEFAULT[family], f"{CLUSTER_AS} {all_of_them['uplink'].asn}", in_rack(1, 11)[family])})


def test_nodes_of_two_ases_are_a_mesh(routers):
    lab, _ = routers
    for node in lab.nodes.values():
        wait_healthy(node)
    ases = {name: {row["name"]: row["asNumber"] for row in table(lab.node(name), "peers")
                   if row["kind"] == "node"} for name in lab.nodes}
    assert ases == {"node1": {"node2": NODE2_AS, "node3": CLUSTER_AS},
                    "node2": {"node1": CLUSTER_AS, "node3": CLUSTER_AS},
                    "node3": {"node1": CLUSTER_AS, "node2": NODE2_AS}}
    assert [ping for ping in lab.ping_matrix() if not ping.ok] == []


def test_routes_are_kept_as_stale_after_the_restart_time_and_then_gone(routers):
    """Long-lived graceful restart (RFC 9494): of a BIRD that does not come back."""
    lab, all_of_them = routers
    node, router = lab.node("node1"), all_of_them["long-lived"]
    for family in FAMILIES:
        wait_heard(router, family, {node1_pods(family)})

    def stale():
        shown = router.birdc("show route all")
        return shown.count("(100s)") == 2 and shown.count("(65535,6)") == 2
    node.stop_bird(9)
    wait_until(stale, 30, lambda: f"both routes are stale: {router.birdc('show route all')}")
    for family in FAMILIES:
        wait_heard(router, family, set())


# -- FRR and GoBGP -------------------------------------------------------------

FRR_AS, GOBGP_AS, RACK_A, RACK_B = 65001, 65002, 1, 2
SAID = {4: ["10.55.0.0/24", "10.56.0.0/24", "10.57.0.0/24"],
        6: ["fd00:55::/64", "fd00:56::/64", "fd00:57::/64"]}    # the first is about to go
TOLD = "med: 50, communities: ['65000:100'], largeCommunities: ['64512:1:2']"
ATTRIBUTES = ("65000:100", "med 50 large 64512:1:2")


def two_routers():
    """node1 and node3 share an AS and speak to FRR, which is in both racks; node1 and node2,
    which has an AS of its own, to GoBGP."""
    text = f"""\
cluster:
  name: lab
  asNumber: {CLUSTER_AS}
  podCIDRs: [10.244.0.0/16, 'fd00:10:244::/48']
  topology: none
nodes:
"""
    for number, rack, labels, more in ((1, RACK_A, "frr: a, gobgp: a", ""), (3, RACK_B, "frr: b", ""),
                                       (2, RACK_A, "gobgp: a", f", asNumber: {NODE2_AS}")):
        address = in_rack(rack, 10 + number)
        text += (f"- {{name: node{number}, addresses: [{address[4]}, '{address[6]}'], labels: {{{labels}}},\n"
                 f"   podCIDRs: [10.244.{number}.0/24, 'fd00:10:244:{number}::/64']{more}}}\n")
    text += "peers:\n"
    for name, label, asn, rack, number, more in (
            ("frr-a", "frr: a", FRR_AS, RACK_A, 1, "role: customer, localPreference: 200"),
            ("frr-b", "frr: b", FRR_AS, RACK_B, 1, "role: customer, localPreference: 200"),
            ("gobgp", "gobgp: a", GOBGP_AS, RACK_A, 2, "asPathLimit: 2")):
        for family in FAMILIES:
            pods = {4: "10.244.0.0/16", 6: "fd00:10:244::/48"}[family]
            text += (f"- {{name: {name}-v{family}, address: '{in_rack(rack, number)[family]}', asNumber: {asn},\n"
                     f"   nodeSelector: {{{label}}}, {TOLD}, {more},\n"
                     f"   import: ['{pods}', '{SAID[family][0]}', '{SAID[family][1]}']}}\n")
    return text


def frr():
    text = f"""\
frr defaults traditional
hostname router1
route-map SAID permit 10
 match ip address prefix-list GOING
 set community graceful-shutdown
route-map SAID permit 20
 match ipv6 address prefix-list GOING
 set community graceful-shutdown
route-map SAID permit 30
ip prefix-list GOING seq 5 permit {SAID[4][0]}
ipv6 prefix-list GOING seq 5 permit {SAID[6][0]}
router bgp {FRR_AS}
 no bgp ebgp-requires-policy
 no bgp default ipv4-unicast
 no bgp network import-check
 neighbor NODES peer-group
 neighbor NODES remote-as {CLUSTER_AS}
 neighbor NODES local-role provider
 neighbor NODES advertisement-interval 0
"""
    for rack in (RACK_A, RACK_B):
        text += f" bgp listen range 192.168.{rack}.0/24 peer-group NODES\n"
        text += f" bgp listen range fd00:{rack}::/64 peer-group NODES\n"
    for family in FAMILIES:
        networks = "".join(f"  network {prefix}\n" for prefix in SAID[family])
        text += (f" address-family ipv{family} unicast\n{networks}  neighbor NODES activate\n"
                 "  neighbor NODES as-override\n  neighbor NODES route-map SAID out\n exit-address-family\n")
    return text


def gobgp():
    text = f"[global.config]\n  as = {GOBGP_AS}\n  router-id = '192.168.1.2'\n"
    for number, asn in ((1, CLUSTER_AS), (2, NODE2_AS)):
        for family in FAMILIES:
            text += f"""\
[[neighbors]]
  [neighbors.config]
    neighbor-address = "{in_rack(RACK_A, 10 + number)[family]}"
    peer-as = {asn}
  [neighbors.transport.config]
    passive-mode = true
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "ipv{family}-unicast"
"""
    return text


def heard(node, session_name):
    """{prefix: {"as_path": "65001 64602", ...}} of what BIRD has from a session."""
    found, prefix = {}, None
    for line in node.birdc(f"show route protocol '{session_name}' all", check=False).splitlines():
        new = re.match(r"(\S+/\d+) ", line)
        prefix = new[1] if new else prefix
        attribute = re.match(r"\t(?:BGP\.|bgp_)(\w+): (.*)", line)
        if attribute:
            found.setdefault(prefix, {})[attribute[1]] = attribute[2].strip()
    return found


def wait_paths(node, session_name, want):
    """{prefix: (AS path, local preference)}"""
    def have():
        return {prefix: (values.get("as_path", values.get("path")), values["local_pref"])
                for prefix, values in heard(node, session_name).items()}
    wait_until(lambda: have() == want, 60, lambda: f"{node.name} has from {session_name}\n{want}:\n{have()}", 0.1)


def test_frr_that_overrides_a_shared_as_and_gobgp_with_an_as_for_each_node(make_site, tmp_path):
    (tmp_path / "router1.frr.conf").write_text(frr())
    (tmp_path / "router2.gobgp.toml").write_text(gobgp())
    site = make_site(config=two_routers(), racks={RACK_A: ["node1", "node2"], RACK_B: ["node3"]},
                     routers=[str(tmp_path / "router1.frr.conf"), str(tmp_path / "router2.gobgp.toml")],
                     router_as=[FRR_AS])

    def pods(name, family):
        return site.node(name).addresses.pods[family]

    frr_router, gobgp_router = site.routers
    for router, names in ((frr_router, {"node1": CLUSTER_AS, "node3": CLUSTER_AS}),
                          (gobgp_router, {"node1": CLUSTER_AS, "node2": NODE2_AS})):
        for family in FAMILIES:
            want = {Route(pods(name, family), str(asn), site.node(name).addresses.address[family],
                          *ATTRIBUTES) for name, asn in names.items()}
            wait_until(lambda: {route for route in router.bgp_routes(family)
                                if route.prefix not in SAID[family]} == want, 60,
                       lambda: f"{router.name} holds\n{want}:\n{router.bgp_routes(family)}", 0.2)
    for family in FAMILIES:
        for prefix, more in zip(SAID[family], (["community", "65535:0"], [], [])):
            gobgp_router.exec(["gobgp", "global", "rib", "add", prefix, "-a", f"ipv{family}", *more])
        going, stays, _ = SAID[family]      # the third is not in import
        for name, session_name, other, asn, path, preference in (
                # FRR says its own AS in the place of the one of whom it speaks to.
                ("node1", "frr-a", "node3", FRR_AS, f"{FRR_AS} {FRR_AS}", "200"),
                ("node3", "frr-b", "node1", FRR_AS, f"{FRR_AS} {FRR_AS}", "200"),
                ("node1", "gobgp", "node2", GOBGP_AS, f"{GOBGP_AS} {NODE2_AS}", "100"),
                ("node2", "gobgp", "node1", GOBGP_AS, f"{GOBGP_AS} {CLUSTER_AS}", "100")):
            wait_paths(site.node(name), f"{session_name}-v{family}:peer",
                       {going: (str(asn), "0"), stays: (str(asn), preference),
                        pods(other, family): (path, preference)})
        assert {values["otc"] for values in heard(site.node("node3"), f"frr-b-v{family}:peer").values()} \
            == {str(FRR_AS)}
    reached = {(ping.source, ping.target, ping.family) for ping in site.ping_matrix() if ping.ok}
    assert {(f"node{a}-pod1", f"node{b}-pod1", family) for a, b in ((1, 3), (3, 1))
            for family in FAMILIES} <= reached
