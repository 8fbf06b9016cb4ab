# SPDX-License-Identifier: GPL-2.0-or-later
"""What a configuration and a runtime may ask for beyond an address: the capabilities
of runtimeConfig, name servers, routes, large input; and CHECK after all of it changed."""

import json
import os
import subprocess

import pytest

from cniharness import one_packet_arrives

IO, DECODE, CONFIG, KERNEL, DIFFERS = 5, 6, 7, 101, 102
V4, V6 = "10.244.1.0/24", "fd00:10:244:1::/64"


def check(host, pod, result, container="c1", **change):
    return host.call("CHECK", container, pod, conf=host.conf(prevResult=result, **change))


def assert_good(reply):
    assert (reply.code, reply.out) == (0, ""), reply


# ---------------------------------------------------------------- large input

def annotated(host, size, **more):
    """As containerd does with a pod's annotations; kubernetes allows 256 KiB of them."""
    return host.conf(capabilities={"io.kubernetes.cri.pod-annotations": True}, runtimeConfig={
        "io.kubernetes.cri.pod-annotations": {
            f"example.org/{i}": "\u00e4\n\"x\\" * (size // 80) for i in range(8)}}, **more)


@pytest.mark.parametrize("size", [256 << 10, 2 << 20])
def test_large_input_is_taken_by_every_command(either, size):
    conf, pod = annotated(either, size), either.pod()
    assert size < len(json.dumps(conf)) < 8 << 20
    result = either.add("c1", pod, conf=conf)
    assert_good(either.call("CHECK", "c1", pod, conf={**conf, "prevResult": result}))
    assert_good(either.call("STATUS", conf=conf))
    valid = [{"containerID": "c1", "ifname": "eth0"}]
    assert_good(either.call("GC", conf={**conf, "cni.dev/valid-attachments": valid}))
    either.delete("c1", pod, conf=conf)
    either.assert_nothing_left()


@pytest.mark.parametrize("piece", [1, 1000, 65536])
def test_input_may_come_in_small_pieces(host, piece):
    conf = host.conf() if piece == 1 else annotated(host, 256 << 10)
    text, pod = json.dumps(conf).encode(), host.pod()
    with host.namespace.entered():
        process = subprocess.Popen([host.plugin], stdin=subprocess.PIPE, bufsize=0,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={
            "CNI_COMMAND": "ADD", "CNI_CONTAINERID": "c1", "CNI_NETNS": pod.path,
            "CNI_IFNAME": "eth0", "CNI_PATH": "/nowhere"})
    for at in range(0, len(text), piece):
        process.stdin.write(text[at:at + piece])
    process.stdin.close()
    process.stdin = None
    reply = host.finish(process)
    assert reply.code == 0, reply
    assert reply.json["ips"][0]["address"] == "10.244.1.2/24"


def test_stdin_that_cannot_be_read_is_an_error(host):
    folder = os.open("/", os.O_RDONLY)
    try:
        process = subprocess.Popen([host.plugin], stdin=folder, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env={
            "CNI_COMMAND": "ADD", "CNI_CONTAINERID": "c1", "CNI_NETNS": "/x",
            "CNI_IFNAME": "eth0"})
        reply = host.finish(process)
    finally:
        os.close(folder)
    assert reply.error == IO and "stdin" in reply.json["msg"]


def test_gc_with_ten_thousand_valid_attachments(host):
    host.add("c1")
    host.add("c2")
    valid = [{"containerID": f"{i:064x}", "ifname": "eth0"} for i in range(10000)]
    valid.append({"containerID": "c2", "ifname": "eth0"})
    assert_good(host.call("GC", conf=host.conf(**{"cni.dev/valid-attachments": valid})))
    assert set(host.held()) == {"c2"}


# ---------------------------------------------------------------- ipRanges

def test_ipRanges_of_the_runtime_come_first_and_take_nothing_away(either):
    result = either.add("c1", conf=either.conf(subnets=[V4, V6], runtimeConfig={
        "ipRanges": [[{"subnet": "10.7.0.0/24", "rangeStart": "10.7.0.9"}]]}))
    assert [ip["address"].split("/")[0] for ip in result["ips"]] == \
        ["10.7.0.9", "10.244.1.2", "fd00:10:244:1::2"]
    assert either.held() == {"c1": ("10.7.0.9", "10.244.1.2", "fd00:10:244:1::2")}
    either.delete("c1")
    either.assert_nothing_left()


def test_ipRanges_of_the_runtime_are_enough(either):
    pod = either.pod()
    conf = either.conf(subnets=(), runtimeConfig={"ipRanges": [
        [{"subnet": "10.7.0.0/24", "gateway": "10.7.0.254"}, {"subnet": "10.8.0.0/24"}],
        [{"subnet": "fd07::/64"}]]})
    result = either.add("c1", pod, conf=conf)
    assert [ip["address"].split("/")[0] for ip in result["ips"]] == ["10.7.0.1", "fd07::2"]
    assert_good(either.call("CHECK", "c1", pod, conf={**conf, "prevResult": result}))
    if either.mode == "bridge":
        assert one_packet_arrives(pod, "10.7.0.1", either.namespace, "10.7.0.254")


@pytest.mark.parametrize("ranges, code", [
    ([[{"subnet": "10.244.1.128/25"}]], CONFIG),           # overlaps the configuration's
    ([[{"subnet": "10.7.0.0/24"}, {"subnet": "fd07::/64"}]], CONFIG),
    ([[{"subnet": "10.7.0.0/33"}]], CONFIG),
    ([[{"subnet": "::ffff:10.7.0.0/120"}]], CONFIG),
    ([[]], CONFIG),
    ([[{"subnet": f"10.{i}.0.0/24"}] for i in range(5)], CONFIG),
    ([{"subnet": "10.7.0.0/24"}], DECODE),
    ("10.7.0.0/24", DECODE),
])
def test_ipRanges_without_sense_are_refused(host, ranges, code):
    reply = host.call("ADD", "c1", host.pod(), conf=host.conf(runtimeConfig={"ipRanges": ranges}))
    assert reply.error == code
    assert list(host.namespace.links()) == ["lo"]


def test_before_0_3_0_there_is_one_address_per_family(host):
    two = ["10.1.0.0/24", "10.2.0.0/24"]
    for version in ("0.1.0", "0.2.0"):
        reply = host.call("ADD", "c1", host.pod(), conf=host.conf(version, subnets=two))
        assert reply.error == CONFIG and "0.3.0" in reply.json["msg"]
        host.add("c1", conf=host.conf(version))
        host.delete("c1", conf=host.conf(version, subnets=two))
    assert len(host.add("c1", conf=host.conf("0.3.0", subnets=two))["ips"]) == 2


# ---------------------------------------------------------------- name servers

RESOLV_CONF = """\
; a comment
# another: nameserver 192.0.2.1
nameserver 192.0.2.2
  nameserver\t192.0.2.3 ignored
domain example.com
search a.example  b.example
search c.example
options ndots:3 rotate
sortlist 192.0.2.0
nameserver
"""
FROM_FILE = {"nameservers": ["192.0.2.2", "192.0.2.3"], "domain": "example.com",
             "search": ["a.example", "b.example", "c.example"], "options": ["ndots:3", "rotate"]}
DNS = {"nameservers": ["10.0.0.53"], "domain": "pods.example", "search": ["x.example"],
       "options": ["ndots:5"]}


def resolv_conf(host, text=RESOLV_CONF):
    path = os.path.join(host.folder, "resolv.conf")
    with open(path, "w") as file:
        file.write(text)
    return {"resolvConf": path}


def dns_of(host, **conf):
    container = f"c{len(host.held())}"
    return host.add(container, conf=host.conf(**conf)).get("dns")


def test_resolvConf_gives_the_name_servers_unless_dns_does(host):
    ipam = resolv_conf(host)
    assert dns_of(host, ipam=ipam) == FROM_FILE
    assert dns_of(host, ipam=ipam, dns={}) == FROM_FILE
    assert dns_of(host, ipam=ipam, dns=DNS) == DNS
    assert dns_of(host, ipam=ipam, dns={"domain": "x"}) == {"domain": "x"}
    assert dns_of(host, ipam=ipam, version="0.2.0") == FROM_FILE


def test_any_key_of_dns_replaces_all_of_resolvConf_also_an_empty_list(host):
    ipam = resolv_conf(host)
    assert dns_of(host, ipam=ipam, dns={"nameservers": []}) is None
    assert dns_of(host, ipam=ipam, dns={"search": [], "options": ["x"]}) == {"options": ["x"]}


@pytest.mark.parametrize("what", ["missing", "folder", "too large"])
def test_a_resolvConf_that_cannot_be_read_is_an_error(host, what):
    path = os.path.join(host.folder, "resolv.conf")
    if what == "folder":
        os.mkdir(path)
    elif what == "too large":
        resolv_conf(host, "#" * (1 << 20))
    conf = host.conf(ipam={"resolvConf": path})
    reply = host.call("ADD", "c1", host.pod(), conf=conf)
    assert reply.error == IO and "resolvConf" in reply.json["msg"]
    assert not os.path.exists(host.data_dir)
    host.delete("c1", conf=conf)


def test_a_resolvConf_of_any_bytes_gives_what_can_be_told(host):
    path = resolv_conf(host)["resolvConf"]
    with open(path, "wb") as file:
        file.write(b"nameserver \xff\xfe\nnameserver 192.0.2.2\nsearch \0x\n" + b"a" * 5000)
    assert dns_of(host, ipam={"resolvConf": path}) == {"nameservers": ["192.0.2.2"]}


def test_dns_of_the_runtime_goes_before_list_by_list(host):
    wish = {"servers": ["192.0.2.9"], "searches": [], "options": None}
    assert dns_of(host, runtimeConfig={"dns": wish}) == {"nameservers": ["192.0.2.9"]}
    assert dns_of(host, dns=DNS, runtimeConfig={"dns": wish}) == \
        {**DNS, "nameservers": ["192.0.2.9"]}
    assert dns_of(host, ipam=resolv_conf(host), runtimeConfig={
        "dns": {"searches": ["s.example"], "options": ["edns0"]}}) == \
        {**FROM_FILE, "search": ["s.example"], "options": ["edns0"]}
    assert dns_of(host, dns=DNS, runtimeConfig={"dns": {}}) == DNS


@pytest.mark.parametrize("conf", [
    dict(dns={"nameservers": "10.0.0.53"}), dict(dns={"search": [7]}), dict(dns={"domain": []}),
    dict(runtimeConfig={"dns": []}), dict(runtimeConfig={"dns": {"servers": [None]}})])
def test_dns_of_the_wrong_type_is_refused(host, conf):
    assert host.call("ADD", "c1", host.pod(), conf=host.conf(**conf)).error == DECODE


def test_as_ipam_plugin_only_resolvConf_is_told(host):
    ipam = resolv_conf(host)
    for runtime in ({}, {"runtimeConfig": {"dns": {"servers": ["192.0.2.9"]}}}):
        reply = host.call("ADD", f"c{len(runtime)}",
                          conf=host.conf(type="bridge", ipam=ipam, dns=DNS, **runtime), netns="/x")
        assert reply.json["dns"] == FROM_FILE


# ---------------------------------------------------------------- routes

def routes_of(pod, family="-4"):
    """{(dst, table, metric): the route's data}, but for those of the kernel itself."""
    return {(r["dst"], r.get("table", "254"), r.get("metric", 0)): r
            for r in pod.ip(family, "-N", "route", "show", "table", "all")
            if r.get("protocol") == "4"}


def test_the_kernel_holds_all_that_a_route_says_and_check_sees_it(host):
    routes = [{"dst": "0.0.0.0/0", "mtu": 1300, "advmss": 1260},
              {"dst": "10.1.0.0/16", "gw": "10.244.1.9", "priority": 70},
              {"dst": "10.1.0.0/16", "gw": "10.244.1.9", "priority": 71, "table": 900},
              {"dst": "10.2.0.0/16", "scope": 253},
              {"dst": "::/0", "mtu": 1400},
              {"dst": "fd02::/32", "gw": "fd00:10:244:1::9", "priority": 70, "table": 900}]
    pod = host.pod()
    result = host.add("c1", pod, conf=host.conf(ipam={"routes": routes}))
    said = [{"gw": "10.244.1.1", **routes[0]}, *routes[1:4], {"gw": "fd00:10:244:1::1", **routes[4]},
            routes[5]]
    assert result["routes"] == said
    ipv4, ipv6 = routes_of(pod), routes_of(pod, "-6")
    assert set(ipv4) == {("default", "254", 0), ("10.1.0.0/16", "254", 70),
                         ("10.1.0.0/16", "900", 71), ("10.2.0.0/16", "254", 0)}
    assert set(ipv6) == {("default", "254", 1024), ("fd02::/32", "900", 70)}
    assert ipv4["default", "254", 0]["metrics"] == [{"mtu": 1300, "advmss": 1260}]
    assert ipv4["10.2.0.0/16", "254", 0]["scope"] == "253"
    assert ipv6["default", "254", 1024]["metrics"] == [{"mtu": 1400}]
    assert_good(check(host, pod, result))


CHANGED = {
    "mtu": "ip route replace default via 10.244.1.1 proto 4 mtu 1299 advmss 1260",
    "advmss": "ip route replace default via 10.244.1.1 proto 4 mtu 1300",
    "metrics gone": "ip route replace default via 10.244.1.1 proto 4",
    "priority": "ip route del 10.1.0.0/16 metric 70;"
                "ip route add 10.1.0.0/16 via 10.244.1.9 metric 69",
    "table": "ip route del fd02::/32 table 900;"
             "ip route add fd02::/32 via fd00:10:244:1::9 metric 70 table 901",
    "scope": "ip route del 10.2.0.0/16; ip route add 10.2.0.0/16 dev eth0 scope 200",
    "gateway": "ip route replace 10.1.0.0/16 via 10.244.1.8 metric 70",
    "one way of two": "ip route replace 10.3.0.0/16 via 10.244.1.7",
    "one IPv6 way of two": "ip route del fd03::/32 via fd00:10:244:1::8",
}


@pytest.mark.parametrize("case", CHANGED)
def test_check_sees_a_route_that_was_changed(host, case):
    pod = host.pod()
    result = host.add("c1", pod, conf=host.conf(ipam={"routes": [
        {"dst": "0.0.0.0/0", "mtu": 1300, "advmss": 1260},
        {"dst": "10.1.0.0/16", "gw": "10.244.1.9", "priority": 70},
        {"dst": "10.2.0.0/16", "scope": 253},
        {"dst": "10.3.0.0/16", "gw": "10.244.1.7"}, {"dst": "10.3.0.0/16", "gw": "10.244.1.8"},
        {"dst": "fd02::/32", "gw": "fd00:10:244:1::9", "priority": 70, "table": 900},
        {"dst": "fd03::/32", "gw": "fd00:10:244:1::7"},
        {"dst": "fd03::/32", "gw": "fd00:10:244:1::8"}]}))
    assert_good(check(host, pod, result))
    for line in CHANGED[case].split(";"):
        pod.run(*line.split())
    reply = check(host, pod, result)
    assert reply.error == DIFFERS and "route" in reply.json["msg"]


def ways(route):
    return sorted(way["gateway"] for way in route["nexthops"])


def test_routes_to_one_place_are_ways_of_one_route(host):
    routes = [{"dst": "10.3.0.0/16", "gw": "10.244.1.7", "mtu": 1280},
              {"dst": "fd03::/32", "gw": "fd00:10:244:1::7"},
              {"dst": "10.3.0.0/16", "gw": "10.244.1.8", "mtu": 1280, "table": 254},
              {"dst": "fd03::/32", "gw": "fd00:10:244:1::8", "priority": 1024},
              {"dst": "10.3.0.0/16", "gw": "10.244.1.9", "priority": 5}]
    pod = host.pod()
    result = host.add("c1", pod, conf=host.conf(ipam={"routes": routes}))
    assert result["routes"] == routes
    ipv4 = routes_of(pod)
    assert ways(ipv4["10.3.0.0/16", "254", 0]) == ["10.244.1.7", "10.244.1.8"]
    assert ipv4["10.3.0.0/16", "254", 5]["gateway"] == "10.244.1.9"
    ipv6 = pod.run("ip", "-6", "route", "show", "fd03::/32").stdout
    assert ipv6.count(" via fd00:10:244:1::") == 2 and "::7 " in ipv6 and "::8 " in ipv6
    assert_good(check(host, pod, result))


@pytest.mark.parametrize("dst, gateway", [("10.3.0.0/16", "10.244.1.%d"), ("fd03::/32", "fd00:10:244:1::%d")])
def test_a_route_may_have_as_many_ways_as_there_may_be_routes(host, dst, gateway):
    routes = [{"dst": dst, "gw": gateway % i} for i in range(100, 164)]
    pod = host.pod()
    result = host.add("c1", pod, conf=host.conf(ipam={"routes": routes}))
    assert result["routes"] == routes
    shown = pod.run("ip", "-6" if ":" in dst else "-4", "route", "show", dst).stdout
    assert all(f" via {route['gw']} " in shown for route in routes)
    assert_good(check(host, pod, result))


def test_routes_to_one_place_that_are_no_ways_of_one_are_refused(host):
    first = {"dst": "10.3.0.0/16", "gw": "10.244.1.7"}
    for second in ({"mtu": 1300}, {"advmss": 1300}, {"scope": 253, "gw": None}, {"scope": 10}):
        conf = host.conf(ipam={"routes": [first, {**first, "gw": "10.244.1.8", **second}]})
        reply = host.call("ADD", "c1", host.pod(), conf=conf)
        assert reply.error == CONFIG and "10.3.0.0/16" in reply.json["msg"]
        host.assert_nothing_left()


def test_the_same_route_again_is_left_out(either):
    gateways = ["10.244.1.1", "10.244.1.1"] if either.mode == "bridge" else \
        ["10.244.1.1", "169.254.1.1"]
    pod = either.pod()
    result = either.add("c1", pod, conf=either.conf(ipam={"routes": [
        {"dst": "0.0.0.0/0", "gw": gateway} for gateway in gateways]}))
    assert result["routes"] == [{"dst": "0.0.0.0/0", "gw": gateways[1]}]
    assert_good(check(either, pod, result))


def test_routed_a_route_may_say_more_too(host):
    host.mode = "routed"
    routes = [{"dst": "0.0.0.0/0", "mtu": 1300, "priority": 7},
              {"dst": "::/0", "advmss": 1200, "table": 900}]
    pod = host.pod()
    result = host.add("c1", pod, conf=host.conf(ipam={"routes": routes}))
    assert routes_of(pod)["default", "254", 7]["metrics"] == [{"mtu": 1300}]
    assert routes_of(pod, "-6")["default", "900", 1024]["metrics"] == [{"advmss": 1200}]
    assert_good(check(host, pod, result))


def test_a_route_that_the_kernel_refuses_fails_the_add_and_leaves_nothing(host):
    for route in ({"gw": "192.0.2.1"}, {"gw": "10.244.1.9", "scope": 254}):
        conf = host.conf(ipam={"routes": [{"dst": "10.3.0.0/16", **route}]})
        reply = host.call("ADD", "c1", host.pod(), conf=conf)
        assert reply.error == KERNEL and "10.3.0.0/16" in reply.json["msg"]
        host.assert_nothing_left()


def test_the_second_interface_does_not_claim_the_default_route_of_the_first(host):
    pod, other = host.pod(), dict(name="other", bridge="br2", subnets=["10.9.0.0/24"])
    first = host.add("c1", pod)
    second = host.add("c1", pod, ifname="net1", conf=host.conf(**other))
    assert second["routes"] == []
    assert [r["gw"] for r in first["routes"]] == ["10.244.1.1", "fd00:10:244:1::1"]
    assert_good(check(host, pod, first))
    assert_good(host.call("CHECK", "c1", pod, ifname="net1",
                          conf=host.conf(prevResult=second, **other)))


def test_routes_without_gw_go_by_the_node(either):
    """ptp's own test: two families, and routes of one."""
    pod = either.pod()
    result = either.add("c1", pod, conf=either.conf(ipam={"routes": [
        {"dst": "0.0.0.0/0"}, {"dst": "192.168.0.0/16"}, {"dst": "1.2.3.4/32"}]}))
    node = result["ips"][0]["gateway"]
    assert result["routes"] == [{"dst": dst, "gw": node}
                                for dst in ("0.0.0.0/0", "192.168.0.0/16", "1.2.3.4/32")]
    assert set(routes_of(pod)) == {(dst, "254", 0)
                                   for dst in ("default", "192.168.0.0/16", "1.2.3.4")}
    assert routes_of(pod, "-6") == {}
    assert_good(check(either, pod, result))


def test_addresses_of_both_families_outlive_that_the_link_is_down(host):
    """The plugin `tuning` takes it down and up again."""
    pod = host.pod()
    host.add("c1", pod)
    before = {a for a in pod.addresses("eth0") if not a.startswith("fe80:")}
    pod.run("ip", "link", "set", "eth0", "down")
    pod.run("ip", "link", "set", "eth0", "up")
    assert before <= set(pod.addresses("eth0"))
    assert not any(a.get("tentative") for a in pod.addresses("eth0").values())


# ---------------------------------------------------------------- asked for by name

def test_a_mac_may_come_from_args_alone(either):
    pod = either.pod()
    result = either.add("c1", pod, conf=either.conf(args={"cni": {"mac": "c2:11:22:33:44:66"}}))
    assert pod.links()["eth0"]["address"] == result["interfaces"][-1]["mac"] == "c2:11:22:33:44:66"
    assert_good(check(either, pod, result))


def test_addresses_may_be_asked_for_in_several_ranges_of_one_family(host):
    conf = host.conf(subnets=["10.1.2.0/24", "10.1.3.0/24"],
                     args={"cni": {"ips": ["10.1.3.77", "10.1.2.88"]}})
    assert [ip["address"] for ip in host.add("c1", conf=conf)["ips"]] == \
        ["10.1.2.88/24", "10.1.3.77/24"]
    reply = host.call("ADD", "c2", host.pod(), conf=host.conf(
        subnets=["10.1.2.0/24", "10.1.3.0/24"], args={"cni": {"ips": ["10.1.2.72", "10.1.2.73"]}}))
    assert reply.code == 1, reply
    assert set(host.held()) == {"c1"}


def test_the_first_add_of_a_network_says_nothing_on_stderr(either):
    reply = either.call("ADD", "c1", either.pod())
    assert (reply.code, reply.err) == (0, ""), reply


@pytest.mark.parametrize("interface, good", [(0, False), (2, True), (3, False), (-1, False),
                                             (None, True), (1 << 40, False)])
def test_an_address_of_prevResult_is_of_an_interface_that_is_there(host, interface, good):
    pod = host.pod()
    result = host.add("c1", pod)
    result["ips"][0]["interface"] = interface
    reply = check(host, pod, result)
    if good:
        assert_good(reply)
    else:
        assert reply.error in (CONFIG, DIFFERS)


# ---------------------------------------------------------------- addresses as text

MAPPED = "::ffff:10.244.1.7"


@pytest.mark.parametrize("conf", [
    dict(ipam={"routes": [{"dst": "10.1.0.0/16", "gw": MAPPED}]}),
    dict(ipam={"routes": [{"dst": "::ffff:10.1.0.0/112"}]}),
    dict(ipam={"ranges": [[{"subnet": "::ffff:10.244.1.0/120"}]]}),
    dict(ipam={"ranges": [[{"subnet": V4, "gateway": MAPPED}]]}),
    dict(ipam={"ranges": [[{"subnet": V4, "rangeStart": "::ffff:af4:107"}]]}),
    dict(runtimeConfig={"ips": [MAPPED]}), dict(runtimeConfig={"ips": [MAPPED + "/120"]}),
    dict(args={"cni": {"ips": [MAPPED]}})])
def test_ipv4_dressed_as_ipv6_is_refused(host, conf):
    reply = host.call("ADD", "c1", host.pod(), conf=host.conf(**conf))
    assert reply.error == CONFIG
    assert host.call("ADD", "c1", host.pod(), args="IP=" + MAPPED).error == CONFIG


def test_ipv4_dressed_as_ipv6_is_refused_in_prevResult_but_not_by_del(host):
    pod = host.pod()
    result = host.add("c1", pod)
    result["ips"][0]["gateway"] = MAPPED
    assert check(host, pod, result).error == CONFIG
    host.delete("c1", pod, conf=host.conf(prevResult=result))
    host.assert_nothing_left()


# ---------------------------------------------------------------- CHECK after a change

def write_node(host, **more):
    with open(host.folder + "/node.json", "w") as file:
        json.dump({"version": 1, "node": "node1", "mode": host.mode, "bridge": "roost0",
                   "mtu": 1450, "podCIDRs": [V4, V6], "binDir": "/opt/cni/bin", **more}, file)


def agent_conf(host, **more):
    return {"cniVersion": "1.1.0", "name": "pods", "type": "roost",
            "nodeFile": host.folder + "/node.json",
            "ipam": {"type": "roost", "dataDir": host.data_dir}, **more}


NODE_CHANGES = {
    "other podCIDRs": dict(podCIDRs=["10.99.0.0/24"]),
    "no podCIDR": dict(podCIDRs=[]),
    "another mtu": dict(mtu=1300),
    "another bridge": dict(bridge="br7"),
    "the other mode": None,
    "gone": None,
}


@pytest.mark.parametrize("case", NODE_CHANGES)
def test_check_compares_with_what_add_made_whatever_the_node_has_become(either, case):
    pod = either.pod()
    write_node(either)
    result = either.add("c1", pod, conf=agent_conf(either))
    if case == "gone":
        os.unlink(either.folder + "/node.json")
    elif case == "the other mode":
        write_node(either, mode="routed" if either.mode == "bridge" else "bridge")
    else:
        write_node(either, **NODE_CHANGES[case])
    conf = agent_conf(either, prevResult=result)
    assert_good(either.call("CHECK", "c1", pod, conf=conf))
    pod.run("ip", "route", "del", "default")
    assert either.call("CHECK", "c1", pod, conf=conf).error == DIFFERS


def test_check_after_the_configurations_ranges_changed(either):
    pod = either.pod()
    result = either.add("c1", pod)
    assert_good(check(either, pod, result, subnets=["10.99.0.0/24"]))
    assert_good(check(either, pod, result, subnets=[V4]))
    assert_good(check(either, pod, result, ipam={"routes": [{"dst": "10.0.0.0/8"}]}))


def test_check_tolerates_addresses_that_later_plugins_added_to_the_result(host):
    pod = host.pod()
    result = host.add("c1", pod)
    for i in range(5):
        pod.run("ip", "addr", "add", f"192.0.2.{i}/32", "dev", "eth0")
        result["ips"].append({"address": f"192.0.2.{i}/32", "interface": 2})
    assert_good(check(host, pod, result))
    pod.run("ip", "addr", "del", "192.0.2.3/32", "dev", "eth0")
    assert check(host, pod, result).error == DIFFERS
