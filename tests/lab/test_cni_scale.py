# SPDX-License-Identifier: GPL-2.0-or-later
"""What the plugin costs does not grow with the number of leases, or hardly.

System calls are counted; where there is nothing to count but time, two things that
were done in turn are compared, by the best of many tries."""

import collections
import os
import re
import shutil
import time

import pytest

from cniharness import find_plugin, is_sanitized, read_leases
from leasefile import FREED, HELD, fill

STRACE = shutil.which("strace")
SUBNETS = ("10.128.0.0/16", "fd00:10:244:1::/64")

# How memory comes to a process is the C library's business (its qsort asks how much
# there is), and how often one has to look until a link is ready is the kernel's.
IGNORED = {"mmap", "munmap", "mremap", "brk", "madvise", "mprotect", "sysinfo",
           "sendmsg", "recvmmsg", "clock_nanosleep"}


def conf_of(host, count, state=HELD, **more):
    """A network with so many leases."""
    data_dir = os.path.join(host.folder, f"{count}-{state}")
    fill(f"{data_dir}/pods/leases", count, state)
    return host.conf(subnets=SUBNETS, ipam={"dataDir": data_dir}, **more)


def held(conf):
    return [lease for lease in read_leases(conf["ipam"]["dataDir"] + "/pods/leases")
            if lease.state == "held"]


def count_calls(host, command, conf, container="c1", netns=""):
    """{system call: how often} of a call that has to succeed."""
    trace = os.path.join(host.folder, "trace")
    reply = host.call(command, container, netns, conf=conf, prefix=[STRACE, "-qq", "-o", trace])
    assert reply.code == 0, reply
    with open(trace) as file:
        names = [match[1] for match in map(re.compile(r"([a-z_0-9]+)\(").match, file) if match]
    return collections.Counter(name for name in names if name not in IGNORED)


def need_strace():
    if not STRACE:
        pytest.skip("strace is not installed")
    if is_sanitized(find_plugin()):
        pytest.skip("the sanitizers' runtime makes calls of its own")


def test_an_add_makes_as_many_system_calls_whatever_the_number_of_leases(host):
    need_strace()
    host.add("first")           # makes the bridge
    pod, counts = host.pod(), []
    for count, state in ((1, HELD), (16000, HELD), (16000, FREED)):
        conf = conf_of(host, count, state)
        counts.append(count_calls(host, "ADD", conf, "c1", pod))
        host.delete("c1", pod, conf=conf)
    assert counts[0] == counts[1]
    # A freed lease is used again: no new one, and nothing to count in the header.
    assert counts[2] in (counts[0], counts[0] - collections.Counter(["pwrite64"]))


def test_an_add_takes_hardly_longer_with_16000_leases(host):
    """A walk over all leases costs about as much as to start a process: the rest of ADD
    has to be there, too, so three times the time is far away."""
    if is_sanitized(host.plugin):
        pytest.skip("the sanitizers look at every byte")
    host.add("first")
    pod = host.pod()
    confs = [conf_of(host, 0), conf_of(host, 16000)]

    best = [float("inf")] * 2
    for _ in range(15):
        for i, conf in enumerate(confs):
            before = time.monotonic()
            host.add("c1", pod, conf=conf)
            best[i] = min(best[i], time.monotonic() - before)
            host.delete("c1", pod, conf=conf)
    print(f"ADD: {best[0] * 1e3:.2f} ms without leases, {best[1] * 1e3:.2f} ms with 16000")
    assert best[1] < 4 * best[0]


def test_a_status_makes_as_many_system_calls_whatever_the_number_of_leases(host):
    need_strace()
    counts = [count_calls(host, "STATUS", conf_of(host, count)) for count in (1, 1000)]
    assert counts[0] == counts[1]
    assert sum(counts[0].values()) <= 60, counts[0]


def test_a_status_with_1000_leases_takes_hardly_longer_than_a_version(host):
    if is_sanitized(host.plugin):
        pytest.skip("the sanitizers look at every byte")
    conf, best = conf_of(host, 1000), [float("inf")] * 2
    for _ in range(25):
        for i, command in enumerate(("VERSION", "STATUS")):
            before = time.monotonic()
            reply = host.call(command, conf=conf)
            best[i] = min(best[i], time.monotonic() - before)
            assert reply.code == 0, reply
    print(f"VERSION {best[0] * 1e3:.2f} ms, STATUS with 1000 leases {best[1] * 1e3:.2f} ms")
    assert best[1] < 5 * best[0]


def gc_of(conf, *valid):
    return {**conf, "cni.dev/valid-attachments": [
        {"containerID": container, "ifname": "eth0"} for container in valid]}


def test_gc_makes_as_many_system_calls_whatever_the_number_of_leases(host):
    need_strace()
    counts = []
    for count in (10, 3000):
        conf = conf_of(host, count)
        counts.append(count_calls(host, "GC", gc_of(conf, "pod3", "pod7")))
        assert [lease.container for lease in held(conf)] == ["pod3", "pod7"]
    assert counts[0] == counts[1]
    assert counts[0]["pwrite64"] == 1


def test_gc_of_10000_leases_takes_no_longer_than_to_delete_a_few_links(host):
    """Two GCs in turn: of 10 000 leases without a link, and of 20 links."""
    if is_sanitized(host.plugin):
        pytest.skip("the sanitizers look at every byte")
    conf, best = host.conf(), [float("inf")] * 2
    for _ in range(3):
        many = conf_of(host, 10000)
        for i in range(20):
            host.add(f"c{i}")
        for i, one in enumerate((conf, many)):
            before = time.monotonic()
            assert host.call("GC", conf=gc_of(one)).code == 0
            best[i] = min(best[i], time.monotonic() - before)
        assert held(many) == [] and host.veths() == []
    print(f"GC: 20 links {best[0] * 1e3:.0f} ms, 10 000 leases {best[1] * 1e3:.0f} ms")
    assert best[1] < 4 * best[0]


def test_gc_with_10000_valid_attachments_keeps_them(host):
    count = 1000 if is_sanitized(host.plugin) else 10000
    conf = conf_of(host, count)
    valid = [f"pod{i}" for i in range(count) if i % 2]
    assert host.call("GC", conf=gc_of(conf, *valid)).code == 0
    assert [lease.container for lease in held(conf)] == valid
