# SPDX-License-Identifier: GPL-2.0-or-later
"""The lease store lost, damaged, full, of another boot, or of another plugin.

Whatever happens to the file, an address whose owner's link exists is never given to
another, and pods can be made."""

import os
import random
import shutil
import struct

import pytest

from cniharness import Host, find_plugin, is_sanitized
from leasefile import SLOT, fill, header_sum, slot_sum

IO, CONFIG, TRY_LATER, UNAVAILABLE, EXISTS, KERNEL, DIFFERS = 5, 7, 11, 50, 100, 101, 102


READ_ONLY = ["unshare", "-m", "sh", "-c",
             'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"']


def path(host, name="leases"):
    return f"{host.data_dir}/pods/{name}"


def read(host):
    with open(path(host), "rb") as file:
        return file.read()


def write(host, data, name="leases"):
    with open(path(host, name), "wb") as file:
        file.write(data)


def damage(host, offset, data):
    with open(path(host), "r+b") as file:
        file.seek(offset)
        file.write(data)


# ---------------------------------------------------------------- bytes as cni/lease.c has them

def with_header(data, offset, field):
    """The store with a field of its header changed, by somebody who knows the checksum."""
    header = data[:offset] + field + data[offset + len(field):SLOT - 8]
    return header + header_sum(header) + data[SLOT:]


def with_time(data, index, time_ns):
    """The store with another time in one slot."""
    at = SLOT * (index + 1)
    body = data[at + 8:at + SLOT - 8] + struct.pack("=Q", time_ns)
    return data[:at] + slot_sum(body) + body + data[at + SLOT:]


def age(host, *containers):
    """Makes leases as old as the machine."""
    data = read(host)
    for i, lease in enumerate(host.leases()):
        if lease.container in containers:
            data = with_time(data, i, 1)
    write(host, data)


# ---------------------------------------------------------------- lost

def said(reply):
    return [line for line in reply.err.splitlines() if "lease store" in line]


def test_a_store_that_vanished_is_made_from_the_links(host):
    before = {}
    for container in ("c1", "c2", "c3"):
        host.add(container)
    before = host.held()
    shutil.rmtree(host.data_dir)
    reply = host.call("ADD", "c4", host.pod())
    assert reply.code == 0, reply
    assert len(said(reply)) == 1 and "3 links" in said(reply)[0]
    assert reply.json["ips"][0]["address"] == "10.244.1.5/24"
    assert host.held() == {**before, "c4": ("10.244.1.5", "fd00:10:244:1::5")}
    assert not said(host.call("ADD", "c5", host.pod()))     # once
    for container in ("c1", "c2", "c3", "c4", "c5"):
        host.delete(container)
    host.assert_nothing_left()


def test_links_of_other_networks_are_none_of_its_business(host):
    host.add("c1", conf=host.conf(name="other", bridge="br2"))
    host.add("c1", conf=host.conf(name="pod", bridge="br3"))
    host.namespace.run("ip", "link", "add", "stray", "type", "bridge")
    host.namespace.run("ip", "link", "set", "stray", "alias", "roost pods c9 eth0 10.244.1.9")
    reply = host.call("ADD", "c1", host.pod())
    assert reply.code == 0 and not said(reply)
    assert host.held() == {"c1": ("10.244.1.2", "fd00:10:244:1::2")}


def test_an_add_of_a_pod_that_is_there_is_refused_with_a_store_made_anew(host):
    host.add("c1")
    os.unlink(path(host))
    assert host.call("ADD", "c1", host.pod()).error == EXISTS
    assert host.held() == {"c1": ("10.244.1.2", "fd00:10:244:1::2")}


