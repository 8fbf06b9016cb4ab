# SPDX-License-Identifier: GPL-2.0-or-later
"""The CNI contract, seen from outside: environment and stdin in; exit code, stdout
and the kernel's state out."""

import contextlib
import fcntl
import json
import os
import stat
import subprocess

import pytest

from cniharness import VERSIONS, Host, Namespace, one_packet_arrives

# CNI error codes (cni/code.h).
VERSION, UNSUPPORTED, ENVIRONMENT, IO, DECODE, CONFIG, NETNS, TRY_LATER = 1, 2, 4, 5, 6, 7, 8, 11
UNAVAILABLE, EXISTS, KERNEL, DIFFERS = 50, 100, 101, 102


# ---------------------------------------------------------------- streams and exit codes

BAD_CALLS = {
    "unknown command": (dict(command="FOO"), ENVIRONMENT),
    "lower case command": (dict(command="add"), ENVIRONMENT),
    "empty command": (dict(command=""), ENVIRONMENT),
    "no container id": (dict(container=""), ENVIRONMENT),
    "no namespace": (dict(netns=""), ENVIRONMENT),
    "no interface": (dict(ifname=""), ENVIRONMENT),
    "container id with a slash": (dict(container="a/b"), ENVIRONMENT),
    "container id ..": (dict(container=".."), ENVIRONMENT),
    "container id of 300 bytes": (dict(container="a" * 300), ENVIRONMENT),
    "interface name of 16 bytes": (dict(ifname="a" * 16), ENVIRONMENT),
    "interface name with a slash": (dict(ifname="a/b"), ENVIRONMENT),
    "interface name all": (dict(ifname="all"), ENVIRONMENT),
    "namespace that is missing": (dict(netns="/nowhere"), ENVIRONMENT),
    "namespace that is a file": (dict(netns="/etc/passwd"), ENVIRONMENT),
    "namespace that is a folder": (dict(netns="/etc"), ENVIRONMENT),
    "namespace of another kind": (dict(netns="/proc/1/ns/mnt"), ENVIRONMENT),
    "no input": (dict(stdin=""), DECODE),
    "no JSON": (dict(stdin="{"), DECODE),
    "an array": (dict(stdin="[]"), DECODE),
    "a NUL": (dict(stdin=b'{"name":"a\0b"}'), DECODE),
    "no UTF-8": (dict(stdin=b'{"name":"\xff"}'), DECODE),
    "20 000 brackets": (dict(stdin="[" * 20000), DECODE),
    "more than 8 MiB": (dict(stdin=b'{"a":"' + b"x" * (8 << 20) + b'"}'), DECODE),
    "a key twice": (dict(stdin='{"name":"a","name":"b"}'), DECODE),
    "no name": (dict(stdin='{"cniVersion":"1.0.0"}'), CONFIG),
    "name ..": (dict(stdin='{"cniVersion":"1.0.0","name":".."}'), CONFIG),
    "version of the future": (dict(stdin='{"cniVersion":"2.0.0","name":"a"}'), VERSION),
    "arguments that nobody knows": (dict(args="FOO=bar"), ENVIRONMENT),
    "arguments without =": (dict(args="FOO"), ENVIRONMENT),
}


@pytest.mark.parametrize("case", BAD_CALLS)
def test_what_is_wrong_is_one_json_error_on_stdout_and_changes_nothing(host, case):
    change, code = BAD_CALLS[case]
    reply = host.call(**{"command": "ADD", "netns": host.pod(), **change})
    assert reply.error == code
    assert set(reply.json) == {"cniVersion", "code", "msg", "details"}
    assert reply.err.count("\n") == 1
    assert not os.path.exists(host.data_dir)
    assert list(host.namespace.links()) == ["lo"]


BAD_CONFIGS = {
    "a key in other letters": (dict(MTU=1400), CONFIG),
    "mode unknown": (dict(mode="x"), CONFIG),
    "ipMasq": (dict(ipMasq=True), UNSUPPORTED),
    "vlan": (dict(vlan=5), UNSUPPORTED),
    "neither type is ours": (dict(type="bridge", ipam={"type": "host-local"}), CONFIG),
    "foreign ipam that is missing": (dict(ipam={"type": "no-such-plugin"}), CONFIG),
    "foreign ipam with a slash": (dict(ipam={"type": "../host-local"}), CONFIG),
    "mtu too large": (dict(mtu=70000), CONFIG),
    "mtu below IPv6's": (dict(mtu=1000), CONFIG),
    "mtu a text": (dict(mtu="x"), DECODE),
    "prevResult": (dict(prevResult={"cniVersion": "1.1.0", "ips": []}), CONFIG),
    "a /31": (dict(subnets=["10.0.0.0/31"]), CONFIG),
    "a /32": (dict(subnets=["10.0.0.0/32"]), CONFIG),
    "a /127": (dict(subnets=["fd00::/127"]), CONFIG),
    "a /128": (dict(subnets=["fd00::/128"]), CONFIG),
    "a /33": (dict(subnets=["10.0.0.0/33"]), CONFIG),
    "host bits": (dict(subnets=["10.0.0.1/24"]), CONFIG),
    "overlap": (dict(subnets=["10.0.0.0/24", "10.0.0.0/25"]), CONFIG),
    "bridge no name": (dict(bridge="a/b"), CONFIG),
    "relative dataDir": (dict(ipam={"dataDir": "x"}), CONFIG),
}


