# SPDX-License-Identifier: GPL-2.0-or-later
"""A lab for a roost.yaml and router configurations that somebody wrote: racks and routers.

    with Site("mine", config=text, racks={1: ["node1"], 2: ["node3"]},
              routers=["x.router1.frr.conf", "x.router2.bird.conf"]) as site:
        site.set_links(site.routers[0], "down")

Each rack is a segment of its own, each router is in every rack and on the segment of
the outside host.  That one speaks BGP with the routers: it announces a default route
and hears from them where the pods are.  Nothing is configured here but interfaces,
and the nodes' default route if they are to have one; addresses.py has the picture.
"""

import json
import os
import re
from typing import NamedTuple

from . import netns
from .addresses import OUTSIDE, in_rack, router_outside
from .base import LabError, state_dir, wait_until, write_file
from .lab import UP_TIMEOUT_S, Lab
from .machine import Machine

OUTSIDE_AS = 65000
BFD = "interval 100 ms; multiplier 3;"

OUTSIDE_HEAD = f"""\
log stderr all;
router id {OUTSIDE[4]};
protocol device {{ scan time 10; }}
protocol bfd {{ interface "eth0" {{ {BFD} }}; }}
protocol kernel kernel4 {{ merge paths on; ipv4 {{ import none; export where source = RTS_BGP; }}; }}
protocol kernel kernel6 {{ merge paths on; ipv6 {{ import none; export where source = RTS_BGP; }}; }}
protocol static default4 {{ ipv4; route 0.0.0.0/0 unreachable; }}
protocol static default6 {{ ipv6; route ::/0 unreachable; }}
"""


class Route(NamedTuple):
    """What a router heard, all as text."""
    prefix: str
    path: str               # "65001 64512"
    hop: str
    communities: str = ""   # "65000:100 65000:200", in order
    more: str = ""          # "med 50 large 64512:100:1 local_pref 0"; 100 is usual and left out


def _more(med=None, large=(), local_pref=None):
    words = [] if med is None else [f"med {med}"]
    words += [f"large {community}" for community in sorted(large)]
    words += [] if local_pref in (None, 100) else [f"local_pref {local_pref}"]
    return " ".join(words)


class Router(Machine):
    file = None         # what configure() writes

    def configure(self, text):
        os.makedirs(os.path.dirname(self.path(self.file)))
        write_file(self.path(self.file), text)

    def is_ready(self):
        return self.exec(["ss", "-Hltn", "sport = :179"]).stdout != ""

    def bgp_routes(self, family):
        """{Route}: what it heard."""
        raise NotImplementedError


class BirdRouter(Router):
    from_state = {"/etc/bird": "etc/bird"}
    dirs = {"/etc/bird": "bird:bird:0750", "/run/bird": "bird:bird:0750"}
    file = "etc/bird/bird.conf"

    def services(self):
        return {"bird": {"argv": ["bird", "-f", "-u", "bird", "-g", "bird"]}}

    def bgp_routes(self, family):
        found, prefix, values = set(), None, {}
        table = self.birdc(f"show route table master{family} where source = RTS_BGP all", check=False)
        for line in table.splitlines() + ["end"]:
            new = re.match(r"(\S+/\S+)?\s+(?:unicast|unreachable|blackhole) \[|end$", line)
            if new:
                if values:
                    found.add(_bird_route(prefix, values))
                prefix, values = new[1] or prefix, {}
            # BGP.as_path in BIRD 2, bgp_path in BIRD 3; the others differ in the prefix alone.
            attribute = re.match(r"\t(?:BGP\.|bgp_)(\w+): (.*)", line)
            if attribute:
                values[attribute[1]] = attribute[2].strip()
        return found


def _bird_route(prefix, values):
    def communities(which):
        return sorted(values[which].strip("()").replace(" ", "").replace(",", ":").split(")(")) \
            if which in values else []
    return Route(prefix, values.get("as_path") or values.get("path", ""), values["next_hop"].split()[0],
                 " ".join(communities("community")),
                 _more(values.get("med"), communities("large_community"),
                       int(values.get("local_pref", 100))))


