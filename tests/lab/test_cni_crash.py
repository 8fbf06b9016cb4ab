# SPDX-License-Identifier: GPL-2.0-or-later
"""The plugin killed at every system call it makes.

A killed ADD or DEL may leave something; the DEL that a runtime sends then may not.
At no moment does an address belong to two containers.  strace puts the signal or
the error in: exactly, so that every run covers every gap between two calls.
"""

import os
import random
import subprocess
import time

import pytest

from cniharness import find_plugin, Host, is_sanitized
from cnitrace import (
    assert_no_address_twice, assert_only_the_resident, collect, conf_for, host_with_a_resident,
    kill, needs_strace, own_calls, points, STRACE, system_calls, traced, was_killed,
    was_killed_or_faster,
)


@pytest.fixture(params=["bridge", "routed"])
def host(request):
    with host_with_a_resident(request.param) as one:
        yield one


@pytest.mark.plain
@needs_strace
@pytest.mark.parametrize("command", ["ADD", "DEL", "GC"])
def test_killed_at_any_system_call_the_next_del_or_gc_cleans_up(host, command):
    for i, (name, nth) in enumerate(points(host, command)):
        pod, other = host.pod(), host.pod()
        if command != "ADD":
            host.add("victim", pod)
        reply, lines = traced(host, command, "victim", pod, conf=conf_for(host, command),
                              options=kill(name, nth))
        assert was_killed_or_faster(reply, lines, name, nth), (name, nth, reply)
        # Whoever comes next gets an address of its own, whatever is left.
        host.add("next", other)
        assert_no_address_twice(host)
        for address in host.held()["next"]:
            assert address not in str(pod.ip("address", "show"))
        # Every runtime sends the one, some the other.
        if i % 2:
            collect(host, "resident", "next")
        else:
            host.delete("victim", pod)
            host.delete("victim")
        assert set(host.held()) == {"resident", "next"} and len(host.veths()) == 2
        host.delete("next", other)
        assert_only_the_resident(host)
        # And the same container can be attached again.
        host.add("victim", pod)
        host.delete("victim", pod)
        pod.close()
        other.close()


# ---------------------------------------------------------------- with another IPAM plugin

DEBIAN = "/usr/lib/cni"         # of the package containernetworking-plugins
PATHS = {"CNI_PATH": DEBIAN}
EVERY = 3                       # of our system calls: each run starts host-local twice or more


def delegated(host):
    conf = host.conf()
    conf["cniVersion"] = "1.0.0"
    conf["ipam"] = {"type": "host-local", "dataDir": host.data_dir,
                    "ranges": [[{"subnet": "10.5.0.0/24"}], [{"subnet": "fd05::/64"}]]}
    return conf


def files_of_host_local(host):
    """{address: container}.  A file without a byte is what host-local leaves when it is
    killed before it writes (containernetworking/plugins#498), and nobody's."""
    folder, found = os.path.join(host.data_dir, "pods"), {}
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        if name[0].isdigit() or ":" in name:
            with open(os.path.join(folder, name)) as file:
                found[name] = file.readline().strip()
    return {address: container for address, container in found.items() if container}


@pytest.mark.plain
@needs_strace
@pytest.mark.parametrize("command", ["ADD", "DEL"])
@pytest.mark.parametrize("mode", ["bridge", "routed"])
def test_killed_while_another_ipam_plugin_works_the_next_del_cleans_up(command, mode):
    """The signal is for us alone; host-local dies with us, wherever it is."""
    if not os.path.exists(os.path.join(DEBIAN, "host-local")):
        pytest.skip(f"needs {DEBIAN}/host-local (apt-get install containernetworking-plugins)")
    with Host() as host:
        host.mode = mode
        conf, pod, other = delegated(host), host.pod(), host.pod()

        def call(command, container, netns, *options):
            return traced(host, command, container, netns, conf=conf, options=options,
                          extra_env=PATHS)
        host.add("victim", pod, conf=conf, env=PATHS)
        if command == "ADD":
            host.delete("victim", pod, conf=conf, env=PATHS)
        reply, lines = call(command, "victim", pod)
        assert reply.code == 0, reply
        host.delete("victim", pod, conf=conf, env=PATHS)
        for name, nth in own_calls(host, lines)[::EVERY]:
            if command == "DEL":
                host.add("victim", pod, conf=conf, env=PATHS)
            reply, lines = call(command, "victim", pod, *kill(name, nth))
            where = (name, nth, reply)
            # How often one has to read what the other prints varies, too.
            assert was_killed(reply) or \
                reply.code == 0 and (name, nth) not in system_calls(lines), where
            # No address of the victim's is given to the next one while it has it.
            result = host.add("next", other, conf=conf, env=PATHS)
            for ip in result["ips"]:
                assert ip["address"].split("/")[0] not in str(pod.ip("address", "show")), where
            host.delete("victim", pod, conf=conf, env=PATHS)
            assert set(files_of_host_local(host).values()) == {"next"}, where
            assert len(host.veths()) == 1 and "eth0" not in pod.links(), where
            host.delete("next", other, conf=conf, env=PATHS)
            assert files_of_host_local(host) == {} and host.veths() == [], where


# ---------------------------------------------------------------- at random

def test_killed_at_random_moments_nothing_leaks(host):
    random.seed(1)
    before = time.monotonic()
    host.add("timed")
    whole_s = time.monotonic() - before
    host.delete("timed")
    for _ in range(60 if is_sanitized(host.plugin) else 200):
        pod = host.pod()
        process = host.start("ADD", "victim", pod)
        try:
            process.wait(timeout=random.uniform(0, whole_s))
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()
        assert_no_address_twice(host)
        host.delete("victim", pod)
        assert_only_the_resident(host)
        pod.close()


@pytest.mark.parametrize("mode", ["bridge", "routed"])
def test_the_plugin_makes_few_system_calls_and_starts_no_process(mode):
    if not STRACE:
        pytest.skip("strace is not installed")
    if is_sanitized(find_plugin()):
        pytest.skip("the sanitizers' runtime makes calls of its own")
    with Host() as host:
        host.mode = mode
        host.add("first")
        pod = host.pod()
        reply, lines = traced(host, "ADD", "c1", pod)
        assert reply.code == 0
        # A pause and the look behind it, as often as the kernel lets one wait: not counted.
        pauses = sum(line.startswith("clock_nanosleep") for line in lines)
        assert len(lines) - 3 * pauses <= 80, "\n".join(lines)
        assert not any(line.startswith(("clone", "fork", "vfork")) for line in lines)
        reply, lines = traced(host, "DEL", "c1", pod)
        assert reply.code == 0
        assert len(lines) <= 60, "\n".join(lines)
