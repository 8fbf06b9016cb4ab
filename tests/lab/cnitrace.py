# SPDX-License-Identifier: GPL-2.0-or-later
"""The plugin under strace, which puts a signal or an error in at any one of its system
calls: exactly, so that every run covers every gap between two calls.
"""

import contextlib
import os
import re
import shutil
import signal

import pytest

from cniharness import Host, is_sanitized

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


@contextlib.contextmanager
def host_with_a_resident(mode):
    with Host() as one:
        one.mode = mode
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