def test_names_too_long_for_an_alias_with_all_addresses_stop_a_lost_store(host):
    """The link does not tell the second address, so nobody can know it is free."""
    name = "n" * 79
    conf = host.conf(name=name)
    container = "c" * 151
    host.add(container, conf=conf)
    store = f"{host.data_dir}/{name}/leases"
    data = open(store, "rb").read()
    os.unlink(store)
    reply = host.call("ADD", "c2", host.pod(), conf=conf)
    assert reply.error == IO and container in reply.json["msg"]
    with open(store, "wb") as file:     # sound, but for what is behind the end
        file.write(data + b"x")
    assert host.add("c2", conf=conf)["ips"][1]["address"] == "fd00:10:244:1::3/64"


# ---------------------------------------------------------------- damaged

@pytest.fixture
def full():
    """A /29 with all of its five addresses taken: whoever gets one gets one twice."""
    with Host() as one:
        conf = one.conf(subnets=["10.244.1.0/29"])
        for i in range(5):
            one.add(f"c{i}", conf=conf)
        yield one, conf


def assert_still_full(one, conf, where):
    reply = one.call("ADD", "more", one.pods[0], conf=conf)
    assert reply.error == TRY_LATER and "all 5 addresses are in use" in reply.json["msg"], where
    assert one.held() == {f"c{i}": (f"10.244.1.{i + 2}",) for i in range(5)}, where


def test_a_store_cut_off_anywhere_gives_no_address_twice(full):
    one, conf = full
    whole = read(one)
    lengths = range(len(whole) + 1)
    for length in lengths[::7] if is_sanitized(one.plugin) else lengths:
        write(one, whole[:length])
        assert_still_full(one, conf, length)


def test_a_thousand_flipped_bits_give_no_address_twice(full):
    one, conf = full
    whole = read(one)
    draw = random.Random(1)
    for _ in range(150 if is_sanitized(one.plugin) else 1000):
        bit = draw.randrange(len(whole) * 8)
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        write(one, data)
        assert_still_full(one, conf, bit)
        assert read(one) != data, bit
        with open(path(one, "leases.damaged"), "rb") as file:
            assert file.read() == data


def test_garbage_of_any_size_gives_no_address_twice(full):
    one, conf = full
    draw = random.Random(2)
    for size in (1, 100, 256, 300, 4096, 256 * 65540):
        write(one, draw.randbytes(size))
        assert_still_full(one, conf, size)
    write(one, b"\0" * 4096)
    assert_still_full(one, conf, "zeros")


def test_what_is_sound_is_kept_even_without_a_link(host):
    """Another ADD may just have taken its lease and be about to make its link."""
    host.add("c1")
    host.add("c2")
    host.namespace.run("ip", "link", "delete", host.veths()[0])
    host.namespace.run("ip", "link", "delete", host.veths()[0])
    damage(host, SLOT + 100, b"\xff\xff\xff")
    reply = host.call("ADD", "c3", host.pod())
    assert reply.code == 0 and "1 sound leases, 0 links" in reply.err
    assert host.held() == {"c2": ("10.244.1.3", "fd00:10:244:1::3"),
                           "c3": ("10.244.1.2", "fd00:10:244:1::2")}


@pytest.mark.parametrize("command", ["DEL", "GC"])
def test_a_damaged_store_is_mended_by_whoever_comes_first(host, command):
    for container in ("c1", "c2", "c3"):
        host.add(container)
    damage(host, SLOT + 100, b"\xff\xff\xff")
    if command == "DEL":
        reply = host.call("DEL", "c1")
    else:
        reply = host.call("GC", conf=host.conf(**{"cni.dev/valid-attachments": [
            {"containerID": name, "ifname": "eth0"} for name in ("c2", "c3")]}))
    assert reply.code == 0 and "was damaged" in reply.err, reply
    assert set(host.held()) == {"c2", "c3"} and len(host.veths()) == 2
    assert host.add("c4")["ips"][0]["address"].startswith("10.244.1.")
    assert len(set(host.held().values())) == 3


def test_status_of_a_damaged_store_is_good_and_changes_nothing(host):
    host.add("c1")
    damage(host, 3, b"\xff")
    before = read(host)
    assert host.call("STATUS").code == 0
    assert read(host) == before


