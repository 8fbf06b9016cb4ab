# SPDX-License-Identifier: GPL-2.0-or-later
"""Routed pods, addresses from other IPAM plugins, and addresses for other plugins."""

import json
import os
import select
import shutil
import signal
import socket
import time

import pytest

from cniharness import VERSIONS, one_packet_arrives

ENVIRONMENT, DECODE, CONFIG, TRY_LATER = 4, 6, 7, 11
UNAVAILABLE, LIMITED, EXISTS, KERNEL, DIFFERS, DELEGATE = 50, 51, 100, 101, 102, 103

DEBIAN = "/usr/lib/cni"         # of the package containernetworking-plugins
PROTOCOL = "82"                 # of the node's routes to routed pods
V4, V6 = "10.244.1.2", "fd00:10:244:1::2"
GATEWAYS = {"169.254.1.1", "fe80::1"}


def need_debian(*names):
    for name in names:
        if not os.path.exists(os.path.join(DEBIAN, name)):
            pytest.skip(f"needs {DEBIAN}/{name} (apt-get install containernetworking-plugins)")


# ---------------------------------------------------------------- routed

def routed(host, version="1.1.0", **more):
    return host.conf(version, mode="routed", **more)


def neighbours(namespace, ifname):
    """{address: (MAC, state)} of one link."""
    return {n["dst"]: (n.get("lladdr"), *n["state"])
            for n in namespace.ip("neighbour", "show", "dev", ifname)}


def pod_routes(host):
    """{address: link} of the node's routes to routed pods, and nothing else in them."""
    found = {}
    for family in ("-4", "-6"):
        for route in host.namespace.ip(family, "route", "show", "proto", PROTOCOL):
            assert (route["metric"], route["type"]) == (16, "unicast"), route
            assert "gateway" not in route
            found[route["dst"]] = route["dev"]
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_routed_add_check_and_del_speak_every_version(host, version):
    conf, pod = routed(host, version), host.pod()
    result = host.add("c1", pod, conf=conf)
    if version < "0.3.0":
        assert result["ip4"] == {"ip": V4 + "/32", "gateway": "169.254.1.1",
                                 "routes": [{"dst": "0.0.0.0/0", "gw": "169.254.1.1"}]}
        assert result["ip6"] == {"ip": V6 + "/128", "gateway": "fe80::1",
                                 "routes": [{"dst": "::/0", "gw": "fe80::1"}]}
    else:
        assert [i["name"] for i in result["interfaces"]] == [host.veths()[0], "eth0"]
        assert [i.get("sandbox") for i in result["interfaces"]] == [None, pod.path]
        assert [(ip["address"], ip["gateway"], ip["interface"]) for ip in result["ips"]] == \
            [(V4 + "/32", "169.254.1.1", 1), (V6 + "/128", "fe80::1", 1)]
    if version >= "0.4.0":
        reply = host.call("CHECK", "c1", pod, conf={**conf, "prevResult": result})
        assert (reply.code, reply.out) == (0, ""), reply
    host.delete("c1", pod, conf=conf)
    host.assert_nothing_left()
    assert pod_routes(host) == {}


def test_routed_the_kernel_holds_what_it_should(host):
    pod = host.pod()
    result = host.add("c1", pod, conf=routed(host, mtu=1400))
    veth = result["interfaces"][0]["name"]
    links, inside = host.namespace.links(), pod.links()
    assert set(links) == {"lo", veth}, "no bridge"
    assert "master" not in links[veth] and links[veth]["operstate"] == "UP"
    assert links[veth]["ifalias"] == f"roost pods c1 eth0 {V4},{V6}"
    assert links[veth]["mtu"] == inside["eth0"]["mtu"] == 1400
    assert host.namespace.addresses(veth) == {}
    assert pod_routes(host) == {V4: veth, V6: veth}
    assert neighbours(host.namespace, veth) == {
        address: (inside["eth0"]["address"], "PERMANENT") for address in (V4, V6)}
    assert neighbours(pod, "eth0") == {
        gateway: (links[veth]["address"], "PERMANENT") for gateway in GATEWAYS}
    assert set(pod.addresses("eth0")) == {V4 + "/32", V6 + "/128", "fe80::858:aff:fef4:102/64"}
    assert not any(a.get("tentative") or a.get("broadcast")
                   for a in pod.addresses("eth0").values())
    default = pod.ip("-4", "route", "show", "default")
    assert [(r["gateway"], r["flags"]) for r in default] == [("169.254.1.1", ["onlink"])]
    assert pod.routes()["default"] == "fe80::1"
    assert host.namespace.sysctl(f"net/ipv4/conf/{veth}/rp_filter") == "1"
    assert host.namespace.sysctl(f"net/ipv6/conf/{veth}/accept_ra") == "0"
    assert host.namespace.sysctl("net/ipv4/ip_forward") == "1"
    assert host.namespace.sysctl("net/ipv6/conf/all/forwarding") == "1"
    assert host.held() == {"c1": (V4, V6)}


