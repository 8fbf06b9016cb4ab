# SPDX-License-Identifier: GPL-2.0-or-later
"""A lab: nodes, a switch, perhaps a top-of-rack router with a host behind it, and pods.

    with Lab("mine", nodes=3, tor="bird") as lab:
        lab.add_pod("node1", "web")
        print(lab.node("node1").birdc("show route"))

What the lab adds by hand is what a host's own configuration holds: addresses, a
default route to the router, forwarding.  Everything about pods is left to Roost.
"""

import json
import os
import secrets
import time

from . import netns, ping, sweep, tor
from .addresses import CLUSTER, CLUSTER_AS, LENGTH, OUTSIDE, TOR, TOR_AS, TOR_OUTSIDE, TOR_PEER
from .base import (DEFAULT_LAB, LabError, check_lab_name, check_pod_name, netns_name, netns_path,
                   run, state_dir, tail, wait_until, write_file)
from .node import Node, Programs
from .programs import find_programs

UP_TIMEOUT_S = 60
POLL_S = 0.1        # for conditions that take a command per machine to look at
# What a sanitizer writes when it found something.
SANITIZER_MARKS = ("AddressSanitizer", "LeakSanitizer", "ThreadSanitizer", "runtime error:")


class Pod:
    """A network namespace and what the runtime remembers of plugging it in."""

    def __init__(self, lab, record):
        self.lab = lab
        self.record = record

    name = property(lambda self: self.record["name"])
    node_name = property(lambda self: self.record["node"])
    container_id = property(lambda self: self.record["containerID"])
    created = property(lambda self: self.record["created"])     # time.time_ns()
    result = property(lambda self: self.record["result"])

    @property
    def netns(self):
        return netns_name(self.lab.name, self.name)

    @property
    def netns_path(self):
        return netns_path(self.netns)

    @property
    def addresses(self):
        """{family: address}"""
        found = {}
        for entry in (self.result or {}).get("ips", []):
            address = entry["address"].split("/")[0]
            found.setdefault(6 if ":" in address else 4, address)
        return found

    @property
    def address(self):
        """The IPv4 address."""
        return self.addresses[4]

    def exec(self, argv, **options):
        return run(netns.inside(self.netns, argv), **options)