@pytest.mark.parametrize("case", BAD_CONFIGS)
def test_a_wrong_configuration_is_refused_before_anything_is_done(host, case):
    change, code = BAD_CONFIGS[case]
    reply = host.call("ADD", "c1", host.pod(), conf=host.conf(**change))
    assert reply.error == code
    assert not os.path.exists(host.data_dir)
    assert list(host.namespace.links()) == ["lo"]


def test_all_missing_variables_are_named_at_once(host):
    reply = host.call("ADD", "", "", ifname="")
    assert reply.json["msg"] == "ADD needs CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME"


def test_without_a_command_it_introduces_itself_on_stderr(host):
    reply = host.call("ADD", env={"CNI_COMMAND": None})
    assert (reply.code, reply.out) == (0, "")
    assert "1.1.0" in reply.err


def test_version_does_not_read_stdin(host):
    reader, writer = os.pipe()
    try:
        process = subprocess.Popen([host.plugin], stdin=reader, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env={"CNI_COMMAND": "VERSION"})
        reply = host.finish(process)
    finally:
        os.close(reader)
        os.close(writer)
    assert reply.code == 0
    assert reply.json == {"cniVersion": "1.1.0", "supportedVersions": list(VERSIONS)}


@pytest.mark.parametrize("stdout", ["full", "closed pipe"])
def test_an_add_that_cannot_tell_its_result_undoes_it(host, stdout):
    reader, writer = os.pipe()
    os.close(reader)
    if stdout == "full":
        os.close(writer)
        writer = os.open("/dev/full", os.O_WRONLY)
    try:
        reply = host.call("ADD", "c1", host.pod(), stdout=writer)
    finally:
        os.close(writer)
    assert reply.code == 1
    assert "stdout" in reply.err
    host.assert_nothing_left()


# ---------------------------------------------------------------- ADD

@pytest.mark.parametrize("version", VERSIONS)
def test_add_check_and_del_speak_every_version(host, version):
    conf, pod = host.conf(version), host.pod()
    result = host.add("c1", pod, conf=conf)
    assert result["cniVersion"] == version
    if version in ("0.1.0", "0.2.0"):
        assert result["ip4"] == {"ip": "10.244.1.2/24", "gateway": "10.244.1.1",
                                 "routes": [{"dst": "0.0.0.0/0", "gw": "10.244.1.1"}]}
        assert result["ip6"]["ip"] == "fd00:10:244:1::2/64"
        assert set(result) == {"cniVersion", "ip4", "ip6"}
    else:
        assert set(result) == {"cniVersion", "interfaces", "ips", "routes"}
        assert [ip["address"] for ip in result["ips"]] == ["10.244.1.2/24", "fd00:10:244:1::2/64"]
        assert [ip.get("version") for ip in result["ips"]] == \
            (["4", "6"] if version < "1" else [None, None])
        ours = result["interfaces"][result["ips"][0]["interface"]]
        assert (ours["name"], ours["sandbox"]) == ("eth0", pod.path)
        assert ("mtu" in ours) == (version == "1.1.0")
        assert all("sandbox" not in i for i in result["interfaces"][:2])
    reply = host.call("CHECK", "c1", pod, conf={**conf, "prevResult": result})
    if version < "0.4.0":
        assert reply.error == VERSION
    else:
        assert (reply.code, reply.out) == (0, ""), reply
    host.delete("c1", pod, conf=conf)
    host.assert_nothing_left()


def test_no_version_is_0_1_0(host):
    conf = host.conf()
    del conf["cniVersion"]
    assert host.add(conf=conf)["cniVersion"] == "0.1.0"