def outside(host):
    """A machine beyond the node: 10.99.0.2 and fd00:99::2."""
    other = host.pod()
    host.namespace.run("ip", "link", "add", "up0", "type", "veth", "peer", "up0", "netns",
                       f"/proc/{os.getpid()}/fd/{other.fd}")
    for namespace, last in ((host.namespace, 1), (other, 2)):
        for name in ("all", "up0"):
            namespace.set_sysctl(f"net/ipv6/conf/{name}/accept_dad", "0")
        namespace.run("ip", "link", "set", "up0", "up")
        namespace.run("ip", "address", "add", f"10.99.0.{last}/24", "dev", "up0")
        namespace.run("ip", "address", "add", f"fd00:99::{last}/64", "dev", "up0", "nodad")
    other.run("ip", "route", "add", "default", "via", "10.99.0.1")
    other.run("ip", "-6", "route", "add", "default", "via", "fd00:99::1")
    return other


def test_routed_everyone_reaches_everyone_with_the_first_packet(host):
    beyond, pods, conf = outside(host), [host.pod(), host.pod()], routed(host)
    for i, pod in enumerate(pods):
        host.add(f"c{i}", pod, conf=conf)
        for n, b, p in (("10.99.0.1", "10.99.0.2", f"10.244.1.{2 + i}"),
                        ("fd00:99::1", "fd00:99::2", f"fd00:10:244:1::{2 + i}")):
            assert one_packet_arrives(host.namespace, n, pod, p)
            assert one_packet_arrives(pod, p, host.namespace, n)
            assert one_packet_arrives(pod, p, beyond, b)
            assert one_packet_arrives(beyond, b, pod, p)
    for a, b in ((V4, "10.244.1.3"), (V6, "fd00:10:244:1::3")):
        assert one_packet_arrives(pods[0], a, pods[1], b)
        assert one_packet_arrives(pods[1], b, pods[0], a)


ETH_P_ALL, ARP = 3, b"\x08\x06"


def listen(namespace, ifname):
    with namespace.entered():
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        sock.bind((ifname, 0))
    return sock


def is_discovery(frame):
    """ARP, or one of the five messages of neighbour discovery (RFC 4861)."""
    if frame[12:14] == ARP:
        return True
    if frame[12:14] != b"\x86\xdd":
        return False
    return frame[20] == 58 and 133 <= frame[54] <= 137


def test_routed_nobody_asks_for_a_neighbour(host):
    pods, conf = [host.pod(), host.pod()], routed(host)
    veth = host.add("c0", pods[0], conf=conf)["interfaces"][0]["name"]
    with listen(host.namespace, veth) as sock:
        host.add("c1", pods[1], conf=conf)
        for a, b in ((V4, "10.244.1.3"), (V6, "fd00:10:244:1::3")):
            assert one_packet_arrives(pods[0], a, pods[1], b)
            assert one_packet_arrives(pods[1], b, pods[0], a)
        frames = []
        while select.select([sock], [], [], 0)[0]:
            frames.append(sock.recv(2048))
    assert len(frames) >= 4
    assert [frame.hex() for frame in frames if is_discovery(frame)] == []


def test_routed_a_pod_cannot_speak_for_another(host):
    """Strict reverse path: the packet is dropped on the node."""
    pods, conf = [host.pod(), host.pod()], routed(host)
    for i, pod in enumerate(pods):
        host.add(f"c{i}", pod, conf=conf)
    pods[0].run("ip", "address", "add", "10.244.1.77/32", "dev", "eth0")
    assert one_packet_arrives(pods[0], V4, pods[1], "10.244.1.3")
    with pods[0].udp("10.244.1.77") as out, pods[1].udp("10.244.1.3") as into, \
            pods[0].udp(V4) as honest:
        out.sendto(b"spoofed", into.getsockname())
        honest.sendto(b"honest", into.getsockname())
        assert into.recv(16) == b"honest"


@pytest.mark.parametrize("subnet", ["10.244.1.0/24", "fd00:10:244:1::/64"])
def test_routed_one_family_is_enough(host, subnet):
    pod, conf = host.pod(), routed(host, subnets=[subnet])
    result = host.add("c1", pod, conf=conf)
    assert len(result["ips"]) == len(result["routes"]) == 1
    assert set(pod_routes(host)) == {V4 if subnet.startswith("10.") else V6}
    assert host.call("CHECK", "c1", pod, conf={**conf, "prevResult": result}).code == 0


def test_routed_an_address_used_again_is_reached_at_once(host):
    conf = routed(host, subnets=["10.244.1.0/30"])
    for container in ("old", "new"):
        pod = host.pod()
        host.add(container, pod, conf=conf)
        host.namespace.run("ip", "address", "replace", "10.99.0.1/32", "dev", "lo")
        assert one_packet_arrives(host.namespace, "10.99.0.1", pod, V4)
        host.delete(container, pod, conf=conf)


