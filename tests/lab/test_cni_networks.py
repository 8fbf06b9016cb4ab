# SPDX-License-Identifier: GPL-2.0-or-later
"""Several networks that all take their addresses from node.json: no address twice."""

import json
import os
import re
import shutil
import signal
import stat

import pytest

from cniharness import Host, is_sanitized
from leasefile import make_header, make_slot

IO, TRY_LATER, UNAVAILABLE = 5, 11, 50
STRACE = shutil.which("strace")
POD_CIDRS = ("10.244.1.0/29", "fd00:10:244:1::/64")     # five pods


@pytest.fixture(params=["bridge", "routed"])
def host(request):
    with Host() as one:
        one.mode = request.param
        one.node_file = os.path.join(one.folder, "node.json")
        write_node(one, *POD_CIDRS)
        yield one


def write_node(host, *cidrs):
    with open(host.node_file, "w") as file:
        json.dump({"version": 1, "node": "n", "mode": host.mode, "bridge": "roost0", "mtu": 1500,
                   "podCIDRs": cidrs}, file)


def conf(host, name, **more):
    return host.conf(subnets=(), name=name, nodeFile=host.node_file, **more)


def gc(host, name, *valid):
    reply = host.call("GC", conf=conf(host, name, **{"cni.dev/valid-attachments": [
        {"containerID": container, "ifname": "eth0"} for container in valid]}))
    assert (reply.code, reply.out) == (0, ""), reply


def all_held(host, *names):
    found = [address for name in names for pair in host.held(name).values() for address in pair]
    assert len(found) == len(set(found)), found
    return set(found)


def test_no_address_is_given_by_two_networks_of_node_json(host):
    for i, name in enumerate(("a", "b", "a", "c", "b")):
        host.add(f"c{i}", conf=conf(host, name))
    assert len(all_held(host, "a", "b", "c")) == 10
    for name in ("a", "b", "c", "d"):
        reply = host.call("ADD", "c9", host.pod(), conf=conf(host, name))
        assert reply.error == TRY_LATER and "all 5 addresses are in use" in reply.json["msg"]
        assert host.call("STATUS", conf=conf(host, name)).error == UNAVAILABLE
    # What one gives back any of them can have.
    freed = host.held("a")["c0"]
    host.delete("c0", conf=conf(host, "a"))
    assert host.call("STATUS", conf=conf(host, "d")).code == 0
    host.add("c9", conf=conf(host, "d"))
    assert host.held("d")["c9"] == freed


def test_del_and_gc_keep_to_the_network_of_their_name(host):
    for name in ("a", "b"):
        host.add("c1", conf=conf(host, name))
        host.add("c2", conf=conf(host, name))
    host.delete("c1", conf=conf(host, "b"))
    assert set(host.held("a")) == {"c1", "c2"} and set(host.held("b")) == {"c2"}
    gc(host, "a")
    assert host.held("a") == {} and set(host.held("b")) == {"c2"}
    assert len(host.veths()) == 1


def test_a_network_that_gets_another_name_goes_on_with_its_pods_running(host):
    for i in range(3):
        host.add(f"old{i}", conf=conf(host, "before"))
    for i in range(2):
        host.add(f"new{i}", conf=conf(host, "after"))
    assert len(all_held(host, "before", "after")) == 10
    # The runtime sends DEL with the configuration of the ADD.
    for i in range(3):
        host.delete(f"old{i}", conf=conf(host, "before"))
    for i in range(3):
        host.add(f"more{i}", conf=conf(host, "after"))
    assert len(all_held(host, "before", "after")) == 10 and host.held("before") == {}


def test_an_address_that_another_network_freed_rests_as_its_own_do(host):
    write_node(host, "10.244.1.0/29")
    host.add("c0", conf=conf(host, "a"))
    freed = host.held("a")["c0"]
    host.delete("c0", conf=conf(host, "a"))
    for i in range(4):
        host.add(f"b{i}", conf=conf(host, "b"))
        assert host.held("b")[f"b{i}"] != freed
    host.add("b4", conf=conf(host, "b"))
    assert host.held("b")["b4"] == freed


def test_a_range_that_another_network_fills_with_the_dead_is_reclaimed(host):
    write_node(host, "10.244.1.0/30")
    host.add("dead", conf=conf(host, "a"))
    host.namespace.run("ip", "link", "delete", host.veths()[0])
    assert host.call("ADD", "c1", host.pod(), conf=conf(host, "b")).error == TRY_LATER
    store = os.path.join(host.data_dir, "a", "leases")
    with open(store, "wb") as file:
        file.write(make_header(1) + make_slot("dead", ["10.244.1.2"]))
    host.add("c1", conf=conf(host, "b"))
    assert host.held("a") == {} and host.held("b") == {"c1": ("10.244.1.2",)}


def test_a_network_with_ranges_of_its_own_is_looked_at_by_those_of_node_json(host):
    host.add("c0", conf=host.conf(name="own", subnets=POD_CIDRS))
    host.add("c1", conf=conf(host, "a"))
    assert len(all_held(host, "own", "a")) == 4


def test_many_pods_of_two_networks_at_once_get_an_address_each(host):
    count = 8 if is_sanitized(host.plugin) else 30
    write_node(host, "10.244.1.0/24", "fd00:10:244:1::/64")
    pods = [host.pod() for _ in range(count)]
    running = [host.start("ADD", f"c{i}", pod, conf=conf(host, "ab"[i % 2]))
               for i, pod in enumerate(pods)]
    replies = [host.finish(process) for process in running]
    assert [r for r in replies if r.code] == []
    assert len(all_held(host, "a", "b")) == 2 * count
    assert {ip["address"].split("/")[0] for r in replies for ip in r.json["ips"]} == \
        all_held(host, "a", "b")