def test_the_kernel_holds_what_the_result_says(host):
    pod = host.pod()
    result = host.add("c1", pod, conf=host.conf(mtu=1400))
    bridge, veth, eth0 = result["interfaces"]
    links, inside = host.namespace.links(), pod.links()
    assert links["roost0"]["linkinfo"]["info_kind"] == "bridge"
    assert links["roost0"]["address"] == bridge["mac"]
    assert links[veth["name"]]["master"] == "roost0"
    assert links[veth["name"]]["address"] == veth["mac"]
    assert links[veth["name"]]["ifalias"] == \
        "roost pods c1 eth0 10.244.1.2,fd00:10:244:1::2"
    assert links[veth["name"]]["inet6_addr_gen_mode"] == "none"
    assert inside["eth0"]["address"] == eth0["mac"] == "0a:58:0a:f4:01:02"
    assert {links["roost0"]["mtu"], links[veth["name"]]["mtu"], inside["eth0"]["mtu"],
            eth0["mtu"]} == {1400}
    assert "UP" in inside["lo"]["flags"]
    assert set(host.namespace.addresses("roost0")) == {
        "10.244.1.1/24", "fd00:10:244:1::1/64", "fe80::858:aff:fef4:101/64"}
    assert set(pod.addresses("eth0")) == {
        "10.244.1.2/24", "fd00:10:244:1::2/64", "fe80::858:aff:fef4:102/64"}
    assert pod.routes() == {"default": "fd00:10:244:1::1", "10.244.1.0/24": None,
                            "fd00:10:244:1::/64": None, "fe80::/64": None}
    assert pod.run("ip", "-4", "route", "show", "default").stdout.split()[:3] == \
        ["default", "via", "10.244.1.1"]
    assert host.held() == {"c1": ("10.244.1.2", "fd00:10:244:1::2")}


def test_no_address_is_ever_tentative(host):
    pod = host.pod()
    host.add("c1", pod)
    for namespace, ifname in ((pod, "eth0"), (host.namespace, "roost0")):
        for address in namespace.addresses(ifname).values():
            assert not address.get("tentative") and not address.get("dadfailed"), address
    veth = host.veths()[0]
    assert host.namespace.addresses(veth) == {}


def test_everything_is_up_and_forwards_when_add_returns(host):
    pod = host.pod()
    host.add("c1", pod)
    links = host.namespace.links()
    veth = links[host.veths()[0]]
    assert veth["operstate"] == links["roost0"]["operstate"] == "UP"
    assert veth["linkinfo"]["info_slave_data"]["state"] == "forwarding"
    assert pod.links()["eth0"]["operstate"] == "UP"


@pytest.mark.parametrize("mode", ["bridge", "routed"])
def test_ipv6_addresses_are_in_use_when_add_returns(host, mode):
    """The kernel makes an address's local route later, and later still when others
    hold its locks."""
    conf, pods = host.conf(mode=mode), [host.pod() for _ in range(40)]
    for first in range(0, len(pods), 10):
        running = [(host.start("ADD", f"c{i}", pods[i], conf=conf), pods[i])
                   for i in range(first, first + 10)]
        for process, pod in running:
            reply = host.finish(process)
            assert reply.code == 0, reply
            address = reply.json["ips"][1]["address"].split("/")[0]
            assert address in pod.local_ipv6()


def test_two_pods_reach_each_other_and_the_gateway_with_the_first_packet(host):
    pods = [host.pod(), host.pod()]
    host.add("c1", pods[0])
    assert one_packet_arrives(pods[0], "10.244.1.2", host.namespace, "10.244.1.1")
    host.add("c2", pods[1])
    assert one_packet_arrives(host.namespace, "10.244.1.1", pods[1], "10.244.1.3")
    for a, b, gateway in (("10.244.1.2", "10.244.1.3", "10.244.1.1"),
                          ("fd00:10:244:1::2", "fd00:10:244:1::3", "fd00:10:244:1::1")):
        assert one_packet_arrives(pods[0], a, pods[1], b)
        assert one_packet_arrives(pods[1], b, pods[0], a)
        assert one_packet_arrives(pods[1], b, host.namespace, gateway)
        assert one_packet_arrives(host.namespace, gateway, pods[0], a)


def test_an_address_used_again_is_reached_at_once(host):
    """The neighbours' caches still hold the last user's MAC address, and it is right."""
    conf = host.conf(subnets=["10.244.1.0/29", "fd00::/125"])
    pods = [host.pod() for _ in range(5)]
    for i, pod in enumerate(pods):
        host.add(f"c{i}", pod, conf=conf)
    addresses = host.held()["c1"]
    for address, other in zip(addresses, host.held()["c0"]):
        assert one_packet_arrives(pods[0], other, pods[1], address)
    host.delete("c1", pods[1], conf=conf)
    again = host.pod()
    host.add("again", again, conf=conf)
    assert host.held()["again"] == addresses
    for address, other in zip(addresses, host.held()["c0"]):
        assert one_packet_arrives(pods[0], other, again, address)


@pytest.mark.parametrize("subnet", ["10.244.1.0/24", "fd00:10:244:1::/64"])
def test_one_family_is_enough(host, subnet):
    pod = host.pod()
    result = host.add("c1", pod, conf=host.conf(subnets=[subnet]))
    assert len(result["ips"]) == len(result["routes"]) == 1
    assert one_packet_arrives(host.namespace, result["ips"][0]["gateway"], pod,
                              result["ips"][0]["address"].split("/")[0])
    if subnet.startswith("10."):
        assert not any(":" in address for address in pod.addresses("eth0"))