def test_routed_the_mtu_is_the_uplinks(host):
    outside(host)
    host.namespace.run("ip", "link", "set", "up0", "mtu", "1380")
    host.namespace.run("ip", "route", "add", "default", "via", "10.99.0.2")
    pod = host.pod()
    host.add("c1", pod, conf=routed(host, mtu=None))
    assert pod.links()["eth0"]["mtu"] == 1380


def test_routed_mode_and_addresses_may_come_from_node_json(host):
    node_file = os.path.join(host.folder, "node.json")
    with open(node_file, "w") as file:
        json.dump({"version": 1, "node": "n", "mode": "routed", "bridge": "roost0", "mtu": 1333,
                   "podCIDRs": ["10.244.7.0/24"]}, file)
    conf = host.conf(subnets=(), nodeFile=node_file, mode=None, mtu=None)
    pod = host.pod()
    result = host.add("c1", pod, conf=conf)
    assert [ip["address"] for ip in result["ips"]] == ["10.244.7.2/32"]
    assert pod.links()["eth0"]["mtu"] == 1333


BREAK = {
    "the node's route is gone": ("node", "ip route del 10.244.1.2"),
    "the node's IPv6 route is gone": ("node", "ip -6 route del fd00:10:244:1::2"),
    "the route leads elsewhere": ("node", "ip route replace 10.244.1.2 dev lo metric 1"),
    "the node's neighbour is gone": ("node", "ip neigh del 10.244.1.2 dev VETH"),
    "the node's neighbour is another": (
        "node", "ip neigh replace fd00:10:244:1::2 lladdr 0a:00:00:00:00:01 dev VETH"),
    "the pod's neighbour is gone": ("pod", "ip neigh del 169.254.1.1 dev eth0"),
    "the pod's neighbour may be forgotten": (
        "pod", "ip neigh change fe80::1 dev eth0 nud reachable"),
    "the pod's route is gone": ("pod", "ip route del default"),
    "the pod's address is gone": ("pod", "ip address del 10.244.1.2/32 dev eth0"),
    "the link is down": ("node", "ip link set VETH down"),
    "the link is a bridge's port": (
        "node", "ip link add b0 type bridge; ip link set VETH master b0"),
}


@pytest.mark.parametrize("case", BREAK)
def test_routed_check_sees(host, case):
    where, command = BREAK[case]
    pod, conf = host.pod(), routed(host)
    host.namespace.run("ip", "link", "set", "lo", "up")
    result = host.add("c1", pod, conf=conf)
    conf["prevResult"] = result
    assert host.call("CHECK", "c1", pod, conf=conf).code == 0
    namespace = pod if where == "pod" else host.namespace
    namespace.run("sh", "-ec", command.replace("VETH", result["interfaces"][0]["name"]))
    assert host.call("CHECK", "c1", pod, conf=conf).error == DIFFERS


def test_routed_an_add_that_fails_leaves_nothing(host):
    """The address is somebody else's route already: the last step of ADD fails."""
    conf = routed(host)
    host.namespace.run("ip", "link", "add", "other", "type", "bridge")
    host.namespace.run("ip", "link", "set", "other", "up")
    host.namespace.run("ip", "-6", "route", "add", V6, "dev", "other", "metric", "16")
    pod = host.pod()
    reply = host.call("ADD", "c1", pod, conf=conf)
    assert reply.error == KERNEL and V6 in reply.json["msg"]
    host.assert_nothing_left()
    assert pod_routes(host) == {} and set(pod.links()) == {"lo"}
    reply = host.call("ADD", "c1", pod, conf=routed(host, ipam={"routes": [
        {"dst": "0.0.0.0/0", "gw": "10.244.1.9"}]}))
    assert reply.error == CONFIG
    host.assert_nothing_left()


def test_routed_gc_takes_links_routes_and_leases(host):
    conf = routed(host)
    for container in ("c1", "c2"):
        host.add(container, conf=conf)
    reply = host.call("GC", conf={**conf, "cni.dev/valid-attachments": [
        {"containerID": "c2", "ifname": "eth0"}]})
    assert reply.code == 0, reply
    assert set(host.held()) == {"c2"} and set(pod_routes(host)) == set(host.held()["c2"])


def test_a_pod_of_one_mode_is_deleted_by_a_configuration_of_the_other(host):
    host.add("bridged")
    host.add("routed", conf=routed(host))
    assert len({a for addresses in host.held().values() for a in addresses}) == 4
    host.delete("bridged", conf=routed(host))
    host.delete("routed")
    host.assert_nothing_left()
    assert pod_routes(host) == {}


# ---------------------------------------------------------------- another IPAM plugin

NETWORK = "modes"


def with_ipam(ipam, version="1.0.0", **more):
    return {"cniVersion": version, "name": NETWORK, "type": "roost", "mode": "bridge",
            "bridge": "br5", "mtu": 1500, "ipam": ipam, **more}