def test_check_finds_its_lease_beside_a_damaged_one(host):
    host.add("c1")
    pod = host.pod()
    result = host.add("c2", pod)
    damage(host, SLOT + 100, b"\xff")
    assert host.call("CHECK", "c2", pod, conf=host.conf(prevResult=result)).code == 0
    damage(host, 2 * SLOT + 100, b"\xff")
    assert host.call("CHECK", "c2", pod, conf=host.conf(prevResult=result)).error == IO


def test_a_store_that_cannot_be_made_anew_is_an_error(host):
    host.add("c1")
    write(host, b"garbage")
    os.mkdir(path(host, "leases.new"))
    for command in ("ADD", "DEL"):
        assert host.call(command, "c2", host.pod()).error == IO
    assert read(host) == b"garbage"
    os.rmdir(path(host, "leases.new"))
    os.symlink("/etc/passwd", path(host, "leases.new"))
    host.add("c2")
    assert set(host.held()) == {"c1", "c2"}


def test_under_another_plugins_type_no_link_tells_anything_and_nothing_is_guessed(host):
    """As IPAM plugin of somebody else: its pods have links that say nothing to us."""
    conf = host.conf(subnets=["10.244.1.0/29"], type="bridge")
    for i in range(5):
        host.add(f"c{i}", conf=conf)
    assert host.veths() == []
    age(host, *(f"c{i}" for i in range(5)))
    assert host.call("ADD", "c5", host.pod(), conf=conf).error == TRY_LATER
    host.delete("c4", conf=conf)
    damage(host, SLOT + 100, b"\xff")
    before = read(host)
    assert host.call("ADD", "c5", host.pod(), conf=conf).error == IO
    assert host.call("STATUS", conf=conf).error == UNAVAILABLE
    assert read(host) == before
    reply = host.call("DEL", "c0", conf=conf)
    assert reply.code == 0 and "may still be in it" in reply.err
    host.delete("c1", conf=conf)
    assert host.call("ADD", "c5", host.pod(), conf=conf).error == IO


def test_what_is_no_file_is_not_touched(host):
    os.makedirs(host.data_dir + "/pods")
    for make in (lambda: os.symlink("/etc/passwd", path(host)), lambda: os.mkfifo(path(host)),
                 lambda: os.mkdir(path(host))):
        make()
        assert host.call("ADD", "c1", host.pod()).error == IO
        shutil.rmtree(path(host)) if os.path.isdir(path(host)) else os.unlink(path(host))
    assert host.veths() == []


def test_the_store_of_a_newer_roost_is_refused_and_left_alone(host):
    host.add("c1")
    newer = with_header(read(host), 8, struct.pack("=I", 99))
    write(host, newer)
    for command in ("ADD", "DEL"):
        reply = host.call(command, "c2", host.pod())
        assert reply.error == IO and "version 99" in reply.json["msg"]
    assert read(host) == newer


# ---------------------------------------------------------------- another boot

def reboot(host):
    """What a reboot leaves when dataDir is on a disk: no link, and another boot's file."""
    for veth in host.veths():
        host.namespace.run("ip", "link", "delete", veth)
    write(host, with_header(read(host), 16, b"0" * 8))


def test_the_store_of_another_boot_is_emptied(host):
    host.add("c1")
    reboot(host)
    reply = host.call("ADD", "c2", host.pod())
    assert reply.code == 0 and not said(reply)
    assert host.held() == {"c2": ("10.244.1.2", "fd00:10:244:1::2")}


def test_after_a_reboot_del_and_gc_of_what_was_succeed(host):
    host.add("c1")
    host.add("c2")
    reboot(host)
    host.delete("c1", netns="")
    host.add("c3")      # has the address of c1 now
    host.delete("c1", netns="")
    host.delete("c2", netns="/run/netns/gone")
    assert host.held() == {"c3": ("10.244.1.2", "fd00:10:244:1::2")}
    assert len(host.veths()) == 1
    assert host.call("GC", conf=host.conf(**{"cni.dev/valid-attachments": []})).code == 0
    host.assert_nothing_left()