class FrrRouter(Router):
    from_state = {"/etc/frr": "etc/frr"}
    dirs = {"/etc/frr": "frr:frr:0755", "/run/frr": "frr:frr:0775", "/var/tmp/frr": "frr:frr:0755"}
    file = "etc/frr/frr.conf"
    daemons = ("zebra", "bgpd", "bfdd")

    def services(self):
        def after(sockets, command):
            waiting = " && ".join(f"test -S /run/frr/{name}" for name in sockets) or "true"
            return ["sh", "-c", f"until {waiting}; do sleep 0.02; done; {command}"]
        # A bgpd that comes before zebra tries again after 10 s only.
        services = {name: {"argv": after(
            () if name == "zebra" else ("zserv.api",),
            f"exec /usr/lib/frr/{name} -u frr -g frr --log stdout -A 127.0.0.1")}
                    for name in self.daemons}
        # As watchfrr does once all daemons are there.
        services["vtysh"] = {"argv": after([f"{name}.vty" for name in self.daemons],
                                           "vtysh -b; touch /run/frr/configured; exec sleep infinity")}
        return services

    def configure(self, text):
        super().configure(text)
        write_file(self.path("etc/frr/vtysh.conf"), "service integrated-vtysh-config\n")

    def is_ready(self):
        # bgpd listens before it has read anything.
        return os.path.exists(self.path("root/run/frr/configured"))

    def vtysh(self, *commands):
        """What each of the `show ... json` printed."""
        argv = [word for command in commands for word in ("-c", command)]
        out = self.exec(["vtysh", *argv], check=False).stdout.strip()
        answers = []
        while out:
            answer, end = json.JSONDecoder().raw_decode(out)
            answers.append(answer)
            out = out[end:].strip()
        return answers

    def change(self, *commands):
        argv = [word for command in ("configure terminal", *commands) for word in ("-c", command)]
        self.exec(["vtysh", *argv])

    def bgp_routes(self, family):
        show = f"show bgp ipv{family} unicast"
        try:
            prefixes = self.vtysh(f"{show} json")[0]["routes"]
            entries = self.vtysh(*(f"{show} {prefix} json" for prefix in prefixes)) if prefixes else []
            return {Route(entry["prefix"], path["aspath"]["string"].replace("Local", ""),
                          next(hop["ip"] for hop in path["nexthops"] if hop.get("scope") != "link-local"),
                          path.get("community", {}).get("string", ""),
                          _more(path.get("metric"),
                                path.get("largeCommunity", {}).get("string", "").split(),
                                path.get("locPrf")))
                    for entry in entries for path in entry["paths"]}
        except (ValueError, LookupError):   # bgpd is not up yet, or a route has just gone
            return set()


class GobgpRouter(Router):
    """Speaks BGP and puts nothing into the kernel."""
    from_state = {"/etc/gobgpd": "etc/gobgpd"}
    dirs = {"/etc/gobgpd": "root:root:0755"}
    file = "etc/gobgpd/gobgpd.toml"

    def services(self):
        return {"gobgpd": {"argv": ["gobgpd", "-t", "toml", "-f", "/etc/gobgpd/gobgpd.toml",
                                    "--pprof-disable"]}}

    def bgp_routes(self, family):
        out = self.exec(["gobgp", "-j", "global", "rib", "-a", f"ipv{family}"], check=False).stdout
        try:
            table = json.loads(out)
        except ValueError:
            return set()
        return {_gobgp_route(prefix, path) for prefix, paths in table.items() for path in paths}


def _gobgp_route(prefix, path):
    kinds = {attribute["type"]: attribute for attribute in path["attrs"]}
    ases = [str(number) for part in kinds.get(2, {}).get("as_paths") or []
            for number in part["asns"]]
    hop = (kinds.get(3) or kinds[14])["nexthop"]
    communities = (f"{n >> 16}:{n & 0xffff}" for n in kinds.get(8, {}).get("communities", []))
    large = (f"{c['ASN']}:{c['LocalData1']}:{c['LocalData2']}" for c in kinds.get(32, {}).get("value", []))
    return Route(prefix, " ".join(ases), hop, " ".join(sorted(communities)),
                 _more(kinds.get(4, {}).get("metric"), large, kinds.get(5, {}).get("value")))


ROUTERS = {".bird.conf": BirdRouter, ".frr.conf": FrrRouter, ".gobgp.toml": GobgpRouter}


