# SPDX-License-Identifier: GPL-2.0-or-later
"""Input that nobody means well with, and a world that changes in the middle of ADD."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time

import pytest

from cniharness import CALL_SECONDS

ENVIRONMENT, DECODE, CONFIG = 4, 6, 7
STRACE = shutil.which("strace")


def with_ipam(**ipam):
    return json.dumps({"cniVersion": "1.1.0", "name": "n", "ipam": ipam})


def with_ranges(*sets):
    return with_ipam(ranges=[[{"subnet": subnet} for subnet in one] for one in sets])


# ---------------------------------------------------------------- stdin

DOCUMENTS = {
    "20 000 arrays": ("[" * 20000 + "]" * 20000, DECODE),
    "20 000 objects": ('{"a":' * 20000 + "1" + "}" * 20000, DECODE),
    "20 000 arrays in a key that nobody reads":
        ('{"name":"n","x":' + "[" * 20000 + "]" * 20000 + "}", DECODE),
    "a string of 64 MiB": (b'{"name":"' + b"x" * (64 << 20) + b'"}', DECODE),
    "64 MiB of blanks": (b" " * (64 << 20), DECODE),
    "a string of 7 MiB where a name should be":
        (b'{"cniVersion":"1.0.0","name":"' + b"x" * (7 << 20) + b'"}', CONFIG),
    "a key twice, deep inside": ('{"name":"n","x":[{"y":{"a":1,"a":1}}]}', DECODE),
    "a key twice, once escaped": ('{"name":"n","n\\u0061me":"n"}', DECODE),
    "a lone surrogate": ('{"name":"\\ud800"}', DECODE),
    "a lone surrogate in a key that nobody reads": ('{"name":"n","x":"\\udc00"}', DECODE),
    "surrogates in the wrong order": ('{"name":"\\udc00\\ud800"}', DECODE),
    "surrogates as UTF-8": (b'{"name":"\xed\xa0\x80"}', DECODE),
    "UTF-8 that is too long": (b'{"name":"\xc0\xaf"}', DECODE),
    "a byte order mark": (b'\xef\xbb\xbf{"name":"n"}', DECODE),
    "UTF-16": ('{"name":"n"}'.encode("utf-16-le"), DECODE),
    "1e400": ('{"name":"n","mtu":1e400}', DECODE),
    "1e400 in a key that nobody reads": ('{"name":"n","x":1e400}', DECODE),
    "an integer of 400 digits": ('{"name":"n","mtu":' + "9" * 400 + "}", DECODE),
    "2^63": ('{"name":"n","mtu":9223372036854775808}', DECODE),
    "minus zero, not whole": ('{"name":"n","mtu":-0.0}', DECODE),
    "NaN": ('{"name":"n","mtu":NaN}', DECODE),
    "two documents": ('{"name":"n"}{"name":"n"}', DECODE),
    "a comma too many": ('{"name":"n",}', DECODE),
    "prefix 33": (with_ranges(["10.0.0.0/33"]), CONFIG),
    "prefix 129": (with_ranges(["fd00::/129"]), CONFIG),
    "prefix 4294967320": (with_ranges(["10.0.0.0/4294967320"]), CONFIG),
    "prefix -1": (with_ranges(["10.0.0.0/-1"]), CONFIG),
    "no prefix": (with_ranges(["10.0.0.0"]), CONFIG),
    "IPv4 host bits": (with_ranges(["10.0.0.1/24"]), CONFIG),
    "IPv6 host bits": (with_ranges(["fd00::1/64"]), CONFIG),
    "a /31": (with_ranges(["10.0.0.0/31"]), CONFIG),
    "a /32": (with_ranges(["10.0.0.0/32"]), CONFIG),
    "a /127": (with_ranges(["fd00::/127"]), CONFIG),
    "a /128": (with_ranges(["fd00::/128"]), CONFIG),
    "octal": (with_ranges(["010.0.0.0/8"]), CONFIG),
    "a zone": (with_ranges(["fe80::%eth0/64"]), CONFIG),
    "10 000 ranges": (with_ranges([f"10.{i >> 8}.{i & 255}.0/24" for i in range(10000)]), CONFIG),
    "10 000 sets": (with_ranges(*[[f"10.{i >> 8}.{i & 255}.0/24"] for i in range(10000)]), CONFIG),
    "overlap in a set": (with_ranges(["10.0.0.0/24", "10.0.0.0/25"]), CONFIG),
    "overlap of sets": (with_ranges(["10.0.0.0/16"], ["10.0.9.0/24"]), CONFIG),
    "the same twice": (with_ranges(["fd00::/64"], ["fd00::/64"]), CONFIG),
    "10 000 routes": (with_ipam(subnet="10.0.0.0/24", routes=[
        {"dst": f"10.{i >> 8}.{i & 255}.0/24"} for i in range(10000)]), CONFIG),
    "10 000 addresses asked for": (json.dumps({
        "name": "n", "ipam": {"subnet": "10.0.0.0/16"},
        "runtimeConfig": {"ips": [f"10.0.{i >> 8}.{i & 255}" for i in range(10000)]}}), CONFIG),
}


@pytest.mark.parametrize("case", DOCUMENTS)
def test_a_hostile_document_is_one_error_and_changes_nothing(host, case):
    stdin, code = DOCUMENTS[case]
    reply = host.call("ADD", "c1", host.pod(), stdin=stdin)
    assert reply.error == code, reply.out
    assert reply.out.count("\n") == 1 and len(reply.out) < 2000
    assert list(host.namespace.links()) == ["lo"]


@pytest.mark.parametrize("more", [
    '"mtu": -0', '"x": 1e-400', '"x": "\\ud83d\\ude00"', '"\\u00e4": null', '"x": 0.0e0',
    '"x": ' + "[" * 60 + "]" * 60, '"x": -9223372036854775808'])
def test_what_is_only_odd_is_taken(host, more):
    text = json.dumps(host.conf())
    del_mtu = text.replace('"mtu": 1500, ', "") if "mtu" in more else text
    host.add("c1", stdin=del_mtu[:-1] + ", " + more + "}")


# ---------------------------------------------------------------- the environment

MOST = 131072 - len("CNI_ARGS=") - 1        # MAX_ARG_STRLEN


def test_128_KiB_of_CNI_ARGS_are_read(host):
    pairs = "IgnoreUnknown=1;IP=10.244.1.77;"
    long = pairs + "K=V;" * ((MOST - len(pairs)) // 4)
    assert host.add("c1", args=long)["ips"][0]["address"] == "10.244.1.77/24"
    long = pairs.replace("77", "78") + "K=" + "x" * (MOST - len(pairs) - 2)
    assert host.add("c2", args=long)["ips"][0]["address"] == "10.244.1.78/24"
    reply = host.call("ADD", "c3", host.pod(), args="K" * MOST)
    assert reply.error == ENVIRONMENT and len(reply.out) < 2000
    reply = host.call("ADD", "c3", host.pod(), args="IgnoreUnknown=1;" + "IP=10.0.0.1;" * 5000)
    assert reply.error == CONFIG


@pytest.mark.parametrize("args, code", [
    ("IP", ENVIRONMENT), ("=", ENVIRONMENT), ("=x", ENVIRONMENT), ("IP==10.244.1.7", ENVIRONMENT),
    ("IP=10.244.1.7;MAC", ENVIRONMENT), ("ip=10.244.1.7", ENVIRONMENT), ("IP=", CONFIG),
    (" IP=10.244.1.7", ENVIRONMENT), ("IP=10.244.1.7 ", CONFIG), ("IP=10.244.1.7\n", CONFIG),
    ("IP=\udcff", CONFIG), ("\udcff=1", ENVIRONMENT), ("IgnoreUnknown=0;K=V", ENVIRONMENT),
    ("IgnoreUnknown;K=V", ENVIRONMENT), ("MAC=00:00:00:00:00:00", CONFIG),
    ("MAC=01:00:5e:00:00:01", CONFIG), ("MAC=02:00:00:00:00:00:00:01", CONFIG)])
def test_CNI_ARGS_that_are_no_pairs_are_refused(host, args, code):
    reply = host.call("ADD", "c1", host.pod(), args=args)
    assert reply.error == code
    assert list(host.namespace.links()) == ["lo"]


@pytest.mark.parametrize("args", ["", ";", ";;;", ";IP=10.244.1.2;;", "IgnoreUnknown=true;=;K="])
def test_empty_pairs_are_none(host, args):
    assert host.add("c1", args=args)["ips"][0]["address"] == "10.244.1.2/24"


@pytest.mark.parametrize("command", ["ADD", "DEL", "CHECK"])
@pytest.mark.parametrize("what", [
    dict(container=".."), dict(container="."), dict(container="a/b"), dict(container="../../etc"),
    dict(container="a" * 300), dict(container="-a"), dict(container="a b"), dict(container="\udcff"),
    dict(container="a\n"), dict(ifname="all"), dict(ifname="default"), dict(ifname="."),
    dict(ifname=".."), dict(ifname="a/b"), dict(ifname="a:b"), dict(ifname="a b"),
    dict(ifname="a" * 16), dict(ifname="eth0\n"), dict(ifname="%d"), dict(ifname="\u00a0")],
    ids=repr)
def test_names_that_reach_elsewhere_are_refused_by_every_command(host, command, what):
    call = {"container": "c1", "netns": host.pod(), **what}
    assert host.call(command, **call).error == ENVIRONMENT
    assert not os.path.exists(host.data_dir)


def bad_namespace(kind, host):
    path = os.path.join(host.folder, "netns")
    if kind == "folder":
        os.mkdir(path)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "file":
        open(path, "w").close()
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(path)
    elif kind == "link to itself":
        os.symlink(path, path)
    elif kind == "closed descriptor":
        path = f"/proc/{os.getpid()}/fd/99999"
    elif kind == "gone process":
        with subprocess.Popen(["true"]) as process:
            path = f"/proc/{process.pid}/ns/net"
    elif kind == "5 000 bytes":
        path = "/" + "a/" * 2500
    else:
        path = kind
    return path


BAD_NAMESPACES = ["folder", "fifo", "file", "socket", "link to itself", "closed descriptor",
                  "gone process", "5 000 bytes", "/proc/1/ns/mnt", "/proc/self/ns/uts", "/dev/null",
                  "/dev/zero", "/proc/self/mem", "/nowhere", "."]


@pytest.mark.parametrize("kind", BAD_NAMESPACES)
def test_add_and_check_refuse_what_is_no_namespace_and_del_does_not_mind(host, kind):
    path = bad_namespace(kind, host)
    result = host.add("c1")
    for command, container in (("ADD", "c2"), ("CHECK", "c1")):
        reply = host.call(command, container, path, conf=host.conf(prevResult=result)
                          if command == "CHECK" else None)
        assert reply.error == ENVIRONMENT, reply
    assert set(host.held()) == {"c1"} and len(host.veths()) == 1
    host.delete("c1", path)
    host.assert_nothing_left()


def test_a_link_to_a_namespace_is_as_good_as_the_namespace(host):
    path, pod = os.path.join(host.folder, "netns"), host.pod()
    os.symlink(pod.path, path)
    assert host.add("c1", path)["interfaces"][2]["sandbox"] == path
    assert "eth0" in pod.links()


# ---------------------------------------------------------------- in the middle of ADD

class Stopped:
    """An ADD that strace stops at its first call of `name`; resume() lets it go on."""

    def __init__(self, host, pod, name):
        self.host, self.trace = host, os.path.join(host.folder, "trace")
        self.process = host.start("ADD", "c1", pod, env={"ASAN_OPTIONS": "detect_leaks=0"}, prefix=[
            STRACE, "-qq", "-o", self.trace, "-e", f"inject={name}:signal=SIGSTOP:when=1"])
        self.wait_for("--- stopped by SIGSTOP")
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as file:
            self.pid = int(file.read().split()[0])

    def wait_for(self, text):
        deadline = time.monotonic() + CALL_SECONDS
        while True:
            if os.path.exists(self.trace):
                with open(self.trace, errors="replace") as file:
                    if text in file.read():
                        return
            assert self.process.poll() is None, self.host.finish(self.process)
            assert time.monotonic() < deadline, f"{text}: not seen"
            time.sleep(0.01)

    def resume(self):
        os.kill(self.pid, signal.SIGCONT)
        return self.host.finish(self.process)


def wait_until_nothing_is_left(host):
    """A namespace that nobody holds any more takes its links with it, in a moment."""
    deadline = time.monotonic() + CALL_SECONDS
    while host.veths() and time.monotonic() < deadline:
        time.sleep(0.01)
    host.assert_nothing_left()


needs_strace = pytest.mark.skipif(not STRACE, reason="strace is not installed")


@needs_strace
@pytest.mark.parametrize("call", ["flock", "setns"])
def test_a_namespace_that_goes_in_the_middle_of_add_is_cleaned_up_by_del(either, call):
    pod = either.pod()
    path = pod.path
    stopped = Stopped(either, pod, call)
    pod.close()
    reply = stopped.resume()
    # It was opened and is whole as long as ADD holds it.
    assert reply.code == 0, reply
    either.delete("c1", path)
    wait_until_nothing_is_left(either)
    either.add("c2")


@needs_strace
def test_a_namespace_that_is_another_by_the_time_it_is_opened_is_the_one_that_is_used(either):
    """The path of CNI_NETNS is opened once, and everything goes to that."""
    path, pods = os.path.join(either.folder, "netns"), [either.pod(), either.pod()]
    os.symlink(pods[0].path, path)
    stopped = Stopped(either, path, "flock")
    os.unlink(path)
    os.symlink(pods[1].path, path)
    assert stopped.resume().code == 0
    assert "eth0" in pods[0].links() and list(pods[1].links()) == ["lo"]


MEANWHILE = {
    "renamed": ("pod", "ip link set eth0 name other"),
    "deleted": ("pod", "ip link del eth0"),
    "moved away": ("pod", "ip link set eth0 netns OTHER"),
    "the node's end deleted": ("host", "ip link del VETH"),
}


@needs_strace
@pytest.mark.parametrize("case", MEANWHILE)
def test_an_interface_that_changes_in_the_middle_of_add_fails_it_and_del_cleans_up(either, case):
    pod, other = either.pod(), either.pod()
    where, line = MEANWHILE[case]
    stopped = Stopped(either, pod, "setns")         # the pair is made, and not yet configured
    line = line.replace("VETH", either.veths()[0])
    line = line.replace("OTHER", f"/proc/{os.getpid()}/fd/{other.fd}")
    (pod if where == "pod" else either.namespace).run(*line.split())
    reply = stopped.resume()
    assert reply.code == 1 and reply.json["code"] != 3, reply
    either.assert_nothing_left()
    either.delete("c1", pod)
    assert list(pod.links()) == ["lo"] and list(other.links()) == ["lo"]
    either.add("c1", pod)