def test_forwarding_is_switched_on_and_router_advertisements_off(host):
    for name in ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"):
        host.namespace.set_sysctl(name, "0")
    pod = host.pod()
    host.add("c1", pod)
    assert host.namespace.sysctl("net/ipv4/ip_forward") == "1"
    assert host.namespace.sysctl("net/ipv6/conf/all/forwarding") == "1"
    assert host.namespace.sysctl("net/ipv6/conf/roost0/accept_ra") == "0"
    assert pod.sysctl("net/ipv6/conf/eth0/accept_ra") == "0"


def test_a_pod_whose_runtime_switched_ipv6_off_gets_it_all_the_same(host):
    pod = host.pod()
    pod.set_sysctl("net/ipv6/conf/default/disable_ipv6", "1")
    host.add("c1", pod)
    assert "fd00:10:244:1::2/64" in pod.addresses("eth0")


def test_add_twice_is_an_error_and_leaves_the_first_alone(host):
    pod = host.pod()
    host.add("c1", pod)
    before = host.held(), host.namespace.links().keys(), pod.addresses("eth0")
    reply = host.call("ADD", "c1", pod)
    assert reply.error == EXISTS
    reply = host.call("ADD", "c1", host.pod())
    assert reply.error == EXISTS
    assert (host.held(), host.namespace.links().keys(), pod.addresses("eth0")) == before


def test_an_interface_that_is_there_already_is_not_touched(host):
    pod = host.pod()
    pod.run("ip", "link", "add", "eth0", "type", "bridge")
    reply = host.call("ADD", "c1", pod)
    assert reply.error == KERNEL
    assert pod.links()["eth0"]["linkinfo"]["info_kind"] == "bridge"
    host.assert_nothing_left()


def test_a_link_that_outlived_its_lease_is_not_given_to_another(host):
    """The store was deleted by hand: the pod lives on, its link says whose it is."""
    pod = host.pod()
    host.add("c1", pod)
    os.unlink(f"{host.data_dir}/pods/leases")
    assert host.call("ADD", "c1", host.pod()).error == EXISTS
    assert len(host.veths()) == 1
    assert "10.244.1.2/24" in pod.addresses("eth0")


def test_two_interfaces_of_one_container_are_two_attachments(host):
    pod = host.pod()
    host.add("c1", pod)
    host.add("c1", pod, ifname="net1")
    assert set(pod.links()) == {"lo", "eth0", "net1"}
    host.delete("c1", pod, ifname="net1")
    assert set(pod.links()) == {"lo", "eth0"}
    assert host.held() == {"c1": ("10.244.1.2", "fd00:10:244:1::2")}


def test_the_hosts_own_namespace_is_refused_unless_overridden(host):
    for command in ("ADD", "DEL"):
        assert host.call(command, "c1", host.namespace).error == NETNS
    reply = host.call("ADD", "c1", host.namespace, env={"CNI_NETNS_OVERRIDE": "TRUE"},
                      conf=host.conf(ipam={"routes": []}))
    assert reply.code == 0, reply
    assert "eth0" in host.namespace.links()
    host.delete("c1", host.namespace, env={"CNI_NETNS_OVERRIDE": "1"})
    host.assert_nothing_left()


@pytest.mark.skipif(not os.path.exists("/usr/lib/cni/tuning"),
                    reason="containernetworking-plugins is not installed")
@pytest.mark.parametrize("version", ["0.3.1", "0.4.0", "1.0.0"])
def test_the_next_plugin_of_a_chain_understands_the_result(host, version):
    pod = host.pod()
    result = host.add("c1", pod, conf=host.conf(version))
    reply = host.call("ADD", "c1", pod, plugin="/usr/lib/cni/tuning", conf={
        "cniVersion": version, "name": "pods", "type": "tuning", "mtu": 1400,
        "prevResult": result})
    assert reply.code == 0, reply
    assert reply.json["ips"] == result["ips"]
    assert pod.links()["eth0"]["mtu"] == 1400


# ---------------------------------------------------------------- options

def test_requested_address_and_mac_are_given(host):
    pod = host.pod()
    result = host.add("c1", pod, args="IgnoreUnknown=1;K8S_POD_NAME=x;IP=10.244.1.77;"
                                      "MAC=02:00:00:00:00:77")
    assert result["ips"][0]["address"] == "10.244.1.77/24"
    assert pod.links()["eth0"]["address"] == "02:00:00:00:00:77"
    reply = host.call("ADD", "c2", host.pod(), args="IP=10.244.1.77")
    assert reply.error == TRY_LATER
    assert host.call("ADD", "c2", host.pod(), args="IP=10.9.9.9").error == CONFIG


def test_runtime_config_wins(host):
    result = host.add(conf=host.conf(runtimeConfig={"ips": ["10.244.1.7/24", "fd00:10:244:1::9"],
                                                    "mac": "02:00:00:00:00:07"},
                                     args={"cni": {"ips": ["10.244.1.8"]}}),
                      args="IP=10.244.1.9;MAC=02:00:00:00:00:09")
    assert [ip["address"] for ip in result["ips"]] == ["10.244.1.7/24", "fd00:10:244:1::9/64"]
    assert result["interfaces"][2]["mac"] == "02:00:00:00:00:07"