def host_local(host, version="1.0.0", **more):
    return with_ipam({"type": "host-local", "dataDir": os.path.join(host.folder, "host-local"),
                      "ranges": [[{"subnet": "10.5.0.0/24"}], [{"subnet": "fd05::/64"}]]},
                     version, **more)


def files_of_host_local(host):
    """{address: container} as host-local keeps it."""
    folder, found = os.path.join(host.folder, "host-local", NETWORK), {}
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        if name[0].isdigit() or ":" in name:
            with open(os.path.join(folder, name)) as file:
                found[name] = file.readline().strip()
    return found


PATHS = {"CNI_PATH": f"/nowhere::{DEBIAN}"}


@pytest.mark.parametrize("mode", ["bridge", "routed"])
@pytest.mark.parametrize("version", [v for v in VERSIONS if v < "1.1"])
def test_host_local_gives_the_addresses(host, version, mode):
    need_debian("host-local")
    conf, pods = host_local(host, version, mode=mode), [host.pod(), host.pod()]
    results = [host.add(f"c{i}", pod, conf=conf, env=PATHS) for i, pod in enumerate(pods)]
    assert files_of_host_local(host) == {"10.5.0.2": "c0", "fd05::2": "c0",
                                         "10.5.0.3": "c1", "fd05::3": "c1"}
    assert results[0]["cniVersion"] == version
    for a, b in (("10.5.0.2", "10.5.0.3"), ("fd05::2", "fd05::3")):
        assert one_packet_arrives(pods[0], a, pods[1], b)
        assert one_packet_arrives(pods[1], b, pods[0], a)
    if version >= "0.4.0":
        for i, pod in enumerate(pods):
            reply = host.call("CHECK", f"c{i}", pod, conf={**conf, "prevResult": results[i]},
                              env=PATHS)
            assert (reply.code, reply.out) == (0, ""), reply
    host.delete("c0", pods[0], conf=conf, env=PATHS)
    host.delete("c1", conf=conf, env=PATHS)
    assert files_of_host_local(host) == {} and host.veths() == []
    host.delete("c1", conf=conf, env=PATHS)


def test_static_gives_the_addresses_and_routes_of_its_configuration(host):
    need_debian("static")
    conf = with_ipam({"type": "static", "addresses": [
        {"address": "10.6.0.9/24", "gateway": "10.6.0.254"}],
        "routes": [{"dst": "10.0.0.0/8"}], "dns": {"nameservers": ["10.6.0.53"]}})
    pod = host.pod()
    result = host.add("c1", pod, conf=conf, env=PATHS)
    assert [(ip["address"], ip["gateway"]) for ip in result["ips"]] == [
        ("10.6.0.9/24", "10.6.0.254")]
    assert result["dns"] == {"nameservers": ["10.6.0.53"]}
    assert "10.6.0.254/24" in host.namespace.addresses("br5")
    assert pod.routes() == {"10.0.0.0/8": "10.6.0.254", "10.6.0.0/24": None}
    result = host.add("c2", conf={**conf, "dns": {"domain": "x"}}, env=PATHS)
    assert result["dns"] == {"domain": "x"}


def test_check_sees_that_the_ipam_plugin_lost_the_address(host):
    need_debian("host-local")
    conf, pod = host_local(host), host.pod()
    conf["prevResult"] = host.add("c1", pod, conf=conf, env=PATHS)
    os.unlink(os.path.join(host.folder, "host-local", NETWORK, "10.5.0.2"))
    os.unlink(os.path.join(host.folder, "host-local", NETWORK, "fd05::2"))
    assert host.call("CHECK", "c1", pod, conf=conf, env=PATHS).code == 1


def test_a_second_add_does_not_take_the_first_ones_addresses_away(host):
    need_debian("host-local")
    conf, pod = host_local(host), host.pod()
    host.add("c1", pod, conf=conf, env=PATHS)
    before = files_of_host_local(host)
    assert host.call("ADD", "c1", host.pod(), conf=conf, env=PATHS).error == EXISTS
    assert files_of_host_local(host) == before and "10.5.0.2/24" in pod.addresses("eth0")


def test_an_add_that_fails_after_the_ipam_plugin_gives_its_addresses_back(host):
    need_debian("host-local")
    pod = host.pod()
    pod.run("ip", "link", "add", "eth0", "type", "bridge")
    for mode in ("bridge", "routed"):
        reply = host.call("ADD", "c1", pod, conf=host_local(host, mode=mode), env=PATHS)
        assert reply.error == KERNEL
        assert files_of_host_local(host) == {} and host.veths() == []


def test_the_ipam_plugins_own_error_is_told(host):
    need_debian("host-local")
    conf = host_local(host)
    conf["ipam"]["ranges"] = [[{"subnet": "10.5.0.0/32"}]]
    reply = host.call("ADD", "c1", host.pod(), conf=conf, env=PATHS)
    assert reply.error == DELEGATE
    assert reply.json["msg"].startswith("ipam.type host-local: ADD: ")
    assert "too small" in reply.json["msg"]
    assert host.veths() == []