# ---------------------------------------------------------------- DEL of what is odd

ODD_NAMESPACES = {
    "none": "", "a path that is gone": "/run/netns/gone", "a file": "/etc/passwd",
    "a folder": "/", "a device": "/dev/null", "a namespace of another kind": "/proc/1/ns/mnt",
}


@pytest.mark.parametrize("netns", ODD_NAMESPACES.values(), ids=ODD_NAMESPACES)
def test_del_succeeds_whatever_the_namespace_is(host, netns):
    host.add("c1")
    host.delete("c1", netns)
    host.assert_nothing_left()
    host.delete("c1", netns)
    host.delete("never-seen", netns)


def test_del_succeeds_when_the_namespace_died_before(host):
    pod = host.pod()
    host.add("c1", pod)
    gone = pod.path
    pod.close()
    host.delete("c1", gone)
    host.assert_nothing_left()


def test_del_does_not_touch_the_pod_that_has_the_address_or_the_namespace_now(host):
    conf = host.conf(subnets=["10.244.1.0/30"])
    pod = host.pod()
    host.add("old", pod, conf=conf)
    host.delete("old", pod, conf=conf)
    host.add("new", pod, conf=conf)     # the same address, the same namespace
    host.delete("old", pod, conf=conf)
    assert host.held() == {"new": ("10.244.1.2",)}
    assert len(host.veths()) == 1 and "eth0" in pod.links()


def test_a_del_that_could_not_release_says_so(host):
    host.add("c1")
    reply = host.call("DEL", "c1", prefix=[*READ_ONLY, host.data_dir])
    assert reply.error == IO and set(host.held()) == {"c1"}
    host.delete("c1")
    host.assert_nothing_left()


# ---------------------------------------------------------------- GC without leases

def test_gc_removes_links_whose_lease_was_lost(host):
    for container in ("c1", "c2", "c3"):
        host.add(container)
    host.add("c1", conf=host.conf(name="other", bridge="br2", subnets=["10.9.0.0/24"]))
    os.unlink(path(host))
    valid = [{"containerID": "c2", "ifname": "eth0"}]
    reply = host.call("GC", conf=host.conf(**{"cni.dev/valid-attachments": valid}))
    assert (reply.code, reply.out) == (0, ""), reply
    assert len(host.veths()) == 2       # c2, and the other network's
    assert host.add("c4")["ips"][0]["address"] == "10.244.1.2/24"
    assert set(host.held()) == {"c2", "c4"}
    shutil.rmtree(host.data_dir)
    assert host.call("GC", conf=host.conf(**{"cni.dev/valid-attachments": []})).code == 0
    assert len(host.veths()) == 1


# ---------------------------------------------------------------- GC that meets an error

def gc_conf(host, *valid, **more):
    return host.conf(**more, **{"cni.dev/valid-attachments": [
        {"containerID": container, "ifname": "eth0"} for container in valid]})