def test_hairpin_is_set_when_asked_for(host):
    host.add("c1")
    host.add("c2", conf=host.conf(hairpinMode=True))
    links = host.namespace.links()
    ports = [links[name]["linkinfo"]["info_slave_data"]["hairpin"] for name in host.veths()]
    assert sorted(ports) == [False, True]


def test_routes_of_the_configuration_replace_the_default_routes(host):
    pod = host.pod()
    result = host.add("c1", pod, conf=host.conf(subnets=["10.244.1.0/24"], ipam={"routes": [
        {"dst": "10.0.0.0/8"}, {"dst": "10.9.0.0/16", "gw": "10.244.1.9", "mtu": 1300}]}))
    assert pod.routes() == {"10.244.1.0/24": None, "10.0.0.0/8": "10.244.1.1",
                            "10.9.0.0/16": "10.244.1.9"}
    assert result["routes"][1] == {"dst": "10.9.0.0/16", "gw": "10.244.1.9", "mtu": 1300}


def test_gateway_and_range_of_the_configuration_are_used(host):
    result = host.add(conf=host.conf(subnets=(), ipam={"ranges": [[{
        "subnet": "10.3.0.0/16", "rangeStart": "10.3.7.5", "rangeEnd": "10.3.7.9",
        "gateway": "10.3.255.254"}]]}))
    assert result["ips"][0] == {"interface": 2, "address": "10.3.7.5/16",
                                "gateway": "10.3.255.254"}
    assert "10.3.255.254/16" in host.namespace.addresses("roost0")


def test_dns_is_passed_on(host):
    dns = {"nameservers": ["10.0.0.53"], "search": ["example.org"]}
    assert host.add(conf=host.conf(dns=dns))["dns"] == dns
    assert "dns" not in host.add("c2", conf=host.conf(dns={}))


def test_without_mtu_the_uplinks_is_used(host):
    conf = host.conf(mtu="auto", nodeFile=host.folder + "/none.json")
    assert host.add("c1", conf=conf)["interfaces"][2]["mtu"] == 1500
    host.namespace.run("ip", "link", "add", "up0", "mtu", "1420", "type", "veth", "peer", "up1")
    host.namespace.run("ip", "link", "set", "up1", "up")
    host.namespace.run("ip", "addr", "add", "192.0.2.9/24", "dev", "up0")
    host.namespace.run("ip", "link", "set", "up0", "up")
    host.namespace.run("ip", "route", "add", "default", "via", "192.0.2.1")
    host.delete("c1", conf=conf)
    assert host.add("c2", conf=conf)["interfaces"][2]["mtu"] == 1420


def test_a_bridge_that_is_there_is_used_as_it_is(host):
    host.namespace.run("ip", "link", "add", "br7", "address", "02:00:00:00:07:07", "type", "bridge")
    result = host.add(conf=host.conf(bridge="br7"))
    assert result["interfaces"][0]["mac"] == "02:00:00:00:07:07"
    assert host.namespace.links()["br7"]["address"] == "02:00:00:00:07:07"


def test_a_link_that_is_no_bridge_is_not_taken_for_one(host):
    host.namespace.run("ip", "link", "add", "roost0", "type", "veth", "peer", "other")
    for up in ("down", "up"):
        host.namespace.run("ip", "link", "set", "roost0", up)
        reply = host.call("ADD", "c1", host.pod())
        assert reply.error == CONFIG
        assert "roost0" in reply.json["msg"]
        assert host.namespace.addresses("roost0").keys() <= {
            a for a in host.namespace.addresses("roost0") if a.startswith("fe80")}
    host.assert_nothing_left()


def test_the_bridges_mac_address_stays(host):
    host.add("c1")
    before = host.namespace.links()["roost0"]["address"]
    for i in range(2, 6):
        host.add(f"c{i}")
    host.delete("c1")
    assert host.namespace.links()["roost0"]["address"] == before


# ---------------------------------------------------------------- node.json

def write_node(host, **more):
    path = os.path.join(host.folder, "node.json")
    with open(path, "w") as file:
        json.dump({"version": 1, "node": "node1", "mode": "bridge", "bridge": "roost0",
                   "mtu": 1450, "podCIDRs": ["10.244.7.0/24", "fd00:10:244:7::/64"],
                   "binDir": "/opt/cni/bin", **more}, file)
    return path


def agent_conf(host, **more):
    """What roostd writes: everything else is in node.json."""
    return {"cniVersion": "1.1.0", "name": "pods", "type": "roost",
            "nodeFile": os.path.join(host.folder, "node.json"),
            "ipam": {"type": "roost", "dataDir": host.data_dir}, **more}