def test_a_lease_from_before_ipam_type_was_changed_is_given_back(host):
    need_debian("host-local")
    host.add("c1")
    conf = {**host_local(host), "name": "pods"}
    conf["ipam"]["dataDir"] = host.data_dir
    host.delete("c1", conf=conf, env=PATHS)
    host.assert_nothing_left()


class Fake:
    """An IPAM plugin made of a shell script, and what it was called with."""

    ANSWER = '{"ips": [{"address": "10.7.0.2/24"}]}'

    def __init__(self, host, **scripts):
        self.folder = os.path.join(host.folder, "plugins")
        self.calls_file = os.path.join(self.folder, "calls")
        os.mkdir(self.folder)
        scripts = {"ADD": f"echo '{self.ANSWER}'", **scripts}
        cases = "".join(f"{command}) {script} ;;\n" for command, script in scripts.items())
        with open(os.path.join(self.folder, "fake"), "w") as file:
            os.fchmod(file.fileno(), 0o755)
            file.write(f"""#!/bin/sh
cd {self.folder}
cat >stdin.$CNI_COMMAND
env >env.$CNI_COMMAND
readlink /proc/self/ns/net >netns.$CNI_COMMAND
echo $$ >pid
echo $CNI_COMMAND >>calls
case $CNI_COMMAND in
{cases}esac
""")
        self.env = {"CNI_PATH": self.folder, "TRACEPARENT": "of the runtime"}

    def read(self, name):
        with open(os.path.join(self.folder, name), "rb") as file:
            return file.read()

    @property
    def calls(self):
        return self.read("calls").decode().split() if os.path.exists(self.calls_file) else []

    def environment(self, command):
        return dict(line.split("=", 1) for line in
                    self.read("env." + command).decode().splitlines() if "=" in line)


FAKE = with_ipam({"type": "fake"}, "1.1.0")


def test_the_ipam_plugin_gets_what_we_got(host):
    fake, pod = Fake(host, ADD=f"echo careful >&2; echo '{Fake.ANSWER}'"), host.pod()
    stdin = json.dumps({**FAKE, "unknown": [1, {"a": None}]}, indent=3) + "\n \n"
    own = host.namespace.run("readlink", "/proc/self/ns/net").stdout
    reply = host.call("ADD", "c1", pod, stdin=stdin, env=fake.env, args="IgnoreUnknown=1;A=b")
    assert reply.code == 0, reply
    assert reply.err == "careful\n"
    assert host.call("CHECK", "c1", pod, env=fake.env,
                     conf={**FAKE, "prevResult": reply.json}).code == 0
    assert host.call("DEL", "c1", pod, stdin=stdin, env=fake.env).code == 0
    assert fake.calls == ["ADD", "CHECK", "DEL"]
    for command in ("ADD", "DEL"):
        assert fake.read("stdin." + command).decode() == stdin
        assert fake.read("netns." + command).decode() == own
        variables = fake.environment(command)
        assert variables["CNI_COMMAND"] == command
        assert (variables["CNI_CONTAINERID"], variables["CNI_IFNAME"]) == ("c1", "eth0")
        assert variables["CNI_NETNS"] == pod.path
        assert variables["CNI_PATH"] == fake.folder
        assert variables["TRACEPARENT"] == "of the runtime"
    assert fake.environment("ADD")["CNI_ARGS"] == "IgnoreUnknown=1;A=b"


def test_the_undo_of_the_ipam_plugin_runs_in_the_nodes_namespace(host):
    """Our ADD fails in its last step, when we are in the pod's."""
    fake = Fake(host)
    with open("/dev/full", "w") as full:
        reply = host.call("ADD", "c1", host.pod(), conf=FAKE, env=fake.env, stdout=full)
    assert reply.code == 1 and fake.calls == ["ADD", "DEL"]
    assert fake.read("netns.DEL") == fake.read("netns.ADD")
    assert host.veths() == []