def inject(host, *what):
    """A prefix for a call; LeakSanitizer does not work in a traced process."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    return {"prefix": ["strace", "-qq", "-o", os.path.join(host.folder, "trace"),
                       *(part for one in what for part in ("-e", "inject=" + one))],
            "env": {"ASAN_OPTIONS": "detect_leaks=0"}}


@pytest.mark.parametrize("nth", range(1, 7))
def test_gc_goes_on_after_a_link_that_cannot_be_deleted_and_names_it(host, nth):
    """To look for a link and to delete it are a send each; one of the six fails."""
    host.add("stays")
    for container in ("c1", "c2", "c3"):
        host.add(container)
    before = host.held()
    reply = host.call("GC", conf=gc_conf(host, "stays"),
                      **inject(host, f"sendmsg:error=EPERM:when={nth}"))
    left = set(host.held()) - {"stays"}
    assert reply.error == KERNEL and len(left) == 1, reply
    container = left.pop()
    assert reply.json["msg"].count(" eth0: ") == 1
    assert f"{container} eth0: " in reply.json["msg"]
    assert "Operation not permitted" in reply.json["msg"]
    assert host.held() == {name: before[name] for name in ("stays", container)}
    assert len(host.veths()) == 2, "an address is given back when its link is gone"
    assert host.call("GC", conf=gc_conf(host, "stays")).code == 0
    assert set(host.held()) == {"stays"} and len(host.veths()) == 1


def test_gc_tells_of_all_links_that_cannot_be_deleted(host):
    for container in ("c1", "c2", "c3"):
        host.add(container)
    reply = host.call("GC", conf=gc_conf(host), **inject(host, "sendmsg:error=EPERM:when=1+2"))
    assert reply.error == KERNEL
    for container in ("c1", "c2", "c3"):
        assert f"{container} eth0: " in reply.json["msg"]
    assert set(host.held()) == {"c1", "c2", "c3"} and len(host.veths()) == 3


def test_gc_counts_what_one_message_cannot_hold(host):
    for i in range(12):
        host.add(f"container-{i}-" + "x" * 100)
    reply = host.call("GC", conf=gc_conf(host), **inject(host, "sendmsg:error=EPERM:when=1+"))
    told = reply.json["msg"].count(" eth0: ")
    assert reply.error == KERNEL and 1 <= told < 12
    assert f"; {12 - told} attachments more are left" in reply.json["msg"]


def test_gc_whose_time_is_over_gives_back_what_it_got_done(host):
    for container in ("c1", "c2", "c3"):
        host.add(container)
    reply = host.call("GC", conf=gc_conf(host), **inject(host, "sendmsg:error=EINTR:when=3"))
    assert reply.error == TRY_LATER, reply
    assert "the kernel took too long" in reply.json["msg"] and "no time left" in reply.json["msg"]
    assert len(host.held()) == len(host.veths()) == 2


def test_gc_of_a_store_that_cannot_be_written_removes_the_links_and_says_so(host):
    host.add("stays")
    for container in ("c1", "c2"):
        host.add(container)
    reply = host.call("GC", conf=gc_conf(host, "stays"),
                      **inject(host, "pwrite64:error=EIO:when=1+"))
    assert reply.error == IO and "Input/output error" in reply.json["msg"]
    assert len(host.veths()) == 1 and set(host.held()) == {"stays", "c1", "c2"}
    # Nor opened.
    for container in ("d1", "d2"):
        host.add(container)
    reply = host.call("GC", conf=gc_conf(host, "stays"), prefix=[*READ_ONLY, host.data_dir])
    assert reply.error == IO and "Read-only" in reply.json["msg"]
    assert len(host.veths()) == 1
    assert host.call("GC", conf=gc_conf(host, "stays")).code == 0
    assert set(host.held()) == {"stays"} and len(host.veths()) == 1


def test_gc_sweeps_a_link_that_was_cut_off_before_its_alias(host):
    host.add("c1")
    host.namespace.run("ip", "link", "set", host.veths()[0], "alias", "")
    host.namespace.run("ip", "link", "add", "rst00000000000", "type", "veth")
    assert host.call("GC", conf=gc_conf(host)).code == 0
    assert host.held() == {} and host.veths() == ["rst00000000000"], "not known to be ours"


# ---------------------------------------------------------------- STATUS

def assert_status_is_right(host, conf=None, **named):
    """STATUS says what ADD then does; whether it was good."""
    status = host.call("STATUS", conf=conf, **named)
    add = host.call("ADD", "probe", host.pod(), conf=conf, **named)
    assert (status.code == 0) == (add.code == 0), (status, add)
    if status.code == 0:
        return True
    assert status.error == UNAVAILABLE and status.json["msg"], status
    assert host.held().get("probe") is None
    return False


@pytest.mark.parametrize("store", ["there", "not yet there"])
def test_status_sees_that_the_store_is_on_a_read_only_disk(host, store):
    os.mkdir(host.data_dir)
    if store == "there":
        host.add("c1")
    reply = host.call("STATUS", prefix=[*READ_ONLY, host.data_dir])
    assert reply.error == UNAVAILABLE
    assert "Read-only file system" in reply.json["msg"] and host.data_dir in reply.json["msg"]
    assert not assert_status_is_right(host, prefix=[*READ_ONLY, host.data_dir])


@pytest.mark.parametrize("store", ["file", "folder", "not yet there"])
def test_status_sees_that_the_store_may_not_be_written(host, store):
    """Root without its usual right to overlook permissions, as in some containers."""
    os.mkdir(host.data_dir)
    locked = host.data_dir
    if store != "not yet there":
        host.add("c1")
        locked = path(host) if store == "file" else os.path.dirname(path(host))
    os.chmod(locked, 0o444 if store == "file" else 0o555)
    os.chown(locked, 65534, 65534)
    prefix = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    reply = host.call("STATUS", prefix=prefix)
    if store == "folder":
        assert reply.error == UNAVAILABLE
    else:
        assert not assert_status_is_right(host, prefix=prefix)
    assert "Permission denied" in reply.json["msg"] and host.data_dir in reply.json["msg"]
    assert assert_status_is_right(host)


# A disk of this size, with what is in the folder on it, and then full.
FULL = ["unshare", "-m", "sh", "-c",
        'cp -a "$0" "$0.was" && mount -t tmpfs -o "size=$1" tmpfs "$0" && cp -a "$0.was/." "$0" && '
        'rm -r "$0.was" && { cat /dev/zero >"$0/filler" 2>/dev/null; shift; exec "$@"; }']


@pytest.mark.parametrize("leases", [0, 1, 15, 16])
def test_status_sees_that_the_disk_is_full_when_a_lease_needs_room(host, leases):
    """The 16th slot is the first of a new page; all before it is there already."""
    if os.sysconf("SC_PAGE_SIZE") != 4096:
        pytest.skip("counts on pages of 4096 bytes")
    os.mkdir(host.data_dir)
    if leases:
        fill(path(host), leases, subnets=("10.244.1.0/24", "fd00:10:244:1::/64"))
    good = assert_status_is_right(host, prefix=[*FULL, host.data_dir, "32k"])
    assert good == (leases in (1, 16))
    reply = host.call("STATUS", prefix=[*FULL, host.data_dir, "32k"])
    if not good:
        assert "no space left" in reply.json["msg"] and host.data_dir in reply.json["msg"]


def test_status_does_not_mind_that_forwarding_is_off_for_add_switches_it_on(host):
    for name in ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"):
        host.namespace.set_sysctl(name, "0")
    assert assert_status_is_right(host)
    for name in ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"):
        assert host.namespace.sysctl(name) == "1"


@pytest.mark.parametrize("subnet, name", [
    ("10.244.1.0/24", "net/ipv4/ip_forward"),
    ("fd00:10:244:1::/64", "net/ipv6/conf/all/forwarding")])
def test_status_sees_that_forwarding_is_off_and_cannot_be_switched_on(host, subnet, name):
    host.namespace.set_sysctl(name, "0")
    conf, prefix = host.conf(subnets=[subnet]), ["unshare", "-m", "sh", "-c",
        'mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys && exec "$@"', "sh"]
    assert not assert_status_is_right(host, conf=conf, prefix=prefix)
    reply = host.call("STATUS", conf=conf, prefix=prefix)
    assert f"/proc/sys/{name}" in reply.json["msg"] and "Read-only" in reply.json["msg"]
    host.namespace.set_sysctl(name, "1")
    assert host.call("STATUS", conf=conf, prefix=prefix).code == 0


# ---------------------------------------------------------------- used up

def test_a_full_range_gets_back_what_has_had_no_link_for_five_minutes(full):
    one, conf = full
    for container in ("c1", "c3"):
        host_end = next(name for name, link in one.namespace.links().items()
                        if link.get("ifalias", "").startswith(f"roost pods {container} "))
        one.namespace.run("ip", "link", "delete", host_end)
    age(one, "c0", "c1", "c2", "c4")
    # c3 has no link either, but may be an ADD that is under way.
    assert one.call("STATUS", conf=conf).code == 0
    assert set(one.held()) == {"c0", "c1", "c2", "c3", "c4"}
    reply = one.call("ADD", "c5", one.pod(), conf=conf)
    assert reply.code == 0 and "reclaimed 1 " in reply.err
    assert reply.json["ips"][0]["address"] == "10.244.1.3/29"
    assert set(one.held()) == {"c0", "c2", "c3", "c4", "c5"}
    assert one.call("ADD", "c6", one.pod(), conf=conf).error == TRY_LATER
    assert one.call("STATUS", conf=conf).error == UNAVAILABLE
    one.delete("c1", conf=conf)
    assert one.held()["c5"] == ("10.244.1.3",)


def test_a_24_full_and_churned_leaks_nothing():
    count = 60 if is_sanitized(find_plugin()) else 253
    with Host() as one:
        conf = one.conf(subnets=["10.244.1.0/24" if count == 253 else "10.244.1.0/26"])
        spare = 0
        while one.call("STATUS", conf=conf).code == 0:
            one.add(f"c{spare}", conf=conf)
            spare += 1
        assert spare >= count
        live = {f"c{i}": one.pods[i] for i in range(spare)}
        everything = {a for pair in one.held().values() for a in pair}
        size = os.path.getsize(path(one))
        draw = random.Random(3)
        for i in range(spare):
            old = draw.choice(sorted(live))
            pod = live.pop(old)
            freed = one.held()[old]
            one.delete(old, pod, conf=conf)
            live[f"d{i}"] = pod
            result = one.add(f"d{i}", pod, conf=conf)
            assert result["ips"][0]["address"].startswith(freed[0] + "/")
            assert one.call("ADD", "more", one.pods[0], ifname="net9",
                            conf=conf).error == TRY_LATER
        assert {a for pair in one.held().values() for a in pair} == everything
        assert set(one.held()) == set(live)
        assert len(one.veths()) == spare and os.path.getsize(path(one)) == size
        for names in (sorted(live)[i:i + 25] for i in range(0, spare, 25)):
            running = [one.start("DEL", name, live[name], conf=conf) for name in names]
            assert not [r for r in map(one.finish, running) if r.code]
        one.assert_nothing_left()
        assert one.namespace.routes().keys() <= {"10.244.1.0/24", "10.244.1.0/26"}


# ---------------------------------------------------------------- moved over from host-local

def host_local(host, **records):
    """A folder as host-local keeps it; {"a10_244_1_2": "c1"} or with the interface."""
    folder = os.path.join(host.folder, "networks", "pods")
    os.makedirs(folder, exist_ok=True)
    for address, text in records.items():
        with open(os.path.join(folder, address[1:].replace("__", ":").replace("_", ".")),
                  "w", newline="") as file:
            file.write(text)
    return folder


def test_a_host_local_folder_is_imported_once_and_left_as_it_is(host):
    folder = host_local(
        host, a10_244_1_2="c1\r\neth0", a10_244_1_4="c2\r\neth0", a10_244_1_5="c3",
        afd00__10__244__1____2="c1\r\neth0", lock="", alast_reserved_ip_0="10.244.1.5",
        a10_244_1_6="")
    before = sorted(os.listdir(folder))
    conf = host.conf(ipam={"importDir": folder})
    assert host.call("STATUS", conf=conf).code == 0 and not os.path.exists(host.data_dir)
    reply = host.call("ADD", "n1", host.pod(), conf=conf)
    assert reply.code == 0 and "3 records of host-local" in reply.err, reply
    assert [ip["address"] for ip in reply.json["ips"]] == ["10.244.1.3/24",
                                                          "fd00:10:244:1::3/64"]
    assert {name: set(pair) for name, pair in host.held().items()} == {
        "c1": {"10.244.1.2", "fd00:10:244:1::2"}, "c2": {"10.244.1.4"}, "c3": {"10.244.1.5"},
        "n1": {"10.244.1.3", "fd00:10:244:1::3"}}
    host.delete("c1", conf=conf)
    host.delete("c3", conf=conf)
    assert set(host.held()) == {"c2", "n1"}
    assert not said(host.call("ADD", "n2", host.pod(), conf=conf))
    assert sorted(os.listdir(folder)) == before
    # Damage does not bring back what was given back.
    damage(host, 3, b"\xff")
    host.add("n3", conf=conf)
    assert set(host.held()) == {"c2", "n1", "n2", "n3"}
    assert host.call("GC", conf={**conf, "cni.dev/valid-attachments": []}).code == 0
    host.assert_nothing_left()


@pytest.mark.parametrize("command", ["DEL", "GC"])
def test_a_pod_that_goes_before_the_first_add_is_not_imported_later(host, command):
    folder = host_local(host, a10_244_1_2="c1\r\neth0", a10_244_1_3="c2\r\neth0")
    conf = host.conf(ipam={"importDir": folder})
    if command == "DEL":
        host.delete("c1", conf=conf)
    else:
        valid = [{"containerID": "c2", "ifname": "eth0"}]
        assert host.call("GC", conf={**conf, "cni.dev/valid-attachments": valid}).code == 0
    assert host.held() == {"c2": ("10.244.1.3",)}
    host.add("n1", conf=conf)
    assert set(host.held()) == {"c2", "n1"}


def test_the_folder_of_the_same_network_is_found_by_itself(host):
    folder = host_local(host, a10_244_1_2="c1\r\neth0")
    beside = ["unshare", "-m", "sh", "-c",
              'mkdir -p /var/lib && mount -t tmpfs tmpfs /var/lib && mkdir -p /var/lib/cni && '
              'cp -R "$0" /var/lib/cni/ && exec "$@"', os.path.dirname(folder)]
    assert host.add("n1", prefix=beside)["ips"][0]["address"] == "10.244.1.3/24"
    shutil.rmtree(host.data_dir)
    host.namespace.run("ip", "link", "delete", host.veths()[0])
    assert host.add("n2", prefix=beside, conf=host.conf(ipam={"importDir": ""})) \
        ["ips"][0]["address"] == "10.244.1.2/24"


def test_an_imported_pod_is_never_taken_for_gone(host):
    """It has no link of ours, however old it is."""
    folder = host_local(host, a10_244_1_2="c1\r\neth0")
    conf = host.conf(subnets=["10.244.1.0/29"], ipam={"importDir": folder})
    for i in range(4):
        host.add(f"n{i}", conf=conf)
    age(host, "c1", "n0", "n1", "n2", "n3")
    assert host.call("ADD", "n4", host.pod(), conf=conf).error == TRY_LATER
    assert set(host.held()) == {"c1", "n0", "n1", "n2", "n3"}


def test_a_pod_with_more_addresses_than_a_lease_has_is_imported_and_released_whole(host):
    folder = host_local(host, **{f"a10_244_1_{i}": "c1\r\neth0" for i in range(2, 8)})
    conf = host.conf(ipam={"importDir": folder})
    assert host.add("n1", conf=conf)["ips"][0]["address"] == "10.244.1.8/24"
    host.delete("c1", conf=conf)
    assert set(host.held()) == {"n1"}


def test_a_record_that_cannot_be_understood_stops_the_import(host):
    folder = host_local(host, a10_244_1_2="c" * 200)
    conf = host.conf(ipam={"importDir": folder})
    reply = host.call("ADD", "n1", host.pod(), conf=conf)
    assert reply.error == IO and "10.244.1.2" in reply.json["msg"]
    assert host.call("STATUS", conf=conf).error == UNAVAILABLE
    assert host.call("ADD", "n1", host.pod(),
                     conf=host.conf(ipam={"importDir": "relative"})).error == CONFIG