# ---------------------------------------------------------------- lost, damaged, killed

def test_when_all_stores_are_lost_the_links_tell_of_every_network(host):
    host.add("c0", conf=conf(host, "a"))
    host.add("c1", conf=conf(host, "b"))
    before = all_held(host, "a", "b")
    shutil.rmtree(host.data_dir)
    host.add("c2", conf=conf(host, "a"))
    host.add("c3", conf=conf(host, "a"))
    assert before < all_held(host, "a", "b") and len(all_held(host, "a", "b")) == 8
    assert set(host.held("b")) == {"c1"}


@pytest.mark.parametrize("where", [3, 300], ids=["header", "lease"])
def test_a_damaged_store_of_another_network_gives_no_address_twice(host, where):
    host.add("c0", conf=conf(host, "a"))
    taken = set(host.held("a")["c0"])
    store = os.path.join(host.data_dir, "a", "leases")
    with open(store, "r+b") as file:
        file.seek(where)
        file.write(b"\xff\xff")
    with open(store, "rb") as file:
        damaged = file.read()
    for i in range(1, 5):
        host.add(f"c{i}", conf=conf(host, "b"))
    assert not taken & all_held(host, "b")
    assert host.call("ADD", "c5", host.pod(), conf=conf(host, "b")).error == TRY_LATER
    assert host.call("STATUS", conf=conf(host, "b")).error == UNAVAILABLE
    with open(store, "rb") as file:
        assert file.read() == damaged, "mending it is its own network's"


@pytest.mark.parametrize("how", ["gone", "empty"])
def test_a_lost_store_of_another_network_gives_no_address_twice(host, how):
    host.add("c0", conf=conf(host, "a"))
    host.add("c1", conf=conf(host, "b"))
    taken = set(host.held("a")["c0"])
    store = os.path.join(host.data_dir, "a", "leases")
    os.unlink(store)
    if how == "empty":
        open(store, "w").close()
    for i in range(2, 5):
        host.add(f"c{i}", conf=conf(host, "b"))
    assert not taken & all_held(host, "b")
    assert host.call("ADD", "c5", host.pod(), conf=conf(host, "b")).error == TRY_LATER
    assert host.call("STATUS", conf=conf(host, "b")).error == UNAVAILABLE


def test_a_store_of_another_network_that_cannot_be_known_stops_add(host):
    host.add("c0", conf=conf(host, "a"))
    os.unlink(os.path.join(host.data_dir, "a", "leases"))
    os.mkfifo(os.path.join(host.data_dir, "a", "leases"))
    reply = host.call("ADD", "c1", host.pod(), conf=conf(host, "b"))
    assert reply.error == IO and "/a" in reply.json["msg"], reply
    shutil.rmtree(os.path.join(host.data_dir, "a"))
    host.add("c1", conf=conf(host, "b"))


def test_what_is_no_network_does_not_matter(host):
    os.makedirs(os.path.join(host.data_dir, "empty"))
    os.makedirs(os.path.join(host.data_dir, ".hidden"))
    open(os.path.join(host.data_dir, "file"), "w").close()
    os.symlink("/nowhere", os.path.join(host.data_dir, "link"))
    host.add("c0", conf=conf(host, "a"))


def test_nobody_else_can_lock_the_networks_of_a_node(host):
    host.add("c0", conf=conf(host, "a"))
    assert stat.S_IMODE(os.stat(os.path.join(host.data_dir, ".node")).st_mode) == 0o700


@pytest.mark.plain
@pytest.mark.skipif(not STRACE, reason="strace is not installed")
def test_killed_anywhere_two_networks_never_hold_one_address(host):
    """SIGKILL at every system call of an ADD; the next one is of the other network."""
    host.add("resident", conf=conf(host, "b"))

    def traced(pod, *options):
        trace = os.path.join(host.folder, "trace")
        reply = host.call("ADD", "victim", pod, conf=conf(host, "a"),
                          prefix=[STRACE, "-qq", "-o", trace, *options],
                          env={"ASAN_OPTIONS": "detect_leaks=0"})
        with open(trace) as file:
            return reply, [m[1] for m in map(re.compile(r"([a-z_0-9]+)\(").match, file) if m]

    pod = host.pod()
    reply, names = traced(pod)
    assert reply.code == 0
    host.delete("victim", pod, conf=conf(host, "a"))
    begun, seen = False, {}
    for name in names[:-1]:
        seen[name] = seen.get(name, 0) + 1
        begun = begun or name == "setitimer"
        if not begun or (is_sanitized(host.plugin) and name in ("mmap", "munmap", "madvise",
                                                                "rt_sigaction")):
            continue
        shutil.rmtree(os.path.join(host.data_dir, "a"), ignore_errors=True)
        reply, _ = traced(pod, "-e", f"inject={name}:signal=SIGKILL:when={seen[name]}")
        where = (name, seen[name], reply)
        # How often one has to look until a link is ready is not the same every time.
        assert reply.code in (-signal.SIGKILL, 128 + signal.SIGKILL) or \
            name in ("sendmsg", "recvmmsg", "clock_nanosleep"), where
        host.add("next", conf=conf(host, "b"))
        all_held(host, "a", "b")
        for address in host.held("b")["next"]:
            assert address not in str(pod.ip("address", "show")), where
        host.delete("victim", pod, conf=conf(host, "a"))
        host.delete("next", conf=conf(host, "b"))
        assert host.held("a") == {} and set(host.held("b")) == {"resident"}, where
        assert len(host.veths()) == 1, where