def test_node_json_says_what_the_configuration_does_not(host):
    write_node(host, bridge="br5")
    result = host.add(conf=agent_conf(host))
    assert [ip["address"] for ip in result["ips"]] == ["10.244.7.2/24", "fd00:10:244:7::2/64"]
    assert result["interfaces"][0]["name"] == "br5"
    assert result["interfaces"][2]["mtu"] == 1450


def test_the_configuration_wins_over_node_json(host):
    write_node(host, bridge="br5")
    result = host.add(conf=host.conf(nodeFile=host.folder + "/node.json", mtu=1300))
    assert result["ips"][0]["address"] == "10.244.1.2/24"
    assert (result["interfaces"][0]["name"], result["interfaces"][2]["mtu"]) == ("roost0", 1300)


def test_without_node_json_add_says_try_later_and_names_roostd(host):
    for command in ("ADD", "STATUS"):
        reply = host.call(command, "c1", host.pod(), conf=agent_conf(host))
        assert reply.error == {"ADD": TRY_LATER, "STATUS": UNAVAILABLE}[command]
        assert "roostd" in reply.json["msg"] and "node.json" in reply.json["msg"]


def test_a_node_without_podCIDR_says_try_later(host):
    write_node(host, podCIDRs=[])
    reply = host.call("ADD", "c1", host.pod(), conf=agent_conf(host))
    assert reply.error == TRY_LATER


def test_a_second_podCIDR_is_used_when_the_first_is_full(host):
    write_node(host, podCIDRs=["10.244.7.0/30", "10.244.8.0/30"])
    first, second = host.pod(), host.pod()
    assert host.add("c1", first, conf=agent_conf(host))["ips"][0]["address"] == "10.244.7.2/30"
    assert host.add("c2", second, conf=agent_conf(host))["ips"][0]["address"] == "10.244.8.2/30"
    assert one_packet_arrives(first, "10.244.7.2", second, "10.244.8.2")
    reply = host.call("ADD", "c3", host.pod(), conf=agent_conf(host))
    assert reply.error == TRY_LATER
    assert "all 2 addresses are in use" in reply.json["msg"]


def test_a_lease_outlives_the_podCIDR_it_came_from(host):
    write_node(host)
    host.add("c1", conf=agent_conf(host))
    write_node(host, podCIDRs=["10.99.0.0/24"])
    assert host.add("c2", conf=agent_conf(host))["ips"][0]["address"] == "10.99.0.2/24"
    os.unlink(host.folder + "/node.json")
    for container in ("c1", "c2"):
        host.delete(container, conf=agent_conf(host))
    host.assert_nothing_left()


# ---------------------------------------------------------------- CHECK

def checked(host, pod, result, container="c1", **change):
    return host.call("CHECK", container, pod, conf=host.conf(prevResult=result, **change))


BREAKAGES = {
    "address": ("ip addr del 10.244.1.2/24 dev eth0", None),
    "IPv6 address": ("ip addr del fd00:10:244:1::2/64 dev eth0", None),
    "route": ("ip route del default", None),
    "IPv6 route": ("ip -6 route del default", None),
    "MAC address": ("ip link set eth0 address 02:00:00:00:00:01", None),
    "MTU": ("ip link set eth0 mtu 1300", None),
    "link down": ("ip link set eth0 down", None),
    "link gone": ("ip link del eth0", None),
    "port": (None, "ip link set VETH nomaster"),
    "port down": (None, "ip link set VETH down"),
    "bridge down": (None, "ip link set roost0 down"),
    "gateway": (None, "ip addr del 10.244.1.1/24 dev roost0"),
    "alias": (None, "ip link set VETH alias other"),
}


@pytest.mark.parametrize("case", BREAKAGES)
def test_check_sees_what_is_broken(host, case):
    inside, outside = BREAKAGES[case]
    pod = host.pod()
    result = host.add("c1", pod)
    reply = checked(host, pod, result)
    assert (reply.code, reply.out) == (0, ""), reply
    if inside:
        pod.run(*inside.split())
    else:
        host.namespace.run(*outside.replace("VETH", host.veths()[0]).split())
    assert checked(host, pod, result).error == DIFFERS


def test_check_tolerates_what_later_plugins_add(host):
    pod = host.pod()
    result = host.add("c1", pod)
    pod.run("ip", "addr", "add", "192.0.2.1/24", "dev", "eth0")
    pod.run("ip", "route", "add", "198.51.100.0/24", "via", "10.244.1.1")
    result["interfaces"].append({"name": "tap0", "sandbox": pod.path})
    assert checked(host, pod, result).code == 0


def test_check_compares_the_lease_with_the_result(host):
    pod = host.pod()
    result = host.add("c1", pod)
    assert checked(host, pod, result, container="c2").error == DIFFERS
    result["ips"] = result["ips"][:1]
    assert checked(host, pod, result).error == DIFFERS
    assert host.call("CHECK", "c1", pod).error == CONFIG


# ---------------------------------------------------------------- DEL