def make_router(lab_name, name, path):
    for end, kind in ROUTERS.items():
        if path.endswith(end):
            router = kind(lab_name, name)
            with open(path, encoding="utf-8") as stream:
                router.configure(stream.read())
            return router
    raise LabError(f"{path}: a router's file ends in {', '.join(ROUTERS)}")


class Site(Lab):
    def __init__(self, name, *, config, racks, routers, families=(4, 6), router_as=(),
                 default_route=True, pods=1, programs=None, say=None):
        """config: text of roost.yaml; racks: {number: [node, ...]}; routers: a file each;
        router_as: of those that the outside host speaks to; default_route: whether the nodes have a static one."""
        super().__init__(name, nodes=0, ipv6=6 in families, pods=pods, programs=programs, say=say)
        self.text = config
        self.racks = racks
        self.router_files = routers
        self.router_as = router_as
        self.static_default = default_route
        self._families = tuple(families)
        self.routers = []
        self.outside = None
        for rack, names in racks.items():
            for node in names:
                self._new_node(node, rack)

    families = property(lambda self: self._families)
    has_outside = True

    @property
    def machines(self):
        return [*self.nodes.values(), *self.routers, *([self.outside] if self.outside else [])]

    def config(self, nodes=None, extra=""):
        return self.text

    def _build(self):
        os.makedirs(state_dir(self.name, "pods"))
        self._save(complete=False)
        self._build_switch(["br-out", *(f"br{rack}" for rack in self.racks)])
        self.routers = [make_router(self.name, f"router{number}", path)
                        for number, path in enumerate(self.router_files, 1)]
        self.outside = BirdRouter(self.name, "outside")
        self.outside.configure(self._outside_config())
        self._connect_routers()
        # The routers first, and ready: who is refused tries again after seconds only.
        routers = [self.outside, *self.routers]
        for router in routers:
            router.boot()
        for router in routers:
            router.wait_booted()
            wait_until(router.is_ready, UP_TIMEOUT_S, f"{router.name} speaks BGP")
        for node in self.nodes.values():
            self._build_node(node, self.text)
        for node in self.nodes.values():
            node.wait_booted()

    def _outside_config(self):
        return OUTSIDE_HEAD + "".join(
            f"protocol bgp router{number}_ipv{family} {{\n\tlocal as {OUTSIDE_AS};\n"
            f"\tneighbor {router_outside(number)[family]} as {asn};\n"
            "\tconnect delay time 1;\n\tconnect retry time 1;\n\terror wait time 1, 2;\n\tbfd on;\n"
            f"\tipv{family} {{ import all; export where source = RTS_STATIC; }};\n}}\n"
            for number, asn in enumerate(self.router_as, 1) for family in self.families)

    def _connect_routers(self):
        netns.add(self._netns("outside"))
        self._plug("outside", "eth0", "outside", "br-out", OUTSIDE)
        for number, router in enumerate(self.routers, 1):
            netns.add(router.netns)
            for rack in self.racks:         # eth1 is in rack 1
                self._plug(router.name, f"eth{rack}", f"{router.name}-{rack}", f"br{rack}",
                           in_rack(rack, number))
            self._plug(router.name, "eth0", f"{router.name}-out", "br-out", router_outside(number))

    def _build_node(self, node, config):
        netns.add(node.netns)
        self._plug(node.name, "eth0", node.name, f"br{node.addresses.rack}", node.addresses.address)
        if self.static_default:
            netns.ip(node.netns, *(f"route add default via {in_rack(node.addresses.rack, 1)[family]}"
                                   for family in self.families))
        os.makedirs(node.path("etc/roost"))
        node.write_config(config)
        node.boot()

    def wait_ready(self, timeout=UP_TIMEOUT_S):
        """Until each node is configured; what should then be there only the test knows."""
        for node in self.nodes.values():
            wait_until(node.has_conflist, timeout, f"10-roost.conflist is there on {node.name}")

    def set_links(self, router, state):
        """"down": no packet reaches the router, and its neighbours' links stay up, as when
        a machine behind a switch loses its power."""
        netns.ip(self._netns("switch"), *(f"link set {router.name}-{end} {state}"
                                          for end in (*self.racks, "out")))