class Lab:
    """See the module's text.  `say` gets one line per step of up()."""

    def __init__(self, name=DEFAULT_LAB, *, nodes=3, tor=None, ipv6=False, pods=0,
                 programs=None, say=None):
        self.name = check_lab_name(name)
        self.tor_kind = None if tor in (None, "none") else tor
        self.ipv6 = ipv6
        self.pods_per_node = pods
        self.programs = programs or find_programs()
        self.say = say or (lambda line: None)
        self.nodes = {}             # name -> Node, in order
        for number in range(1, nodes + 1):
            self._new_node(f"node{number}")
        self.tor = self._new_tor()

    def _new_node(self, name, rack=1):
        node = Node(self.name, name, self.programs, rack)
        taken = {other.addresses.number: other.name for other in self.nodes.values()}
        if node.addresses.number in taken:
            raise LabError(f"{name} would have the addresses of {taken[node.addresses.number]}")
        self.nodes[name] = node
        return node

    def _new_tor(self):
        return tor.make(self.tor_kind, self.name) if self.tor_kind else None

    @classmethod
    def attach(cls, name=DEFAULT_LAB, say=None):
        """A lab that is already up, for example one that `roost-lab up` started."""
        try:
            with open(state_dir(check_lab_name(name), "lab.json"), encoding="utf-8") as stream:
                saved = json.load(stream)
        except FileNotFoundError:
            raise LabError(f"no lab '{name}' is up; `roost-lab up` starts one") from None
        lab = cls(name, nodes=0, tor=saved["tor"], ipv6=saved["ipv6"],
                  programs=Programs(**saved["programs"]), say=say)
        for node in saved["nodes"]:
            lab._new_node(node)
        return lab

    def _save(self, complete=True):
        write_file(state_dir(self.name, "lab.json"), json.dumps({
            "complete": complete, "nodes": list(self.nodes), "tor": self.tor_kind,
            "ipv6": self.ipv6, "programs": self.programs.as_dict()}, indent=1))

    def _is_complete(self):
        """False for what a killed up() left: it holds no lock and never said that it is done."""
        try:
            with open(state_dir(self.name, "lab.json"), encoding="utf-8") as stream:
                return json.load(stream)["complete"]
        except (OSError, ValueError):
            return False

    # -- up and down -----------------------------------------------------------

    @property
    def families(self):
        return (4, 6) if self.ipv6 else (4,)

    @property
    def machines(self):
        """Everything that has processes: the nodes and the router."""
        return [*self.nodes.values(), *([self.tor] if self.tor else [])]

    @property
    def has_outside(self):
        return self.tor is not None

    def up(self, replace=False, timeout=UP_TIMEOUT_S):
        """Builds the lab and waits until it works, each step at most `timeout` seconds.
        On any failure nothing is left of it.  timeout=None does not wait and adds no pods."""
        with sweep.Lock(self.name):
            if sweep.exists(self.name):
                if self._is_complete() and not replace:
                    raise LabError(f"lab '{self.name}' is already up: "
                                   "`roost-lab down` first, or `roost-lab up --replace`")
                self.say("taking down the lab that is there")
                sweep.sweep(self.name)
            try:
                self._build()
                if timeout is not None:
                    self.wait_ready(timeout)
                    self._add_first_pods()
                self._save()
            except BaseException as error:
                self._tell_logs(error)
                sweep.sweep(self.name)
                raise
        return self

    def down(self):
        """Removes everything; a lab that is not there is fine."""
        if not sweep.exists(self.name):
            return
        with sweep.Lock(self.name):
            sweep.sweep(self.name)

    def finish(self):
        """The end of a test: stops every roostd in order, so that a leak checker gets
        to speak, looks through the logs, and takes the lab down whatever they say."""
        try:
            for node in self.nodes.values():
                if node.is_up():
                    node.stop_roostd()
            self.check_logs()
        finally:
            self.down()

    def __enter__(self):
        return self.up()

    def __exit__(self, *_):
        self.down()

    def _build(self):
        os.makedirs(state_dir(self.name, "pods"), mode=0o755)
        self._save(complete=False)
        self.say(f"switch: {', '.join(self._segments())} (namespace {self._netns('switch')})")
        self._build_switch()
        if self.tor:
            self.say(f"tor: {self.tor_kind}, AS {TOR_AS}, {TOR[4]}, and behind it outside, "
                     f"{OUTSIDE[4]}")
            self._build_tor()
            self._build_outside()
        for node in self.nodes.values():
            self.say(f"{node.name}: {node.addresses.address[4]}, pods {node.addresses.pods[4]}, "
                     f"logs in {node.state}")
            self._build_node(node, self.config())
        for machine in self.machines:
            machine.wait_booted()

    def _segments(self):
        return [{4: "192.168.1.0/24", 6: "fd00:1::/64"}[family] for family in self.families]

    def _netns(self, name):
        return netns_name(self.name, name)

    def _build_switch(self, bridges=("br0",)):
        netns.add(self._netns("switch"))
        netns.ip(self._netns("switch"), *(f"link add {bridge} up type bridge" for bridge in bridges))

    def _connect(self, name, own_addresses):
        """Makes a namespace with an eth0 on the segment."""
        netns.add(self._netns(name))
        self._plug(name, "eth0", name, "br0", own_addresses)

    def _plug(self, name, interface, port, bridge, own_addresses):
        """Connects a namespace with a bridge of the switch."""
        own = self._netns(name)
        netns.ip(self._netns("switch"),
                 f"link add {port} type veth peer name {interface} netns {own}",
                 f"link set {port} master {bridge} up")
        self._configure(own, interface, own_addresses)

    def _configure(self, namespace, interface, own_addresses):
        """Brings up lo and an interface with its addresses, usable at once (no DAD)."""
        if self.ipv6:
            netns.sysctl(namespace, {f"net/ipv6/conf/{interface}/accept_dad": 0})
        netns.ip(namespace, "link set lo up", f"link set {interface} up",
                 *(f"addr add {own_addresses[family]}/{LENGTH[family]} dev {interface}"
                   + (" nodad" if family == 6 else "") for family in self.families))

    def _build_node(self, node, config):
        self._connect(node.name, node.addresses.address)
        if self.tor:
            # The host's own way out, as any server has it; no pod route.
            netns.ip(node.netns, *(f"route add default via {TOR[family]}"
                                   for family in self.families))
        os.makedirs(node.path("etc/roost"), exist_ok=True)
        node.write_config(config)
        node.boot()

    def _build_tor(self):
        self._connect("tor", TOR)
        self.tor.set_nodes(self.nodes.values(), self.families)
        self.tor.boot()

    def _build_outside(self):
        netns.add(self._netns("outside"))
        netns.ip(self._netns("tor"),
                 f"link add eth1 type veth peer name eth0 netns {self._netns('outside')}")
        self._configure(self._netns("tor"), "eth1", TOR_OUTSIDE)
        self._configure(self._netns("outside"), "eth0", OUTSIDE)
        netns.ip(self._netns("outside"), *(f"route add default via {TOR_OUTSIDE[family]}"
                                           for family in self.families))

    def add_node(self, name, config=None):
        """Starts one more node on the segment.  It gets `config`, by default the file
        with all the lab's nodes in it; the other nodes' files are the caller's."""
        node = self._new_node(name)
        self._save()
        self._build_node(node, config or self.config())
        node.wait_booted()
        if self.tor:
            self.tor.set_nodes(self.nodes.values(), self.families)
        return node

    # -- the one file ----------------------------------------------------------

    def config(self, nodes=None, extra=""):
        """roost.yaml for these nodes (names; default: all), with `extra` appended."""
        listed = [self.nodes.get(name) or Node(self.name, name, self.programs)
                  for name in (self.nodes if nodes is None else nodes)]
        lines = ["cluster:", "  name: lab", f"  asNumber: {CLUSTER_AS}",
                 f"  podCIDRs: {self._by_family(CLUSTER)}", "  topology: mesh",
                 "nodes:" if listed else "nodes: []"]
        for node in listed:
            lines += [f"  - name: {node.name}",
                      f"    addresses: {self._by_family(node.addresses.address)}",
                      f"    podCIDRs: {self._by_family(node.addresses.pods)}"]
        if self.tor:
            lines.append("peers:")
            for family in self.families:        # a session carries one address family
                lines += [f"  - name: {TOR_PEER[family]}", f"    address: \"{TOR[family]}\"",
                          f"    asNumber: {TOR_AS}"]
        return "\n".join(lines) + "\n" + extra

    def _by_family(self, values):
        return "[" + ", ".join(f'"{values[family]}"' for family in self.families) + "]"

    def write_config(self, text, how="rename"):
        """Gives every node the same new file."""
        for node in self.nodes.values():
            node.write_config(text, how)

    # -- waiting ---------------------------------------------------------------

    def wait_ready(self, timeout=UP_TIMEOUT_S):
        """Waits until every node is configured, every session up, every route in the kernel."""
        nodes = list(self.nodes.values())
        self.say("waiting for each node's first confirmed configuration")
        wait_until(lambda: all(node.has_conflist() for node in nodes), timeout,
                   lambda: "10-roost.conflist is there on "
                   + ", ".join(node.name for node in nodes if not node.has_conflist()))
        self.say(f"waiting for BGP: {self.expected_sessions()} sessions on each node")
        wait_until(lambda: not self.missing_sessions(), timeout,
                   lambda: "established: " + "; ".join(self.missing_sessions()), POLL_S)
        self.say("waiting for routes in every kernel")
        wait_until(lambda: not self.missing_routes(), timeout,
                   lambda: "in the kernel: " + "; ".join(self.missing_routes()), POLL_S)

    def expected_sessions(self):
        """BGP sessions a node of the full mesh has: one per neighbour and address family."""
        return (len(self.nodes) - 1 + bool(self.tor)) * len(self.families)

    def missing_sessions(self):
        """["node1: 2 of 3 sessions", ...], empty when all are up."""
        missing = []
        for node in self.nodes.values():
            have = sum(row["info"] == "Established" for row in node.sessions().values())
            if have < self.expected_sessions():
                missing.append(f"{node.name}: {have} of {self.expected_sessions()} sessions")
        return missing

    def expected_routes(self, machine):
        """[(prefix, gateway, family)] that BIRD must have put into a machine's kernel."""
        return [(node.addresses.pods[family], node.addresses.address[family], family)
                for node in self.nodes.values() if node is not machine
                for family in self.families]

    def missing_routes(self):
        """["node1: 10.244.2.0/24 via 192.168.1.12", ...], empty when all are there."""
        missing = []
        for machine in self.machines:
            have = {(route["dst"], route.get("gateway"))
                    for family in self.families for route in machine.routes(family)}
            missing += [f"{machine.name}: {prefix} via {gateway}"
                        for prefix, gateway, _ in self.expected_routes(machine)
                        if (prefix, gateway) not in have
                        and not (machine is self.tor and _via_link_local(prefix, have))]
        return missing

    # -- pods ------------------------------------------------------------------

    def node(self, name):
        try:
            return self.nodes[name]
        except KeyError:
            raise LabError(f"no node '{name}'; there are {', '.join(self.nodes) or 'none'}") from None

    @property
    def pods(self):
        """{name: Pod} of the pods that are plugged in, sorted."""
        folder = state_dir(self.name, "pods")
        pods = {}
        for name in sorted(os.listdir(folder)):
            with open(os.path.join(folder, name), encoding="utf-8") as stream:
                text = stream.read()
            if text:        # empty: the name is reserved, the pod still being made
                pods[name] = Pod(self, json.loads(text))
        return pods

    def pod(self, name):
        pods = self.pods
        if name not in pods:
            raise LabError(f"no pod '{name}'; there are {', '.join(pods) or 'none'}")
        return pods[name]

    def add_pod(self, node_name, name=None):
        """Does what a container runtime does for a new pod: a namespace, then ADD."""
        node = self.node(node_name)
        name = self._reserve_pod_name(node_name, name)
        pod = Pod(self, {"name": name, "node": node_name, "containerID": secrets.token_hex(32),
                         "created": time.time_ns(), "result": None})
        try:
            netns.add(pod.netns)
            netns.ip(pod.netns, "link set lo up")
            pod.record["result"] = node.cni.add(pod.container_id, pod.netns_path,
                                                args=_cni_args(pod))
            write_file(self._pod_file(name), json.dumps(pod.record))
        except BaseException:
            self._forget_failed_pod(node, pod)
            raise
        return pod

    def _forget_failed_pod(self, node, pod):
        """A failed ADD is followed by a DEL, as the specification asks of runtimes."""
        try:
            if os.path.exists(pod.netns_path):
                node.cni.delete(pod.container_id, pod.netns_path)
        except LabError:
            pass            # the first error is the one to tell
        netns.delete(pod.netns)
        os.unlink(self._pod_file(pod.name))

    def del_pod(self, name):
        """DEL, then the namespace goes."""
        pod = self.pod(name) if isinstance(name, str) else name
        self.node(pod.node_name).cni.delete(pod.container_id, pod.netns_path, result=pod.result,
                                            args=_cni_args(pod))
        netns.delete(pod.netns)
        os.unlink(self._pod_file(pod.name))

    def _pod_file(self, name):
        return state_dir(self.name, "pods", name)

    def _reserve_pod_name(self, node_name, name):
        """Takes a name, or the first free NODE-podN; by creating its file, so that
        fifty threads can add pods at once."""
        if name is not None:
            check_pod_name(name)
            if name in (*self.nodes, "switch", "tor", "outside") or not self._create(name):
                raise LabError(f"the name '{name}' is taken")
            return name
        number = 1
        while not self._create(f"{node_name}-pod{number}"):
            number += 1
        return f"{node_name}-pod{number}"

    def _create(self, name):
        try:
            os.close(os.open(self._pod_file(name), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
            return True
        except FileExistsError:
            return False

    def _add_first_pods(self):
        for node in self.nodes.values():
            for _ in range(self.pods_per_node):
                pod = self.add_pod(node.name)
                self.say(f"{pod.name}: {', '.join(pod.addresses.values())}")

    # -- looking at it ---------------------------------------------------------

    def argv_inside(self, name, argv):
        """The argv that runs a command in a node, the router, the outside host, the switch or a pod."""
        for machine in self.machines:
            if machine.name == name:
                return machine.inside(argv)
        if name == "switch" or (name == "outside" and self.has_outside):
            return netns.inside(self._netns(name), argv)
        pods = self.pods
        if name in pods:
            return netns.inside(pods[name].netns, argv)
        known = [*(machine.name for machine in self.machines), *(["outside"] if self.has_outside else []),
                 "switch", *pods]
        raise LabError(f"nothing is called '{name}' here; there are {', '.join(known)}")

    def exec(self, name, argv, **options):
        """Runs a command in anything that has a name; options and result as of base.run()."""
        for machine in self.machines:
            if machine.name == name:
                return machine.exec(argv, **options)
        return run(self.argv_inside(name, argv), **options)

    @property
    def outside_netns(self):
        return self._netns("outside")

    def ping_matrix(self):
        """[Ping]: every pod to every other pod, and the outside host, if there is one, to every pod."""
        pods = self.pods
        sources = [(name, pod.netns) for name, pod in pods.items()]
        if self.has_outside:
            sources.append(("outside", self.outside_netns))
        return ping.matrix(sources, [(name, pod.addresses) for name, pod in pods.items()])

    def pinger(self, source, target, family=4, per_second=20):
        """A Pinger from a pod (or "outside") to a pod, both by name."""
        source_netns = self.outside_netns if source == "outside" else self.pod(source).netns
        return ping.Pinger(source_netns, self.pod(target).addresses[family], per_second)

    def log_files(self):
        return [machine.path(f"{name}.log") for machine in self.machines
                for name in ("pid1", *machine.services())]

    def check_logs(self):
        """Raises AssertionError when a sanitizer spoke in any log.  Before down(): the logs go with the lab."""
        for path in self.log_files():
            found = [line for line in tail(path, None) if any(m in line for m in SANITIZER_MARKS)]
            assert not found, f"{path}: {found[0]}"

    def _tell_logs(self, error):
        """Quotes the logs before the sweep takes them."""
        if not isinstance(error, LabError):
            return
        for path in self.log_files():
            lines = tail(path)
            if lines:
                self.say(f"-- the end of {path}:")
            for line in lines:
                self.say(f"   {line}")


def _via_link_local(prefix, routes):
    """FRR prefers the link-local next hop when a node's update holds both."""
    return any(dst == prefix and (gateway or "").startswith("fe80:") for dst, gateway in routes)


def _cni_args(pod):
    """CNI_ARGS as containerd sends them."""
    return ";".join(("IgnoreUnknown=1", "K8S_POD_NAMESPACE=lab", f"K8S_POD_NAME={pod.name}",
                     f"K8S_POD_INFRA_CONTAINER_ID={pod.container_id}"))
