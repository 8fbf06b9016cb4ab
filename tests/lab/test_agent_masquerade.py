# SPDX-License-Identifier: GPL-2.0-or-later
"""cni.masquerade on the real thing: who sees whose address, and one table that is kept."""

import json
import re
import shutil
import signal
import subprocess
import threading

import pytest
from cluster import loads, metric, roostd_log, running_id, since, status, wait_healthy

from roostlab import Pinger, wait_until
from roostlab.addresses import OUTSIDE, OUTSIDE_NET
from roostlab.node import CAPABILITIES

pytestmark = pytest.mark.skipif(not shutil.which("nft"), reason="needs nft (apt-get install nftables)")

FAMILIES = (4, 6)
TABLE = ["nft", "list", "table", "inet", "roost"]

# Tells each client whose address it sees, then echoes.
SERVER = """
import socket, sys, threading
def serve(peer, address):
    peer.sendall((address[0] + "\\n").encode())
    while data := peer.recv(100):
        peer.sendall(data)
    peer.close()
def accept(server):
    while True:
        threading.Thread(target=serve, args=server.accept(), daemon=True).start()
servers = [socket.create_server((host, 7000), family=family)
           for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::"))]
for server in servers:
    threading.Thread(target=accept, args=[server], daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
"""

# Connects to argv[1] again and again until its stdin is closed; prints whom it was seen as.
# Closed by a reset: a port in TIME_WAIT for each would be all ports within a minute.
HAMMER = """
import select, socket, struct, sys
while not select.select([sys.stdin], [], [], 0)[0]:
    with socket.create_connection((sys.argv[1], 7000), 5) as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        print(peer.makefile().readline().strip(), flush=True)
"""

# One connection; each line of stdin goes there and back.
FLOW = """
import socket, sys
peer = socket.create_connection((sys.argv[1], 7000), 5)
peer.settimeout(10)
stream = peer.makefile("rw")
print(stream.readline().strip(), flush=True)
for line in sys.stdin:
    stream.write(line)
    stream.flush()
    print(stream.readline().strip(), flush=True)
"""


class Script:
    """A Python script in a network namespace, spoken to by lines."""

    def __init__(self, netns, source, *argv):
        self.process = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{netns}", "/usr/bin/python3", "-c", source, *argv],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def read(self):
        return self.process.stdout.readline().rstrip("\n")

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.read()
        self.process.wait(10)


class Hammer(Script):
    """New connections all the time; `seen` are the addresses they came from."""

    def __init__(self, netns, address):
        super().__init__(netns, HAMMER, address)
        self.seen = []
        self.reader = threading.Thread(target=self._read_all, daemon=True)
        self.reader.start()
        wait_until(lambda: len(self.seen) > 3, 10, "connections come")

    def _read_all(self):
        for line in self.process.stdout:
            self.seen.append(line.strip())

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(10)
        self.reader.join(10)


def masquerade(enabled=True, *exceptions):
    listed = ", ".join(f'"{prefix}"' for prefix in exceptions)
    return f"cni: {{masquerade: {{enabled: {str(enabled).lower()}, except: [{listed}]}}}}\n"


def table(node):
    """Our table as nft lists it, "" when there is none."""
    return node.exec(TABLE, check=False).stdout


def state(node):
    return status(node).get("masquerade", {}).get("state")


def tell(lab, text, has=None, lacks=None):
    """The file on every node; waits until every node has made its turn, and its table is
    what comes of the file."""
    read = {node.name: loads(node) for node in lab.nodes.values()}
    lab.write_config(lab.config(extra=text))
    for node in lab.nodes.values():
        wait_until(lambda: loads(node) > read[node.name]
                   and not status(node)["configuration"]["applying"], 20,
                   f"{node.name} has read the file")
        wait_until(lambda: (has is None or has in table(node))
                   and (lacks is None or lacks not in table(node)), 20,
                   lambda: f"{node.name}'s table is as the file says: {table(node)}")
        wait_healthy(node)