@contextlib.contextmanager
def some_path(kind, host):
    if kind == "empty":
        yield ""
    elif kind == "missing":
        yield "/run/netns/roost-was-never-there"
    elif kind == "fifo":
        os.mkfifo(host.folder + "/fifo")
        yield host.folder + "/fifo"
    elif kind == "regular file":
        open(host.folder + "/file", "w").close()
        yield host.folder + "/file"
    elif kind == "folder":
        yield host.folder
    elif kind == "another container's":
        other = Namespace()
        yield other.path
        other.close()


@pytest.mark.parametrize("kind", ["empty", "missing", "fifo", "regular file", "folder",
                                  "another container's"])
def test_del_needs_no_namespace(host, kind):
    host.add("c1")
    with some_path(kind, host) as path:
        host.delete("c1", path)
    host.assert_nothing_left()


def test_del_is_fine_with_nothing_to_delete(host):
    for _ in range(2):
        host.delete("never-there")
    assert not os.path.exists(host.data_dir)
    host.add("c1")
    for _ in range(2):
        host.delete("c1")
    host.assert_nothing_left()


def test_del_after_the_namespace_is_gone(host):
    pod = host.pod()
    host.add("c1", pod)
    path = pod.path
    pod.close()
    host.delete("c1", path)
    host.assert_nothing_left()


def test_del_with_a_configuration_that_add_would_refuse(host):
    host.add("c1")
    host.delete("c1", conf={"cniVersion": "1.1.0", "name": "pods", "mode": "routed", "vlan": 7,
                            "MTU": "x", "prevResult": None,
                            "ipam": {"type": 7, "dataDir": host.data_dir, "ranges": 5}})
    host.assert_nothing_left()


def test_del_never_touches_another_container(host):
    pods = [host.pod(), host.pod()]
    host.add("c1", pods[0])
    host.add("c2", pods[1])
    for other in (dict(container="c3", netns=pods[1]), dict(container="c2", ifname="eth1"),
                  dict(container="c2", conf=host.conf(name="other"))):
        host.delete(**other)
    assert set(host.held()) == {"c1", "c2"} and len(host.veths()) == 2
    host.delete("c1", pods[1])
    assert set(host.held()) == {"c2"}
    assert "10.244.1.3/24" in pods[1].addresses("eth0")


def test_a_late_del_leaves_the_new_owner_of_the_address_alone(host):
    conf = host.conf(subnets=["10.244.1.0/30"])
    host.add("old", conf=conf)
    host.delete("old", conf=conf)
    pod = host.pod()
    host.add("new", pod, conf=conf)
    host.delete("old", pod, conf=conf)
    assert host.held() == {"new": ("10.244.1.2",)}
    assert "10.244.1.2/30" in pod.addresses("eth0")


def test_a_link_of_our_name_that_says_it_is_anothers_stays(host):
    host.add("c1")
    host.namespace.run("ip", "link", "set", host.veths()[0], "alias", "roost pods c9 eth0 10.0.0.1")
    host.delete("c1")
    assert len(host.veths()) == 1


READ_ONLY = ["unshare", "-m", "sh", "-c",
             'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"']


def test_del_that_cannot_give_the_address_back_says_so(host):
    host.add("c1")
    reply = host.call("DEL", "c1", prefix=[*READ_ONLY, host.data_dir])
    assert reply.error == IO
    assert "Read-only" in reply.json["msg"]
    assert set(host.held()) == {"c1"}
    host.delete("c1")
    host.assert_nothing_left()


# ---------------------------------------------------------------- the store

def test_an_add_on_a_full_disk_leaves_nothing(host):
    tiny = ["unshare", "-m", "sh", "-c",
            'mkdir -p "$0" && mount -t tmpfs -o size=4k tmpfs "$0" && mkdir "$0/pods" && '
            'head -c 4096 /dev/zero >"$0/filler"; "$@"; s=$?; find "$0" -size +0 -name leases >&2;'
            ' exit $s']
    reply = host.call("ADD", "c1", host.pod(), prefix=[*tiny, host.data_dir])
    assert reply.error == IO
    assert "/leases" not in reply.err
    assert host.veths() == []


def assert_modes(host):
    for path, mode in (("", 0o755), ("/pods", 0o711), ("/pods/leases", 0o644)):
        assert stat.S_IMODE(os.stat(host.data_dir + path).st_mode) == mode


def test_anyone_may_read_the_leases_and_no_one_else_lock_them(host):
    host.add("c1")
    assert_modes(host)


def test_modes_do_not_depend_on_the_runtimes_umask(host):
    before = os.umask(0o077)
    try:
        host.add("c1")
    finally:
        os.umask(before)
    assert_modes(host)


def test_a_used_up_range_says_how_many_and_recovers(host):
    conf = host.conf(subnets=["10.244.1.0/29"])
    for i in range(5):
        host.add(f"c{i}", conf=conf)
    reply = host.call("ADD", "c5", host.pod(), conf=conf)
    assert reply.error == TRY_LATER
    assert reply.json["msg"] == "10.244.1.0/29: all 5 addresses are in use"
    host.delete("c2", conf=conf)
    assert host.add("c5", conf=conf)["ips"][0]["address"] == "10.244.1.4/29"


