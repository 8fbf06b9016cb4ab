# SPDX-License-Identifier: GPL-2.0-or-later
"""The plugin killed, or told of an error, at every system call it makes.

A killed ADD or DEL may leave something; the DEL that a runtime sends then may not.
At no moment does an address belong to two containers.  strace puts the signal or
the error in: exactly, so that every run covers every gap between two calls.
"""

import os
import random
import re
import shutil
import signal
import subprocess
import time

import pytest

from cniharness import Host, find_plugin, is_sanitized

STRACE = shutil.which("strace")
needs_strace = pytest.mark.skipif(not STRACE, reason="strace is not installed")

# What the C library does before main() is not ours to test; main() begins by
# setting an alarm.
FIRST = "setitimer"


def traced(host, *positional, options=(), extra_env=None, **named):
    """Runs a call under strace; the reply and the trace's lines."""
    trace = os.path.join(host.folder, "trace")
    # LeakSanitizer does not work in a traced process.
    reply = host.call(*positional, prefix=[STRACE, "-qq", "-o", trace, *options],
                      env={"ASAN_OPTIONS": "detect_leaks=0", **(extra_env or {})}, **named)
    with open(trace) as file:
        return reply, file.read().splitlines()


def system_calls(lines):
    """[(name, which occurrence of it)] from the first line of main() on."""
    seen, calls = {}, []
    for line in lines:
        match = re.match(r"([a-z_0-9]+)\(", line)
        if not match:
            continue
        name = match[1]
        seen[name] = seen.get(name, 0) + 1
        if calls or name == FIRST:
            calls.append((name, seen[name]))
    assert calls, lines
    return calls


@pytest.fixture(params=["bridge", "routed"])
def host(request):
    with Host() as one:
        one.mode = request.param
        one.add("resident")
        yield one


def gc_conf(host, *valid):
    """What makes GC leave only these alone."""
    return host.conf(**{"cni.dev/valid-attachments": [
        {"containerID": container, "ifname": "eth0"} for container in valid]})


def conf_for(host, command):
    return gc_conf(host, "resident") if command == "GC" else host.conf()


def collect(host, *valid):
    """GC that has to succeed."""
    reply = host.call("GC", conf=gc_conf(host, *valid))
    assert (reply.code, reply.out) == (0, ""), reply


def own_calls(host, lines):
    """Where a command can be cut: its own system calls."""
    calls = [c for c in system_calls(lines) if c[0] != "exit_group"]
    # The sanitizers' runtime adds hundreds of mmap and the like; a sample is enough.
    if is_sanitized(host.plugin):
        calls = [c for c in calls if c[0] not in ("mmap", "munmap", "rt_sigaction", "madvise")]
    return calls


def points(host, command):
    pod = host.pod()
    if command != "ADD":
        host.add("probe", pod)
    reply, lines = traced(host, command, "probe", pod, conf=conf_for(host, command))
    assert reply.code == 0, reply
    host.delete("probe", pod)
    pod.close()
    return own_calls(host, lines)


def assert_only_the_resident(host):
    """Nothing of the victim is left, and the addresses are all to be had."""
    assert set(host.held()) == {"resident"}
    assert len(host.veths()) == 1


def assert_no_address_twice(host):
    held = [address for pair in host.held().values() for address in pair]
    assert len(held) == len(set(held))


def kill(name, nth):
    return ["-e", f"inject={name}:signal=SIGKILL:when={nth}"]


def was_killed(reply):
    return reply.code in (-signal.SIGKILL, 128 + signal.SIGKILL)


# What ADD does again and again until the kernel is ready: how often varies.
WAITING = ("sendmsg", "recvmmsg", "clock_nanosleep")


def was_killed_or_faster(reply, lines, name, nth):
    """Killed, or it did not have to wait and so never made that call."""
    return was_killed(reply) or (name in WAITING and reply.code == 0 and
                                 (name, nth) not in system_calls(lines))


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


# What issue reports of other plugins are about: a full, failing or read-only disk, a
# full table of files, no memory, a signal.
ERRORS = ("ENOSPC", "EINTR", *(pytest.param(error, marks=pytest.mark.plain)
                               for error in ("EIO", "EROFS", "EMFILE", "ENOMEM")))

# Out of memory aborts; a signal that is not told of is a death, too.
MEMORY = ("mmap", "brk", "mremap")


def assert_whole_or_nothing(host, command, reply, pod, where):
    if command == "ADD" and reply.code == 0:
        assert set(host.held()) == {"resident", "victim"}, where
        assert set(host.held()["victim"]) == \
            {ip["address"].split("/")[0] for ip in reply.json["ips"]}, where
        assert host.call("CHECK", "victim", pod,
                         conf=host.conf(prevResult=reply.json)).code == 0, where
    elif command == "ADD":
        assert set(host.held()) == {"resident"}, where
        assert len(host.veths()) == 1, where
        assert "eth0" not in pod.links(), where
    elif reply.code == 0:
        assert_only_the_resident(host)


@needs_strace
@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("command", ["ADD", "DEL", "GC"])
def test_told_of_an_error_at_any_system_call_it_ends_whole_or_not_at_all(host, command, error):
    pod = host.pod()
    for name, nth in points(host, command):
        # The kernel closes whatever close() says then, strace would not.
        if name == "close":
            continue
        if command != "ADD":
            host.add("victim", pod)
        reply, _ = traced(host, command, "victim", pod, conf=conf_for(host, command),
                          options=["-e", f"inject={name}:error={error}:when={nth}"])
        where = (name, nth, error, reply)
        if name not in MEMORY or reply.code in (0, 1):
            assert reply.code in (0, 1), where
            assert_whole_or_nothing(host, command, reply, pod, where)
        host.delete("victim", pod)
        assert_only_the_resident(host)


@needs_strace
@pytest.mark.parametrize("what", [pytest.param("killed", marks=pytest.mark.plain), "ENOSPC",
                                  pytest.param("EIO", marks=pytest.mark.plain)])
def test_a_store_is_made_anew_whole_or_not_at_all(host, what):
    path = f"{host.data_dir}/pods/leases"
    host.add("other")
    before = host.held()
    with open(path, "rb") as file:
        sound = file.read()
    # The header, and the slot of the resident.
    damaged = sound[:3] + b"\xff" + sound[4:300] + b"\xff" + sound[301:]
    pod = host.pod()

    def damage():
        with open(path, "wb") as file:
            file.write(damaged)

    damage()
    reply, lines = traced(host, "ADD", "probe", pod)
    assert reply.code == 0 and "was damaged" in reply.err, reply
    host.delete("probe", pod)
    for name, nth in own_calls(host, lines):
        damage()
        option = kill(name, nth) if what == "killed" else \
            ["-e", f"inject={name}:error={what}:when={nth}"]
        reply, lines = traced(host, "ADD", "victim", pod, options=option)
        where = (name, nth, reply)
        assert was_killed_or_faster(reply, lines, name, nth) if what == "killed" else \
            reply.code in (0, 1) or name in MEMORY, where
        host.add("next")
        assert before.items() <= host.held().items(), where
        assert_no_address_twice(host)
        host.delete("victim", pod)
        host.delete("next")
        assert host.held() == before and len(host.veths()) == 2, where


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