def turn(node):
    """One turn, from its beginning to its end."""
    node.roostctl("apply")


def settled(node):
    """Until what roostd heard of its own writing is dealt with: no turn is due."""
    seen = []

    def quiet():
        seen.append(loads(node))
        return len(seen) > 10 and len(set(seen[-10:])) == 1
    wait_until(quiet, 20, "turns come to an end")


def seen_as(lab, pod, address):
    """The source address that a server at `address` sees of a connection from the pod."""
    with Script(pod.netns, FLOW, address) as flow:
        return flow.read()


@pytest.fixture(scope="module")
def lab(make_lab):
    """Two nodes with a pod each, both families, and servers in the pods and outside."""
    lab = make_lab(nodes=2, tor="bird", pods=1, ipv6=True)
    servers = [Script(netns, SERVER) for netns in
               [lab.outside_netns, *(pod.netns for pod in lab.pods.values())]]
    for server in servers:
        assert server.read() == "ready"
    for node in lab.nodes.values():
        wait_healthy(node)
    yield lab
    for server in servers:
        server.__exit__()


@pytest.fixture
def on(lab):
    """Masquerading is on, on every node, with no exceptions."""
    tell(lab, masquerade(), has="@own4", lacks="198.51.100.0")
    return lab


def one(lab):
    return lab.pod("node1-pod1")


def other(lab):
    return lab.pod("node2-pod1")


# -- who sees whose address ----------------------------------------------------

@pytest.mark.parametrize("family", FAMILIES)
def test_without_a_word_of_it_pods_keep_their_addresses_and_there_is_no_table(lab, family):
    tell(lab, "", lacks="table")
    pod, node = one(lab), lab.node("node1")
    assert seen_as(lab, pod, OUTSIDE[family]) == pod.addresses[family]
    assert node.exec(["nft", "list", "tables"]).stdout == ""
    assert state(node) == "off"
    assert "masquerade" not in node.roostctl("status").stdout


@pytest.mark.parametrize("family", FAMILIES)
def test_outside_sees_the_nodes_address(on, family):
    for pod, node in ((one(on), on.node("node1")), (other(on), on.node("node2"))):
        assert seen_as(on, pod, OUTSIDE[family]) == node.addresses.address[family]
        assert state(node) == "on"
        assert metric(node, "roost_masquerade_ok") == 1
        assert "masquerade     on, nftables table inet roost" in node.roostctl("status").stdout


@pytest.mark.parametrize("family", FAMILIES)
def test_pods_of_all_nodes_see_each_others_addresses(on, family):
    neighbour = on.add_pod("node1", "neighbour")
    with Script(neighbour.netns, SERVER) as server:
        assert server.read() == "ready"
        for source, target in ((one(on), other(on)), (other(on), one(on)), (one(on), neighbour)):
            assert seen_as(on, source, target.addresses[family]) == source.addresses[family]
    on.del_pod("neighbour")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_pods_own_node_sees_the_pods_address(on, family):
    node, pod = on.node("node1"), one(on)
    with Script(node.netns, SERVER) as server:
        assert server.read() == "ready"
        assert seen_as(on, pod, node.addresses.address[family]) == pod.addresses[family]


@pytest.mark.parametrize("family", FAMILIES)
def test_who_connects_to_a_pod_from_outside_talks_to_the_pods_address(on, family):
    pod = one(on)
    with Script(on.outside_netns, FLOW, pod.addresses[family]) as flow:
        assert flow.read() == OUTSIDE[family]
        assert flow.ask("hello") == "hello"


@pytest.mark.parametrize("family", FAMILIES)
def test_an_exception_is_reached_with_the_pods_address_and_only_its_family(on, family):
    tell(on, masquerade(True, OUTSIDE_NET[family]), has=OUTSIDE_NET[family])
    pod = one(on)
    assert seen_as(on, pod, OUTSIDE[family]) == pod.addresses[family]
    sibling = 10 - family
    assert seen_as(on, pod, OUTSIDE[sibling]) == on.node("node1").addresses.address[sibling]


