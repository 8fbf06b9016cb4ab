# SPDX-License-Identifier: GPL-2.0-or-later
"""A table of faults: each is made on one lab's node1, named by the command in its row in
the words in its row, and taken back.  An API server that goes away later is
test_kube_nodes.py's."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess

import pytest
from cluster import status, wait_healthy
from kubefiles import kubeconfig

from roostlab import wait_until

OTHERS_PODS = "10.244.2.0/24"
FAULTS = {}             # function: [(command, words)]


def fault(command, *words):
    """What `roostctl COMMAND` says when the function's yield is reached.  Of doctor it is
    the line of one check, "doctor MTU", and it must be a failure."""
    def add(function):
        FAULTS.setdefault(function, []).append((command, words))
        return function
    return add


@contextlib.contextmanager
def made(function, lab):
    """Up to its yield; and in any case on from there."""
    steps = function(lab)
    next(steps)
    try:
        yield
    finally:
        next(steps, None)


def doctor(node, *argv):
    return {row["check"]: row for row in
            json.loads(node.roostctl("-o", "json", "doctor", *argv).stdout)}


def says(node, command):
    if command.startswith("doctor "):
        row = doctor(node)[command.split(" ", 1)[1]]
        return f"{row['seen']} -> {row['advice']}" if row["result"] == "FAIL" else ""
    done = node.roostctl(*command.split())
    return done.stdout if done.returncode == 1 else ""


@contextlib.contextmanager
def file_of(node, path, text, mode="0644"):
    node.exec(["sh", "-c", f"mkdir -p $(dirname {path}) && cat > {path} && chmod {mode} {path}"],
              input=text)
    try:
        yield
    finally:
        node.exec(["rm", path])


@contextlib.contextmanager
def config_of(node, text):
    before = node.read_config()
    node.write_config(text)
    try:
        yield
    finally:
        node.write_config(before)


@contextlib.contextmanager
def process_on(node, argv):
    """The namespaces' own init must not keep it: its group is killed."""
    process = subprocess.Popen(node.inside(argv), start_new_session=True,
                               stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "ready\n"
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def router_with(lab, old, new, configure=True):
    path = lab.tor.path("etc/bird/bird.conf")
    with open(path, encoding="utf-8") as stream:
        before = stream.read()
    assert old in before

    def write(text):
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(text)
        if configure:
            lab.tor.birdc("configure")
    write(before.replace(old, new))
    try:
        yield
    finally:
        write(before)


# ---------------------------------------------------------------- routes

@fault("routes", "a route that is not BIRD's is in the way",
       f"ip -4 route del {OTHERS_PODS} via 192.168.1.13 proto static metric 5")
def a_static_route_in_the_way(lab):
    route = [OTHERS_PODS, "via", "192.168.1.13", "proto", "static", "metric", "5"]
    lab.node("node1").exec(["ip", "route", "add", *route])
    yield
    lab.node("node1").exec(["ip", "route", "del", *route])


@fault("doctor routes", "leads into the cluster's podCIDRs: 10.244.2.128/25 via 192.168.1.13",
       "ip route del")
def a_static_route_that_takes_some_of_it(lab):
    lab.node("node1").exec(["ip", "route", "add", "10.244.2.128/25", "via", "192.168.1.13"])
    yield
    lab.node("node1").exec(["ip", "route", "del", "10.244.2.128/25"])


# ---------------------------------------------------------------- the machine

@fault("status", "net.ipv4.ip_forward is 0: packets of pods are not forwarded")
@fault("doctor forwarding", "net.ipv4.ip_forward is 0", "sysctl net.ipv4.ip_forward=1")
def forwarding_is_off(lab):
    lab.node("node1").exec(["sysctl", "-qw", "net.ipv4.ip_forward=0"])
    yield
    lab.node("node1").exec(["sysctl", "-qw", "net.ipv4.ip_forward=1"])


@fault("doctor MTU", "pods have an MTU of 1500", "eth0 one of 1400", "large packets are lost")
def the_uplink_has_a_smaller_mtu(lab):
    lab.node("node1").exec(["ip", "link", "set", "eth0", "mtu", "1400"])
    yield
    lab.node("node1").exec(["ip", "link", "set", "eth0", "mtu", "1500"])


@fault("doctor duplicate", "192.168.1.11 is in use by another machine as well", "MAC")
def another_machine_has_the_address(lab):
    """One that says nothing until it is asked, and is no neighbour of anybody's."""
    other = lab.node("node3")
    other.exec(["ip", "address", "add", "192.168.1.11/32", "dev", "lo"])
    yield
    other.exec(["ip", "address", "del", "192.168.1.11/32", "dev", "lo"])


@fault("doctor firewall", "a rule drops or rejects TCP port 179", "let the nodes and routers through")
def a_firewall_drops_bgp(lab):
    node = lab.node("node1")
    node.exec(["nft", "add table inet f; add chain inet f i { type filter hook input priority 0; }; "
               "add rule inet f i tcp dport 179 drop"])
    yield
    node.exec(["nft", "delete table inet f"])


@fault("doctor clock", "it is before this roostctl was built", "run an NTP client")
def the_clock_has_jumped_back(lab):
    """A machine's clock is not one test's to set: roostctl is of the future instead."""
    node = lab.node("node1")
    node.exec(["cp", "/run/lab/bin/roostctl", "/run/roostctl"])
    node.exec(["touch", "-d", "2100-01-01", "/run/roostctl"])
    node.exec(["mount", "--bind", "/run/roostctl", "/run/lab/bin/roostctl"])
    yield
    node.exec(["umount", "/run/lab/bin/roostctl"])
    node.exec(["rm", "/run/roostctl"])


@fault("doctor disk", "/var/lib/roost: 0 kB are free", "no change can be written")
@fault("status", "No space left on device")
def the_disk_is_full(lab):
    """/var/lib/roost as a file system of its own that has no room for one more file."""
    node = lab.node("node1")
    node.exec(["sh", "-ec", """
        mkdir -p /run/full
        mount -t tmpfs -o size=1m tmpfs /run/full
        cp -a /var/lib/roost/. /run/full
        chown --reference=/var/lib/roost /run/full; chmod --reference=/var/lib/roost /run/full
        mount --move /run/full /var/lib/roost 2>/dev/null || mount --bind /run/full /var/lib/roost
        dd if=/dev/zero of=/var/lib/roost/fill bs=4096 2>/dev/null || true
    """])
    with config_of(node, lab.config(extra="session: {holdTime: 91}\n")):
        yield
    node.exec(["sh", "-c", "umount -l /var/lib/roost; umount -l /run/full 2>/dev/null; rmdir /run/full"])


# ---------------------------------------------------------------- BIRD

@fault("explain 10.244.3.2", "BROKEN  session     node3:v4 is ")
@fault("status", "sessions are down: node3:v4, ")
def a_neighbour_is_down(lab):
    lab.node("node3").stop_bird()
    yield
    lab.node("node3").start_bird()


@fault("status", "BIRD: /run/bird/bird.ctl: ")
@fault("doctor BIRD", "no bird runs", "systemctl enable --now bird")
def bird_is_stopped(lab):
    lab.node("node1").stop_bird()
    yield
    lab.node("node1").start_bird()


@fault("status", "BIRD does not answer")
def bird_hangs(lab):
    lab.node("node1").kill_service("bird", signal.SIGSTOP)
    yield
    lab.node("node1").kill_service("bird", signal.SIGCONT)


@fault("doctor open files", "BIRD may open 66 files, and 3 sessions need about 67", "LimitNOFILE")
def bird_may_open_few_files(lab):
    node = lab.node("node1")
    argv = node.services()["bird"]["argv"]
    node.change_service("bird", argv=["sh", "-c", 'ulimit -n 66; exec "$@"', "sh", *argv])
    node.restart_bird()
    yield
    node.change_service("bird", argv=argv)
    node.restart_bird()


@fault("doctor port 179", "TCP port 179 is taken by python3", "restart BIRD")
def another_process_has_port_179(lab):
    node = lab.node("node1")
    node.stop_bird()
    with process_on(node, ["/usr/bin/python3", "-c",
                           "import socket, time; s = socket.create_server(('', 179)); "
                           "print('ready', flush=True); time.sleep(600)"]):
        node.start_bird()
        yield
        node.stop_bird()
    node.start_bird()


@fault("status", "tor:peer, ", "Bad peer AS")
def the_router_expects_another_as(lab):
    with router_with(lab, "local as 65001", "local as 65009"):
        yield


@fault("status", "node3:v4, ", "Bad BGP identifier; it has this node's router id")
def another_node_has_its_router_id(lab):
    """Not by the file, of which roostd would undo the change."""
    other = lab.node("node3")
    other.stop_roostd()
    with file_of(other, "/var/lib/roost/bird/clash.conf",
                 'include "bird.conf";\nrouter id 192.168.1.11;\n'):
        other.birdc('configure "/var/lib/roost/bird/clash.conf"')
        yield
    other.birdc("configure")
    other.start_roostd()


@fault("doctor secrets", "/etc/roost/secret has mode 0644",
       "chgrp roost /etc/roost/secret && chmod 0640 /etc/roost/secret")
@fault("status", "tor:peer, ", "no answer, as if the password was another one there")
def the_router_has_another_password(lab):
    """The session is down when the password comes: else the change would be undone."""
    node = lab.node("node1")
    text = node.read_config().replace("asNumber: 65001", "asNumber: 65001\n"
                                      "    passwordFile: /etc/roost/secret")
    before = status(node)["configuration"]["generation"]
    with contextlib.ExitStack() as undo:
        undo.enter_context(file_of(node, "/etc/roost/secret", "one", "0644"))
        undo.callback(lab.tor.start_service, "bird")
        lab.tor.stop_service("bird")
        undo.enter_context(router_with(lab, "local as 65001;", 'local as 65001;\n\tpassword "two";', False))
        with config_of(node, text):
            wait_until(lambda: status(node)["configuration"]["generation"] > before, 30, "BIRD has the password")
            lab.tor.start_service("bird")
            yield
            lab.tor.stop_service("bird")
        wait_until(lambda: status(node)["configuration"]["lastOutcome"] == "confirmed"
                   and not status(node)["configuration"]["applying"], 30, "it is taken back")


@fault("status", "BGP is up, and BFD is ", "UDP port 3784 does not get through")
def bfd_is_blocked_and_bgp_is_not(lab):
    node = lab.node("node1")
    with config_of(node, lab.config(extra="session: {bfd: true}\n")):
        yield


# ---------------------------------------------------------------- files

@fault("status", "bird.d/mine.conf:1:", "syntax error")
@fault("doctor configuration", "BIRD would refuse the configuration: bird.d/mine.conf:1:")
def a_snippet_is_broken(lab):
    node = lab.node("node1")
    with file_of(node, "/etc/roost/bird.d/mine.conf", "protocol nonsense { }\n"):
        yield


@fault("status", "common.conf:1:", "syntax error")
@fault("doctor configuration", "common.conf:1:", "/etc/roost/bird-templates/")
def a_template_is_broken(lab):
    node = lab.node("node1")
    with file_of(node, "/etc/roost/bird-templates/common.conf", "timeformat {\n"):
        yield


@fault("status", "roost.yaml:3:", "unknown key")
@fault("doctor file", "roost.yaml:3:", "roostctl check")
def the_file_is_wrong(lab):
    node = lab.node("node1")
    lines = node.read_config().splitlines()
    with config_of(node, "\n".join(lines[:2] + ["  colour: blue"] + lines[2:]) + "\n"):
        yield


@fault("status", "with an address outside this node's podCIDRs, such as 10.244.1.2",
       "must be made anew")
def the_pod_cidr_changed_under_a_pod(lab):
    node = lab.node("node1")
    with config_of(node, lab.config().replace("10.244.1.0/24", "10.244.101.0/24")):
        yield


@fault("status", "kubernetes: ", "192.168.1.1:6443", "refused")
def the_api_server_is_away(lab):
    """From the beginning: with Nodes known once, all stays as it was."""
    node = lab.node("node1")
    with file_of(node, "/etc/roost/kubeconfig", kubeconfig("https://192.168.1.1:6443")):
        with config_of(node, re.sub(r"\nnodes:\n( .*\n)+", "\nkubernetes: {kubeconfig: /etc/roost/kubeconfig}\n",
                                    node.read_config())):
            yield


@fault("doctor readable", "cannot read /etc/roost/roost.yaml: mode 0600")
def the_file_is_roots_alone(lab):
    os.chmod(lab.node("node1").config_path, 0o600)
    yield
    os.chmod(lab.node("node1").config_path, 0o644)


@fault("doctor sockets", "BIRD's control socket is open to everybody")
def everybody_may_rule_bird(lab):
    lab.node("node1").exec(["chmod", "666", "/run/bird/bird.ctl"])
    yield
    lab.node("node1").exec(["chmod", "660", "/run/bird/bird.ctl"])


# ---------------------------------------------------------------- pods

@fault("doctor bridge", "roost0 has no address of this node's podCIDRs: pods have no gateway")
def the_bridge_has_no_address(lab):
    node = lab.node("node1")
    node.exec(["ip", "address", "del", "10.244.1.1/24", "dev", "roost0"])
    yield
    node.exec(["ip", "address", "add", "10.244.1.1/24", "dev", "roost0"])


@fault("doctor conflist", "05-other.conflist wins over 10-roost.conflist", "move it away")
def another_network_wins(lab):
    with file_of(lab.node("node1"), "/etc/cni/net.d/05-other.conflist", "{}\n"):
        yield


@fault("doctor leases", "the lease store is damaged: ", "/run/roost/ipam/roost/leases")
def the_lease_store_is_damaged(lab):
    node = lab.node("node1")
    store = node.path("root/run/roost/ipam/roost/leases")
    shutil.copyfile(store, store + ".kept")
    with open(store, "r+b") as stream:
        stream.seek(300)        # in the first lease
        stream.write(b"\xff" * 64)
    yield
    with open(store + ".kept", "rb") as kept, open(store, "r+b") as stream:
        stream.write(kept.read())
    os.unlink(store + ".kept")


# ---------------------------------------------------------------- the test

@pytest.fixture(scope="module")
def table_lab(make_lab):
    lab = make_lab(nodes=3, tor="bird", pods=1)
    for node in lab.nodes.values():
        wait_healthy(node)
    return lab


def settled(lab):
    for node in lab.nodes.values():
        wait_healthy(node, 60)


def test_a_healthy_node_fails_in_nothing_but_what_the_lab_lacks(table_lab):
    settled(table_lab)
    found = doctor(table_lab.node("node1"))
    # The lab's runtime has the plugin elsewhere than in /opt/cni/bin.
    assert [name for name, row in found.items() if row["result"] == "FAIL"] in ([], ["plugin"]), found
    assert found["roostd"]["seen"] == "answers, and is content"
    assert found["BIRD's start"]["seen"] == "with -R and Roost's bird.conf"
    assert found["port 179"]["seen"] == "TCP port 179 is BIRD's"
    assert found["duplicate"]["result"] == found["configuration"]["result"] == "ok", found
    assert doctor(table_lab.node("node1"), "--node", "nodeX")["node"]["seen"].startswith(
        "this is nodeX, and no node of that name")


def test_doctor_changes_nothing_and_works_before_anything_is_there(table_lab):
    node = table_lab.node("node1")
    tree = "find /etc/roost /var/lib/roost /run/roost -newer /run/doctor | sort"
    node.exec(["touch", "/run/doctor"])
    before = (node.exec(["sh", "-c", tree]).stdout, node.exec(["nft", "list", "ruleset"]).stdout)
    done = node.roostctl("doctor")
    assert (node.exec(["sh", "-c", tree]).stdout, node.exec(["nft", "list", "ruleset"]).stdout) == before
    assert done.stdout.splitlines()[-1].endswith(" failed")
    done = node.exec([node.roostctl("--version").args[-2], "-s", "/none", "doctor", "/none.yaml"],
                     check=False)
    assert done.returncode == 1 and "/none.yaml: No such file or directory" in done.stdout
    assert not done.stderr


@pytest.mark.parametrize("function", FAULTS, ids=lambda function: function.__name__)
def test_fault(table_lab, function):
    node = table_lab.node("node1")
    settled(table_lab)
    with made(function, table_lab):
        for command, words in FAULTS[function]:
            said = []
            wait_until(lambda: said.append(says(node, command))
                       or all(word in said[-1] for word in words), 40,
                       lambda: f"roostctl {command} says {words}: {said[-1]}")
    settled(table_lab)


def test_a_route_deleted_by_hand_is_told_of_when_it_is_back(table_lab):
    node = table_lab.node("node1")
    settled(table_lab)
    seen = status(node)["drift"]["seen"]
    for _ in range(3):          # BIRD's own look, every 10 s, may be just then
        node.exec(["ip", "route", "del", OTHERS_PODS])
        wait_until(lambda: node.has_route(OTHERS_PODS, "192.168.1.12"), 20, "it is back")
        settled(table_lab)
        if status(node)["drift"]["seen"] > seen:
            break
    assert f"{OTHERS_PODS}: not in the kernel" in node.roostctl().stdout
    assert status(node)["drift"]["seen"] > seen