def test_networks_do_not_share_leases(host):
    assert host.add("c1")["ips"][0]["address"] == "10.244.1.2/24"
    other = host.conf(name="other", bridge="br2", subnets=["10.245.1.0/24"])
    assert host.add("c1", conf=other)["ips"][0]["address"] == "10.245.1.2/24"
    host.delete("c1", conf=other)
    assert set(host.held()) == {"c1"} and host.held("other") == {}


@pytest.fixture(scope="module", autouse=True)
def patient_add():
    """An ADD that meets a held lock waits as long as the plugin does; the other tests
    run meanwhile, and the last one looks how it ended."""
    with Host() as one:
        one.add("first")
        lock = os.open(one.data_dir + "/pods", os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = one.start("ADD", "c1", one.pod())
        yield one, process, lock
        if process.poll() is None:
            process.kill()
            process.communicate()
        os.close(lock)


# ---------------------------------------------------------------- GC and STATUS

def test_gc_removes_what_is_not_listed(host):
    for container in ("c1", "c2", "c3"):
        host.add(container)
    host.add("c1", conf=host.conf(name="other", bridge="br2", subnets=["10.9.0.0/24"]))
    conf = host.conf(**{"cni.dev/valid-attachments": [{"containerID": "c2", "ifname": "eth0"}]})
    reply = host.call("GC", conf=conf)
    assert (reply.code, reply.out) == (0, ""), reply
    assert set(host.held()) == {"c2"} and len(host.veths()) == 2
    assert set(host.held("other")) == {"c1"}


def test_gc_without_a_list_is_refused_and_with_an_empty_one_removes_all(host):
    host.add("c1")
    assert host.call("GC").error == CONFIG
    assert set(host.held()) == {"c1"}
    host.call("GC", conf=host.conf(**{"cni.dev/valid-attachments": None}))
    host.assert_nothing_left()


def test_status_says_whether_add_would_work(host):
    conf = host.conf(subnets=["10.244.1.0/30"])
    reply = host.call("STATUS", conf=conf)
    assert (reply.code, reply.out) == (0, ""), reply
    assert not os.path.exists(host.data_dir)
    host.add("c1", conf=conf)
    reply = host.call("STATUS", conf=conf)
    assert reply.error == UNAVAILABLE
    assert "all 1 addresses are in use" in reply.json["msg"]
    host.delete("c1", conf=conf)
    assert host.call("STATUS", conf=conf).code == 0


@pytest.mark.parametrize("command", ["GC", "STATUS"])
def test_commands_of_1_1_0_need_1_1_0(host, command):
    assert host.call(command, conf=host.conf("1.0.0")).error == VERSION


# ---------------------------------------------------------------- many at once

def test_three_hundred_pods_fifty_at_a_time(host):
    conf = host.conf(subnets=["10.244.0.0/22", "fd00:10:244:1::/64"])
    pods = [Namespace() for _ in range(50)]
    given = []
    try:
        for first in range(0, 300, 50):
            names = [f"pod{first + i}" for i in range(50)]
            running = [host.start("ADD", name, pod, conf=conf) for name, pod in zip(names, pods)]
            replies = [host.finish(process) for process in running]
            assert [r for r in replies if r.code] == []
            addresses = [ip["address"] for r in replies for ip in r.json["ips"]]
            assert len(set(addresses)) == 100
            assert len(host.held()) == len(host.veths()) == 50
            assert {a.split("/")[0] for a in addresses} == \
                {a for pair in host.held().values() for a in pair}
            given += addresses
            running = [host.start("DEL", name, pod, conf=conf) for name, pod in zip(names, pods)]
            assert [r for r in map(host.finish, running) if r.code or r.out] == []
            host.assert_nothing_left()
    finally:
        for pod in pods:
            pod.close()
    # Never used comes before used: 600 addresses for 300 pods, each once.
    assert len(set(given)) == 600


def test_first_pods_that_race_for_the_bridge_all_get_it(host):
    pods = [host.pod() for _ in range(10)]
    running = [host.start("ADD", f"c{i}", pod) for i, pod in enumerate(pods)]
    assert [r for r in map(host.finish, running) if r.code] == []
    assert len(host.veths()) == 10
    for i, pod in enumerate(pods):
        assert one_packet_arrives(host.namespace, "10.244.1.1", pod, host.held()[f"c{i}"][0])


# ---------------------------------------------------------------- the last one

def test_a_lock_that_is_held_for_ever_is_a_reason_to_try_again(patient_add):
    one, process, lock = patient_add
    reply = one.finish(process)
    assert reply.error == TRY_LATER
    assert "lock" in reply.json["msg"]
    fcntl.flock(lock, fcntl.LOCK_UN)
    assert set(one.held()) == {"first"}