def test_except_everything_of_a_family_takes_its_rule_and_sets_away(on):
    tell(on, masquerade(True, "0.0.0.0/0"), lacks="own4")
    pod = one(on)
    assert "own6" in table(on.node("node1"))
    assert seen_as(on, pod, OUTSIDE[4]) == pod.addresses[4]
    assert seen_as(on, pod, OUTSIDE[6]) == on.node("node1").addresses.address[6]
    tell(on, masquerade(True, "0.0.0.0/0", "::/0"), lacks="table")
    assert state(on.node("node1")) == "idle"


def test_routed_pods_are_masqueraded_too(make_fresh_lab):
    lab = make_fresh_lab(nodes=2, tor="bird", ipv6=True)
    lab.write_config(lab.config(extra="cni: {mode: routed, masquerade: {enabled: true}}\n"))
    for node in lab.nodes.values():
        wait_until(lambda: "own4" in table(node) and '"routed"' in node.exec(
            ["cat", "/run/roost/node.json"]).stdout, 20, f"{node.name} has read the file")
    source, target = lab.add_pod("node1"), lab.add_pod("node2")
    with Script(lab.outside_netns, SERVER) as outside, Script(target.netns, SERVER) as inside:
        assert (outside.read(), inside.read()) == ("ready", "ready")
        for family in FAMILIES:
            assert seen_as(lab, source, OUTSIDE[family]) == lab.node("node1").addresses.address[family]
            assert seen_as(lab, source, target.addresses[family]) == source.addresses[family]


# -- the table -----------------------------------------------------------------

def test_the_table_is_what_render_prints(on):
    tell(on, masquerade(True, "198.51.100.0/25", "198.51.100.128/25", "198.51.100.7/32",
                        "198.51.101.0/24", "203.0.113.0/24", "203.0.114.0/23", "10.244.7.0/24",
                        "2001:db8::/33", "2001:db8:8000::/33", "2001:db9::/32"),
         has="203.0.113.0-203.0.115.255")
    node = on.node("node1")
    rendered = node.roostctl("render").stdout
    want = rendered[rendered.index("# ---- masquerade.nft"):].split("\n", 1)[1]
    assert want.split() == table(node).split()
    assert "198.51.100.0/23" in want and "2001:db8::/31" in want and "10.244.7" not in want


def test_pods_change_nothing_in_it(on):
    node = on.node("node1")
    before = table(node)
    pods = [on.add_pod("node1", f"more{n}") for n in range(3)]
    turn(node)
    assert table(node) == before
    assert seen_as(on, pods[2], OUTSIDE[4]) == node.addresses.address[4]
    for pod in pods:
        on.del_pod(pod.name)


def test_what_is_right_is_not_written_again(on):
    """Neither at the next turn nor by the next roostd."""
    node = on.node("node1")
    handles = node.exec(["nft", "-a", *TABLE[1:]]).stdout
    writes = metric(node, "roost_masquerade_writes_total")
    turn(node)
    assert metric(node, "roost_masquerade_writes_total") == writes
    node.kill_roostd(signal.SIGKILL)
    wait_until(lambda: state(node) == "on", 20, "the next roostd has looked")
    wait_healthy(node)
    assert metric(node, "roost_masquerade_writes_total") == 0
    assert node.exec(["nft", "-a", *TABLE[1:]]).stdout == handles


FOREIGN = """
table inet roost-not-ours { comment "named alike"
	chain c { type nat hook postrouting priority srcnat - 1; counter; }
}
table ip roost { set own4 { type ipv4_addr; elements = { 192.0.2.1 }; }
	chain postrouting { ip saddr @own4 drop; }
}
table inet aroost { chain c { type filter hook forward priority 0; policy accept; }
}
"""
FOREIGN_TABLES = (["inet", "roost-not-ours"], ["ip", "roost"], ["inet", "aroost"])


