# SPDX-License-Identifier: GPL-2.0-or-later
"""The top-of-rack router, as BIRD or as FRR, configured the way one meets them.

It speaks eBGP to every node and takes pod routes.  It also announces a default
route and the net behind it, because real ones do: a node must refuse both, since
Roost takes nothing from a peer but pod routes unless it is told to.
"""

import json
import os

from . import addresses
from .addresses import CLUSTER, CLUSTER_AS, OUTSIDE_NET, TOR, TOR_AS
from .base import LabError, write_file
from .machine import Machine

BIRD_HEAD = f"""\
# The lab's top-of-rack router.  `birdc show route` shows the pod routes it learnt.
log stderr all;
router id {TOR[4]};

protocol device {{ scan time 10; }}
protocol kernel kernel4 {{ ipv4 {{ import none; export where source = RTS_BGP; }}; }}
protocol kernel kernel6 {{ ipv6 {{ import none; export where source = RTS_BGP; }}; }}

# Announced as routers do; a node must not take them.
protocol static announced4 {{ ipv4; route 0.0.0.0/0 unreachable; route {OUTSIDE_NET[4]} unreachable; }}
protocol static announced6 {{ ipv6; route ::/0 unreachable; route {OUTSIDE_NET[6]} unreachable; }}

template bgp node4 {{
	local as {TOR_AS};
	connect delay time 1;
	ipv4 {{ import where net ~ [{CLUSTER[4]}+]; export all; }};
}}
template bgp node6 {{
	local as {TOR_AS};
	connect delay time 1;
	ipv6 {{ import where net ~ [{CLUSTER[6]}+]; export all; }};
}}
"""

FRR_ZEBRA = "hostname tor\n"

FRR_HEAD = f"""\
hostname tor
ip prefix-list pods seq 5 permit {CLUSTER[4]} le 32
ipv6 prefix-list pods seq 5 permit {CLUSTER[6]} le 128
router bgp {TOR_AS}
 bgp router-id {TOR[4]}
 bgp log-neighbor-changes
 ! A router's own prefix lists are its policy; RFC 8212 would want route-maps.
 no bgp ebgp-requires-policy
 no bgp default ipv4-unicast
"""

FRR_GROUP = {family: f"""\
 neighbor {group} peer-group
 neighbor {group} remote-as {CLUSTER_AS}
 neighbor {group} timers connect 2
 neighbor {group} advertisement-interval 0
 address-family ipv{family} unicast
  network {OUTSIDE_NET[family]}
  neighbor {group} activate
  neighbor {group} default-originate
  neighbor {group} prefix-list pods in
 exit-address-family
""" for family, group in ((4, "nodes4"), (6, "nodes6"))}


class Tor(Machine):
    """What both kinds share; `kind` is "bird" or "frr"."""
    kind = None

    def services(self):
        raise NotImplementedError

    def set_nodes(self, nodes, families):
        """Makes these nodes its neighbours, at any time, listed one by one.  Routers that
        take any address in a range are in contrib/examples."""
        raise NotImplementedError

    def session_count(self):
        """How many sessions are Established."""
        raise NotImplementedError


class BirdTor(Tor):
    kind = "bird"
    from_state = {"/etc/bird": "etc/bird"}
    dirs = {"/etc/bird": "bird:bird:0750", "/run/bird": "bird:bird:0750"}

    def services(self):
        return {"bird": {"argv": ["bird", "-f", "-u", "bird", "-g", "bird"]}}

    def set_nodes(self, nodes, families):
        os.makedirs(self.path("etc/bird"), exist_ok=True)
        neighbours = "".join(
            f"protocol bgp {node.name.replace('-', '_')}_ipv{family} from node{family} "
            f"{{ neighbor {node.addresses.address[family]} as {CLUSTER_AS}; }}\n"
            for node in nodes for family in families)
        write_file(self.path("etc/bird/bird.conf"), BIRD_HEAD + "\n" + neighbours)
        if self.is_up():
            self.birdc("configure")

    def session_count(self):
        return sum(row["info"] == "Established" for row in self.sessions().values())


class FrrTor(Tor):
    kind = "frr"
    from_state = {"/etc/frr": "etc/frr"}
    dirs = {"/etc/frr": "frr:frr:0755", "/run/frr": "frr:frr:0775", "/var/tmp/frr": "frr:frr:0755"}

    def services(self):
        def daemon(name):
            return [f"/usr/lib/frr/{name}", "-f", f"/etc/frr/{name}.conf",
                    "-u", "frr", "-g", "frr", "--log", "stdout", "-A", "127.0.0.1"]
        # A bgpd that comes before zebra tries again after 10 s only; FRR's own
        # start script waits too.
        after_zebra = ["sh", "-c", "until test -S /run/frr/zserv.api; do sleep 0.02; done; exec \"$@\"",
                       "sh"]
        return {"zebra": {"argv": daemon("zebra")}, "bgpd": {"argv": after_zebra + daemon("bgpd")}}

    def set_nodes(self, nodes, families):
        neighbours = [f"neighbor {node.addresses.address[family]} peer-group nodes{family}"
                      for node in nodes for family in families]
        if self.is_up():
            self._vtysh("configure terminal", f"router bgp {TOR_AS}", *neighbours)
        os.makedirs(self.path("etc/frr"), exist_ok=True)
        write_file(self.path("etc/frr/vtysh.conf"), "")
        write_file(self.path("etc/frr/zebra.conf"), FRR_ZEBRA)
        write_file(self.path("etc/frr/bgpd.conf"),
                   FRR_HEAD + "".join(FRR_GROUP[family] for family in families)
                   + "".join(f" {line}\n" for line in neighbours))

    def _vtysh(self, *commands):
        argv = ["vtysh"]
        for command in commands:
            argv += ["-c", command]
        return self.exec(argv).stdout

    def session_count(self):
        out = self.exec(["vtysh", "-c", "show bgp summary json"], check=False).stdout
        try:
            families = json.loads(out).values()
        except ValueError:                  # bgpd is not up yet
            return 0
        return sum(peer["state"] == "Established"
                   for family in families for peer in family.get("peers", {}).values())


TORS = {"bird": BirdTor, "frr": FrrTor}


def make(kind, lab_name, name="tor"):
    if kind not in TORS:
        raise LabError(f"no top-of-rack router called '{kind}': choose {', '.join(TORS)} or none")
    return TORS[kind](lab_name, name)


def announced(family):
    """What the router announces and a node must not take."""
    return [{4: "0.0.0.0/0", 6: "::/0"}[family], addresses.OUTSIDE_NET[family]]