ANSWERS = {
    "nothing": ("true", DECODE),
    "null": ("echo null", DECODE),
    "garbage": ("echo hello", DECODE),
    "half of it": ("echo '{\"ips\": ['", DECODE),
    "bytes that are no text": ("head -c 4096 /dev/urandom", DECODE),
    "20 000 brackets": ("head -c 20000 /dev/zero | tr '\\0' '['", DECODE),
    "10 MB": ("head -c 10000000 /dev/zero", DELEGATE),
    "without end": ("yes", DELEGATE),
    "no address": ("echo '{}'", CONFIG),
    "a prefix of 33": ("echo '{\"ips\":[{\"address\":\"10.0.0.1/33\"}]}'", CONFIG),
    "a gateway of the other family": (
        "echo '{\"ips\":[{\"address\":\"10.0.0.2/24\",\"gateway\":\"::1\"}]}'", CONFIG),
    "no room for a gateway": ("echo '{\"ips\":[{\"address\":\"10.0.0.1/32\"}]}'", CONFIG),
    "a failure that says nothing": ("exit 3", DELEGATE),
    "a failure with garbage": ("echo hello; exit 1", DELEGATE),
    "a failure with null": ("echo null; exit 1", DELEGATE),
    "unknown container": ("echo '{\"code\": 3, \"msg\": \"x\"}'; exit 1", DELEGATE),
    "try again later": ("echo '{\"code\": 11, \"msg\": \"x\"}'; exit 1", TRY_LATER),
    "killed": ("kill -9 $$", DELEGATE),
    "killed after its answer": (f"echo '{Fake.ANSWER}'; kill -9 $$", DELEGATE),
    "failed after its answer": (f"echo '{Fake.ANSWER}'; exit 1", DELEGATE),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_an_answer_without_sense_is_an_error_and_undone(host, case):
    script, code = ANSWERS[case]
    fake, pod = Fake(host, ADD=script), host.pod()
    reply = host.call("ADD", "c1", pod, conf=FAKE, env=fake.env)
    assert reply.error == code, reply
    assert reply.json["msg"].startswith("ipam.type fake: "), reply
    assert fake.calls == ["ADD", "DEL"]
    assert host.veths() == [] and set(pod.links()) == {"lo"}


def test_an_ipam_plugin_that_closes_its_output_has_said_nothing(host):
    fake = Fake(host, ADD="exec >&-; exit 0")
    assert host.call("ADD", "c1", host.pod(), conf=FAKE, env=fake.env).error == DECODE


def test_an_ipam_plugin_that_cannot_be_started(host):
    fake = Fake(host)
    os.chmod(os.path.join(fake.folder, "fake"), 0o644)
    reply = host.call("ADD", "c1", host.pod(), conf=FAKE, env=fake.env)
    assert reply.error == DELEGATE and "could not be started" in reply.json["msg"]


def test_the_ipam_plugin_is_looked_for_in_cni_path_only(host):
    fake, pod = Fake(host), host.pod()
    os.mkdir(os.path.join(host.folder, "first"))
    os.mkdir(os.path.join(host.folder, "first", "fake"))
    path = f"{host.folder}/first:{fake.folder}"
    assert host.call("ADD", "c1", pod, conf=FAKE, env={"CNI_PATH": path}).code == 0
    assert host.call("DEL", "c1", pod, conf=FAKE, env={"CNI_PATH": path}).code == 0
    for name, path, code in (("fake", None, ENVIRONMENT), ("fake", "", ENVIRONMENT),
                             ("fake", "/nowhere", CONFIG), ("../plugins/fake", fake.folder, CONFIG),
                             (fake.folder + "/fake", "/", CONFIG), ("..", fake.folder, CONFIG)):
        for command in ("ADD", "DEL"):
            reply = host.call(command, "c1", pod, conf=with_ipam({"type": name}),
                              env={"CNI_PATH": path})
            assert reply.error == code, (name, path, reply)
    assert fake.calls == ["ADD", "DEL"] and host.veths() == []


def test_del_removes_the_link_also_when_the_ipam_plugin_fails_and_says_so(host):
    fake, pod = Fake(host, DEL="test -e fixed"), host.pod()
    host.add("c1", pod, conf=FAKE, env=fake.env)
    reply = host.call("DEL", "c1", pod, conf=FAKE, env=fake.env)
    assert reply.error == DELEGATE and host.veths() == []
    open(os.path.join(fake.folder, "fixed"), "w").close()
    host.delete("c1", pod, conf=FAKE, env=fake.env)


def test_gc_and_status_are_passed_on(host):
    full = """if test -e full; then echo '{"code": 50, "msg": "full"}'; exit 1; fi"""
    fake = Fake(host, STATUS=full, GC="test ! -e broken")
    pods = [host.pod(), host.pod()]
    for i, pod in enumerate(pods):
        host.add(f"c{i}", pod, conf=FAKE, env=fake.env)
    host.add("other", conf={**FAKE, "name": "another"}, env=fake.env)
    assert host.call("STATUS", conf=FAKE, env=fake.env).code == 0
    open(os.path.join(fake.folder, "full"), "w").close()
    assert host.call("STATUS", conf=FAKE, env=fake.env).error == UNAVAILABLE
    conf = {**FAKE, "cni.dev/valid-attachments": [{"containerID": "c0", "ifname": "eth0"}]}
    assert host.call("GC", conf=conf, env=fake.env).code == 0
    assert set(pods[0].links()) == {"lo", "eth0"} and set(pods[1].links()) == {"lo"}
    assert len(host.veths()) == 2, "that of the other network stays"
    assert json.loads(fake.read("stdin.GC")) == conf
    open(os.path.join(fake.folder, "broken"), "w").close()
    assert host.call("GC", conf=conf, env=fake.env).error == DELEGATE
    assert fake.calls == ["ADD"] * 3 + ["STATUS"] * 2 + ["GC"] * 2


def test_gc_asks_the_ipam_plugin_although_the_lease_store_cannot_be_read(host):
    fake = Fake(host, GC="echo '{\"code\": 7, \"msg\": \"no\"}'; exit 1")
    conf = {**FAKE, "ipam": {"type": "fake", "dataDir": host.data_dir},
            "cni.dev/valid-attachments": []}
    host.add("c1", conf=conf, env=fake.env)
    os.makedirs(os.path.join(host.data_dir, NETWORK, "leases"))
    reply = host.call("GC", conf=conf, env=fake.env)
    assert host.data_dir in reply.json["msg"] and "ipam.type fake: GC: no" in reply.json["msg"]
    assert host.veths() == [] and fake.calls == ["ADD", "GC"]


def test_gc_does_not_ask_the_ipam_plugin_while_a_link_is_left(host):
    """The address of the pod at its other end would be free."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    fake = Fake(host)
    conf = {**FAKE, "cni.dev/valid-attachments": []}
    host.add("c1", conf=conf, env=fake.env)
    reply = host.call("GC", conf=conf, env={**fake.env, "ASAN_OPTIONS": "detect_leaks=0"},
                      prefix=["strace", "-qq", "-o", "/dev/null", "-e",
                              "inject=sendmsg:error=EPERM:when=1"])
    assert reply.error == KERNEL and "c1 eth0: " in reply.json["msg"]
    assert "ipam.type fake: GC: not asked while links are left" in reply.json["msg"]
    assert host.call("GC", conf=conf, env=fake.env).code == 0
    assert host.veths() == [] and fake.calls == ["ADD", "GC"]


def test_a_status_of_limited_connectivity_stays_that(host):
    fake = Fake(host, STATUS="echo '{\"code\": 51, \"msg\": \"x\"}'; exit 1")
    assert host.call("STATUS", conf=FAKE, env=fake.env).error == LIMITED


def started(fake, process):
    """Waits until the fake plugin runs; a descriptor of its process."""
    deadline = time.monotonic() + 30
    while fake.calls != ["ADD"]:
        assert time.monotonic() < deadline and process.poll() is None
        select.select([], [], [], 0.01)
    return os.pidfd_open(int(fake.read("pid")))


def has_ended(pidfd, seconds=30):
    return bool(select.select([pidfd], [], [], seconds)[0])


HANG = "exec tail -f /dev/null"


def test_the_ipam_plugin_dies_with_us(host):
    fake = Fake(host, ADD=HANG)
    process = host.start("ADD", "c1", host.pod(), conf=FAKE, env=fake.env)
    pidfd = started(fake, process)
    try:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert has_ended(pidfd)
    finally:
        os.close(pidfd)
    host.delete("c1", conf=FAKE, env=fake.env)
    assert host.veths() == []


@pytest.mark.parametrize("script", [HANG, "exec >/dev/null; " + HANG])
def test_the_ipam_plugin_has_no_more_time_than_we_have(host, script):
    fake = Fake(host, ADD=script)
    process = host.start("ADD", "c1", host.pod(), conf=FAKE, env=fake.env)
    pidfd = started(fake, process)
    try:
        process.send_signal(signal.SIGALRM)     # the deadline, early
        # The alarm repeats; a signal that came too early to interrupt is no loss.
        while not has_ended(pidfd, 0.1) and process.poll() is None:
            process.send_signal(signal.SIGALRM)
        reply = host.finish(process)
        assert has_ended(pidfd)
    finally:
        os.close(pidfd)
    assert reply.error == TRY_LATER
    assert fake.calls == ["ADD", "DEL"]


# ---------------------------------------------------------------- as another's IPAM plugin

def foreign(host, plugin, version="1.0.0", **more):
    return {"cniVersion": version, "name": NETWORK, "type": plugin,
            "ipam": {"type": "roost", "dataDir": host.data_dir,
                     "ranges": [[{"subnet": "10.8.0.0/24"}], [{"subnet": "fd08::/64"}]],
                     "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}, **more}


MAINS = {
    "bridge": dict(bridge="br6", isGateway=True, hairpinMode=True, vlan=0),
    "ptp": dict(ipMasq=False, mtu=1400),
    "macvlan": dict(master="up0", mode="private"),
}


@pytest.mark.parametrize("version", ["0.3.1", "0.4.0", "1.0.0"])
@pytest.mark.parametrize("main", MAINS)
def test_a_foreign_main_plugin_gets_its_addresses_from_us(host, main, version):
    need_debian(main)
    outside(host)
    conf, pod = foreign(host, main, version, **MAINS[main]), host.pod()
    env = {"CNI_PATH": f"{os.path.dirname(host.plugin)}:{DEBIAN}"}
    plugin = os.path.join(DEBIAN, main)
    reply = host.call("ADD", "c1", pod, conf=conf, env=env, plugin=plugin)
    assert reply.code == 0, reply
    assert [ip["address"] for ip in reply.json["ips"]] == ["10.8.0.2/24", "fd08::2/64"]
    assert host.held(NETWORK) == {"c1": ("10.8.0.2", "fd08::2")}
    assert {"10.8.0.2/24", "fd08::2/64"} <= set(pod.addresses("eth0"))
    assert host.veths() == [], "the interfaces are the other plugin's"
    if version >= "0.4.0":
        check = host.call("CHECK", "c1", pod, conf={**conf, "prevResult": reply.json}, env=env,
                          plugin=plugin)
        assert check.code == 0, check
    reply = host.call("DEL", "c1", pod, conf=conf, env=env, plugin=plugin)
    assert reply.code == 0, reply
    assert host.held(NETWORK) == {}


@pytest.mark.parametrize("version", VERSIONS)
def test_as_ipam_plugin_we_print_addresses_and_no_interfaces(host, version):
    conf = foreign(host, "bridge", version, vlan=7, mode="x", mtu="y", ipMasq=True)
    reply = host.call("ADD", "c1", "/nowhere", conf=conf)
    assert reply.code == 0, reply
    if version < "0.3.0":
        assert reply.json["ip4"] == {"ip": "10.8.0.2/24", "gateway": "10.8.0.1",
                                     "routes": [{"dst": "0.0.0.0/0"}]}
    else:
        family = {"version": "4"} if version < "1" else {}
        assert reply.json["ips"][0] == {"address": "10.8.0.2/24", "gateway": "10.8.0.1", **family}
        assert reply.json["routes"] == [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]
        assert set(reply.json) == {"cniVersion", "ips", "routes"}
    host.delete("c1", conf=conf)
    host.assert_nothing_left()
    assert list(host.namespace.links()) == ["lo"]


def test_as_ipam_plugin_no_link_is_touched(host):
    """One of the same name, of a pod of ours, stays whatever the other plugin asks."""
    pod = host.pod()
    host.add("c1", pod)
    conf = {**foreign(host, "bridge", "1.1.0"), "name": "pods"}
    assert host.call("ADD", "c1", "/nowhere", conf=conf).error == EXISTS
    host.delete("c1", conf=conf)
    assert len(host.veths()) == 1 and "eth0" in pod.links()
    assert host.held() == {}


def test_as_ipam_plugin_check_compares_the_lease_with_the_result(host):
    conf = foreign(host, "bridge", "1.1.0")
    previous = host.add("c1", "/nowhere", conf=conf)

    def check(container="c1", **more):
        return host.call("CHECK", container, "/nowhere", conf={**conf, **more})
    assert check(prevResult=previous).code == 0
    assert check().error == CONFIG
    assert check("c2", prevResult=previous).error == DIFFERS
    assert check(prevResult={**previous, "ips": previous["ips"][1:]}).error == DIFFERS


def test_as_ipam_plugin_gc_and_status_look_at_the_store_alone(host):
    conf = foreign(host, "bridge", "1.1.0")
    conf["ipam"]["ranges"] = [[{"subnet": "10.8.0.0/29"}]]
    conf["ipam"]["routes"] = []
    for i in range(5):
        assert host.call("STATUS", conf=conf).code == 0
        host.add(f"c{i}", "/nowhere", conf=conf)
    assert host.call("STATUS", conf=conf).error == UNAVAILABLE
    assert host.call("ADD", "c9", "/nowhere", conf=conf).error == TRY_LATER
    reply = host.call("GC", conf={**conf, "cni.dev/valid-attachments": [
        {"containerID": "c2", "ifname": "eth0"}]})
    assert (reply.code, reply.out) == (0, "")
    assert set(host.held(NETWORK)) == {"c2"}
    assert host.call("STATUS", conf=conf).code == 0


def test_as_ipam_plugin_a_result_that_cannot_be_told_is_undone(host):
    with open("/dev/full", "w") as full:
        reply = host.call("ADD", "c1", "/nowhere", conf=foreign(host, "bridge"), stdout=full)
    assert reply.code == 1 and host.held(NETWORK) == {}


def test_as_ipam_plugin_the_mac_of_cni_args_is_the_main_plugins(host):
    """bridge takes MAC and passes it on; host-local refuses it there."""
    need_debian("bridge")
    reply = host.call("ADD", "c1", host.pod(), conf=foreign(host, "bridge", **MAINS["bridge"]),
                      env={"CNI_PATH": f"{os.path.dirname(host.plugin)}:{DEBIAN}"},
                      plugin=os.path.join(DEBIAN, "bridge"),
                      args="MAC=0a:00:00:00:00:05")
    assert reply.code == 0, reply
    assert "0a:00:00:00:00:05" in json.dumps(reply.json)