def foreign(node):
    return [node.exec(["nft", "-s", "-a", "list", "table", *name]).stdout for name in FOREIGN_TABLES]


def test_other_peoples_tables_stay_untouched(on):
    node = on.node("node1")
    node.exec(["nft", "-f", "-"], input=FOREIGN)
    try:
        before = foreign(node)
        for text, wish in ((masquerade(True, "198.51.100.0/24"), dict(has="198.51.100.0")),
                           (masquerade(False), dict(lacks="table")),
                           (masquerade(), dict(has="own4"))):
            tell(on, text, **wish)
            assert foreign(node) == before
        node.kill_roostd(signal.SIGKILL)
        wait_until(lambda: state(node) == "on", 20, "the next roostd has looked")
        assert foreign(node) == before
    finally:
        for name in FOREIGN_TABLES:
            node.exec(["nft", "delete", "table", *name])


def test_a_change_costs_no_packet_and_leaves_no_moment_without_rules(on):
    """Pings and a connection go on, and each of many new connections is masqueraded."""
    node, pod = on.node("node1"), one(on)
    with Pinger(pod.netns, OUTSIDE[4]) as out, Pinger(pod.netns, other(on).address) as across, \
            Script(pod.netns, FLOW, OUTSIDE[4]) as flow4, \
            Script(pod.netns, FLOW, OUTSIDE[6]) as flow6, \
            Hammer(pod.netns, OUTSIDE[4]) as hammer:
        assert flow4.read() == node.addresses.address[4]
        assert flow6.read() == node.addresses.address[6]
        for number in range(10):
            tell(on, masquerade(True, f"198.51.100.{number}/32"), has=f"198.51.100.{number},")
            assert (flow4.ask(f"a{number}"), flow6.ask(f"b{number}")) == (f"a{number}", f"b{number}")
    assert (out.stop(), across.stop()) == (0, 0)
    assert set(hammer.seen) == {node.addresses.address[4]}
    print(f"10 changes: {out.sent} + {across.sent} pings, none lost; {len(hammer.seen)} new "
          "connections, all masqueraded")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_connection_that_was_there_before_keeps_its_address(lab, family):
    """From a new pod: the kernel remembers ports of the other's connections for minutes,
    and how they were translated."""
    tell(lab, "", lacks="table")
    pod, node = lab.add_pod("node1", f"steady{family}"), lab.node("node1")
    with Script(pod.netns, SERVER) as server, \
            Script(pod.netns, FLOW, OUTSIDE[family]) as out:
        assert server.read() == "ready"
        with Script(lab.outside_netns, FLOW, pod.addresses[family]) as inward:
            assert out.read() == pod.addresses[family]
            assert inward.read() == OUTSIDE[family]
            tell(lab, masquerade(), has="own4")
            for number in range(3):
                assert (out.ask(f"{number}"), inward.ask(f"{number}")) == (f"{number}", f"{number}")
        assert seen_as(lab, pod, OUTSIDE[family]) == node.addresses.address[family]


# -- it is kept ----------------------------------------------------------------

