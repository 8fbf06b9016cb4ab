# SPDX-License-Identifier: GPL-2.0-or-later
"""The plugin told of an error at every system call it makes: it ends whole, or it never was."""

import pytest

from cnitrace import (
    assert_no_address_twice, assert_only_the_resident, conf_for, host_with_a_resident, kill,
    needs_strace, own_calls, points, traced, was_killed_or_faster,
)


@pytest.fixture(params=["bridge", "routed"])
def host(request):
    with host_with_a_resident(request.param) as one:
        yield one


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