DAMAGE = {
    "the table is deleted": ["delete table inet roost"],
    "the chain is emptied": ["flush chain inet roost postrouting"],
    "an element is added": ["add element inet roost direct4 { 10.99.0.0/24 }"],
    "a set is emptied": ["flush set inet roost own6"],
    "a rule is added": ["insert rule inet roost postrouting accept"],
    "all rulesets are flushed": ["flush ruleset"],
    "another has the name": ["delete table inet roost", "add table inet roost",
                             "add chain inet roost postrouting { type filter hook input priority 0; }"],
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_heard_and_put_right(on, what):
    """Nobody has to ask for it: the kernel tells of the change."""
    node = on.node("node1")
    before, writes = table(node), metric(node, "roost_masquerade_writes_total")
    node.exec(["nft", "; ".join(DAMAGE[what])])
    wait_until(lambda: table(node) == before, 20, "it is as before")
    wait_until(lambda: metric(node, "roost_masquerade_writes_total") == writes + 1, 20, "written once")
    wait_healthy(node)
    assert "was changed or deleted by somebody, put right" in roostd_log(node)


def test_damage_done_while_roostd_is_away_is_put_right_when_it_comes(on):
    node = on.node("node1")
    before = table(node)
    node.stop_roostd(signal.SIGKILL)
    node.exec(["nft", "; ".join(DAMAGE["the chain is emptied"])])
    assert table(node) != before
    node.start_roostd()
    wait_until(lambda: table(node) == before, 20, "it is as before")
    wait_healthy(node)


def test_what_happens_in_other_tables_is_no_reason_for_a_turn(on):
    node = on.node("node1")
    turn(node)
    settled(node)
    read = loads(node)
    node.exec(["nft", "-f", "-"], input=FOREIGN)
    for name in FOREIGN_TABLES:
        node.exec(["nft", "delete", "table", *name])
    turn(node)      # it would be the second
    assert loads(node) == read + 1


def test_it_is_put_right_although_the_file_is_bad_or_bird_is_away(on):
    node = on.node("node1")
    before = table(node)
    node.write_config("nodes: [\n")
    wait_until(lambda: status(node)["source"]["error"], 20, "the bad file was read")
    node.exec(["nft", "delete", "table", "inet", "roost"])
    turn(node)
    assert table(node) == before
    node.write_config(on.config(extra=masquerade()))
    wait_healthy(node)
    node.stop_bird()
    node.exec(["nft", "delete", "table", "inet", "roost"])
    turn(node)
    assert table(node) == before
    node.start_bird()
    wait_healthy(node, 60)


def test_enabled_false_removes_it(on):
    tell(on, masquerade(False, "198.51.100.0/24"), lacks="table")
    node, pod = on.node("node1"), one(on)
    assert node.exec(["nft", "list", "tables"]).stdout == ""
    assert state(node) == "off"
    assert seen_as(on, pod, OUTSIDE[4]) == pod.addresses[4]


def test_rules_stay_when_roostd_is_killed_or_stopped(on):
    node, pod = on.node("node1"), one(on)
    before = table(node)
    for sig in (signal.SIGKILL, signal.SIGTERM):
        node.stop_roostd(sig)
        assert table(node) == before
        assert seen_as(on, pod, OUTSIDE[4]) == node.addresses.address[4]
        node.start_roostd()
        wait_until(lambda: state(node) == "on", 20, "roostd is back")
    wait_healthy(node)


def test_a_killed_roostd_leaves_the_old_table_or_the_new_one(on):
    """Killed at different moments of a change; the next one finishes it."""
    node = on.node("node1")
    tables = {}
    for number in (0, 1):
        tell(on, masquerade(True, f"198.51.100.{number}/32"), has=f"198.51.100.{number},")
        tables[number] = table(node)
    for number in range(12):
        want = number % 2
        read = loads(node)
        node.write_config(on.config(extra=masquerade(True, f"198.51.100.{want}/32")))
        wait_until(lambda: loads(node) > read, 20, "the turn has begun", interval=0.001)
        node.kill_roostd(signal.SIGKILL)
        assert table(node) in tables.values()
        wait_until(lambda: table(node) == tables[want], 20, "the next roostd has finished it")
        wait_until(lambda: state(node) == "on", 20, "and says so")


def test_another_podcidr_of_the_node_is_another_source(on):
    node = on.node("node1")
    text = on.config(extra=masquerade())
    node.write_config(text.replace('"10.244.1.0/24"', '"10.244.1.0/24", "10.244.101.0/24"'))
    wait_until(lambda: "10.244.101.0/24" in table(node), 20, "the second podCIDR is a source")
    node.write_config(text.replace('"10.244.1.0/24", ', ''))
    wait_until(lambda: "own4" not in table(node) and "own6" in table(node), 20,
               "without an IPv4 podCIDR there are no IPv4 rules")
    node.write_config(text.replace('["10.244.1.0/24", "fd00:10:244:1::/64"]', "[]"))
    wait_until(lambda: table(node) == "", 20, "without a podCIDR there is no table")
    assert state(node) == "idle"
    node.write_config(text)
    wait_until(lambda: "own4" in table(node), 20, "all is as before")


# -- when it cannot be had -----------------------------------------------------

def restart_without_capability(node, *instead):
    """roostd as an old unit, or a person, would start it."""
    with open(node.path("services.json"), encoding="utf-8") as stream:
        argv = json.load(stream)["roostd"]["argv"]
    with_it = list(argv)
    at = argv.index(CAPABILITIES[0])
    node.change_service("roostd", argv=[*argv[:at], *instead, *argv[at + len(CAPABILITIES):]])
    return with_it


def test_without_the_capability_it_is_said_once_and_the_rest_goes_on(make_fresh_lab):
    lab = make_fresh_lab(nodes=2)
    node = lab.node("node1")
    wait_healthy(node)
    argv = restart_without_capability(node, "--bounding-set=-all")
    node.kill_roostd(signal.SIGKILL)
    wait_healthy(node)                  # who does not ask for it does not miss it
    node.write_config(lab.config(extra=masquerade()))
    wait_until(lambda: state(node) == "failed", 20, "roostd says that it cannot")
    now = status(node)
    assert now["health"] == "degraded"
    assert now["masquerade"]["reason"] == ("keeping the nftables table inet roost: roostd lacks "
                                           "the capability CAP_NET_ADMIN")
    assert now["problems"] == ["masquerade: " + now["masquerade"]["reason"]]
    assert "CAP_NET_ADMIN" in node.roostctl("status").stdout
    assert metric(node, "roost_masquerade_ok") == 0
    before, sessions = running_id(node), since(node)
    node.write_config(lab.config(extra=masquerade()).replace(
        '"10.244.1.0/24"', '"10.244.1.0/24", "10.244.101.0/24"'))
    wait_until(lambda: running_id(node) not in (before, ""), 20, "a change is applied all the same")
    turn(node)
    assert since(node) == sessions
    assert len(re.findall("lacks the capability", roostd_log(node))) == 1
    assert table(node) == ""
    node.change_service("roostd", argv=argv)
    node.kill_roostd(signal.SIGKILL)
    wait_healthy(node)
    assert "own4" in table(node)


def test_what_nftables_refuses_is_said_and_tried_again(make_fresh_lab):
    """Here because another program owns a table of that name."""
    lab = make_fresh_lab(nodes=1)
    node = lab.node("node1")
    wait_healthy(node)
    pid = node.host_pid("roostd")
    owner = subprocess.Popen(node.inside(["nft", "-i"]), stdin=subprocess.PIPE,
                             stdout=subprocess.DEVNULL, text=True)
    owner.stdin.write("add table inet roost { flags owner; }\n")
    owner.stdin.flush()
    wait_until(lambda: "owner" in table(node), 10, "the table is somebody else's")
    node.write_config(lab.config(extra=masquerade()))
    wait_until(lambda: state(node) == "failed", 20, "roostd says that it cannot")
    assert status(node)["masquerade"]["reason"] == (
        "keeping the nftables table inet roost: Could not process rule: Operation not permitted")
    read = loads(node)
    wait_until(lambda: loads(node) > read + 1, 20, "it tries again")
    assert roostd_log(node).count("Operation not permitted") == 1
    owner.stdin.close()     # the kernel then deletes what it owned
    owner.wait(10)
    wait_until(lambda: "own4" in table(node), 40, "roostd's next try succeeded")
    wait_healthy(node)
    assert node.host_pid("roostd") == pid
