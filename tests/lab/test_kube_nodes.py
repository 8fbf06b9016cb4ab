# SPDX-License-Identifier: GPL-2.0-or-later
"""Nodes come from the API server: what happens to them there happens to the routes here,
and to nothing else; and when it is away, nothing happens at all.
"""

import contextlib
import json
import subprocess

import pytest
from apiserver import body_of, expired, hang, recorded, stream
from cluster import bgp_events, loads, metric, roostd_log, running_id, since, status, table, wait_healthy, wait_running
from kubelab import KubeLab, problems, restart, synced, wait_problem
from kubeobjects import heartbeat, node as make_node, with_pod_cidrs

from roostlab import Lab, Pinger, netns, wait_until
from roostlab.addresses import CLUSTER, TOR, TOR_AS
from roostlab.base import netns_name, write_file

OTHER_ROUTER, OTHER_AS = "192.168.1.241", 65002
UNAVAILABLE = 50        # what STATUS of the plugin ends with
PEERS = f"""\
peers:
  - {{name: tor, address: {TOR[4]}, asNumber: {TOR_AS}, nodeSelector: {{rack: a}}}}
  - {{name: tor-b, address: {OTHER_ROUTER}, asNumber: {OTHER_AS}, nodeSelector: {{rack: b}}}}
"""
# A router with a file of its own, in the API server's namespace.
ROUTER_B = f"""\
router id {OTHER_ROUTER};
protocol device {{}}
template bgp node {{ local {OTHER_ROUTER} as {OTHER_AS}; ipv4 {{ import all; export none; }}; }}
"""


class RacksLab(KubeLab):
    """All nodes in rack a, which speaks to the one router; nobody in rack b."""

    def node_object(self, node, **options):
        return super().node_object(node, **{"labels": {"rack": "a"}, **options})

    def config(self, nodes=None, extra=""):
        return super().config(nodes, extra).split("peers:\n")[0] + PEERS + self.extra + extra


@pytest.fixture(scope="module")
def lab(make_kube_lab):
    lab = make_kube_lab(nodes=3, tor="bird", pods=1, kind=RacksLab)
    for node in lab.nodes.values():
        wait_healthy(node)
    return lab


@pytest.fixture(autouse=True)
def all_is_well_again(lab):
    """A test leaves the lab as it was: three nodes, all content."""
    yield
    lab.only_our_nodes()
    lab.recover()
    wait_running(lab, 3)


def transactions(node):
    return metric(node, 'roost_applies_total{outcome="confirmed"}')


def snapshot(lab):
    """What nothing but a change of the cluster may change."""
    return {node.name: (running_id(node), since(node), node.routes(), transactions(node))
            for node in lab.nodes.values()}


def kernel(node):
    return [route["dst"] for route in node.routes()]


@contextlib.contextmanager
def nothing_lost(lab):
    pods = [lab.pod(f"{name}-pod1") for name in ("node1", "node2", "node3")]
    with Pinger(pods[0].netns, pods[1].address) as there, Pinger(pods[2].netns, pods[0].address) as back:
        yield
        lost = there.stop(), back.stop()
    assert lost == (0, 0)


# -- what happens there happens here -------------------------------------------------

def test_a_node_added_through_the_api_is_in_every_kernel_and_removed_it_is_gone(lab):
    before = {node.name: since(node) for node in lab.nodes.values()}
    with nothing_lost(lab):
        lab.add_node("node4")
        wait_running(lab, 4)
        for node in lab.nodes.values():
            assert node.name == "node4" or "10.244.4.0/24" in kernel(node)
        wait_until(lab.node("node4").has_conflist, 20, "pods may come to node4")
        pod = lab.add_pod("node4")
        assert all(ping.ok for ping in lab.ping_matrix())
        lab.del_pod(pod)

        node4 = lab.nodes.pop("node4")
        lab.api.delete("nodes", "node4")        # one node: the brake lets it pass
        for node in lab.nodes.values():
            wait_until(lambda: "10.244.4.0/24" not in kernel(node), 20, f"{node.name} has forgotten node4")
            wait_healthy(node)
            assert since(node) == before[node.name]
    node4.power_off()


def test_a_node_with_another_label_moves_to_another_router(lab):
    namespace = netns_name(lab.name, "api")
    netns.ip(namespace, f"addr add {OTHER_ROUTER}/24 dev eth0")
    path = f"{lab.api_folder}/router-b"
    write_file(f"{path}.conf", ROUTER_B + "".join(
        f"protocol bgp {node.name} from node {{ neighbor {node.addresses.address[4]} as 64512; }}\n"
        for node in lab.nodes.values()))
    router = subprocess.Popen(netns.inside(namespace, [
        "bird", "-f", "-c", f"{path}.conf", "-s", f"{path}.ctl", "-P", f"{path}.pid"]))
    node1, node2 = lab.node("node1"), lab.node("node2")
    before = since(node1), {name: when for name, when in since(node2).items() if name != "tor:peer"}
    try:
        lab.label("node2", rack="b")
        wait_until(lambda: "tor-b:peer" in since(node2), 30, "node2 speaks to the router of rack b")
        assert "tor:peer" not in node2.sessions()
        wait_until(lambda: "10.244.2.0/24" not in [route["dst"] for route in lab.tor.routes()], 20,
                   "the router of rack a has forgotten node2's pods")
        assert {name: since(node2)[name] for name in before[1]} == before[1]
        assert since(node1) == before[0]
        lab.label("node2", rack="a")
        wait_until(lambda: "tor:peer" in since(node2), 30, "node2 is back")
        assert "tor-b:peer" not in node2.sessions()
    finally:
        router.kill()
        router.wait()


def test_a_thousand_heartbeats_cause_no_render(lab):
    nodes = list(lab.nodes.values())
    beating = ("node1", "node2", "node3")
    before = snapshot(lab)
    renders = {node.name: metric(node, "roost_renders_total") for node in nodes}
    events = {node.name: metric(node, "roost_source_events_total") for node in nodes}
    for number in range(1000):
        name = beating[number % 3]
        lab.api.put("nodes", heartbeat(lab.api.get("nodes", name), number))
    for node in nodes:
        wait_until(lambda: metric(node, "roost_source_events_total") >= events[node.name] + 1000, 30,
                   f"{node.name} has seen them all", 0.1)
        assert metric(node, "roost_renders_total") == renders[node.name]
    assert snapshot(lab) == before


def test_another_pod_cidr_and_a_node_made_anew_are_followed(lab):
    node1, node3 = lab.node("node1"), lab.node("node3")
    lab.api.put("nodes", with_pod_cidrs(lab.api.get("nodes", "node3"), "10.244.33.0/24"))
    wait_until(lambda: "10.244.33.0/24" in kernel(node1) and "10.244.3.0/24" not in kernel(node1), 30,
               "node1 has node3's new podCIDR")
    assert "10.244.33.0/24" in str(status(node3)["podCIDRs"])
    # Deleted and created again: another uid, another creationTimestamp, the old podCIDR.
    lab.api.delete("nodes", "node3")
    lab.put_node("node3")
    wait_until(lambda: "10.244.3.0/24" in kernel(node1) and "10.244.33.0/24" not in kernel(node1), 30,
               "node1 has the podCIDR of the new node3")


def network_unavailable(lab, name):
    """The status of the Node's condition; None: it has none."""
    return next((condition["status"] for condition in lab.api.get("nodes", name)["status"]["conditions"]
                 if condition["type"] == "NetworkUnavailable"), None)


def test_a_node_whose_routes_are_announced_has_a_network(lab):
    for name in lab.nodes:
        lab.put_node(name)      # as a cloud's controller might: made anew, without the condition
        restart(lab.node(name))
    for name in lab.nodes:
        wait_until(lambda: network_unavailable(lab, name) == "False", 30, f"{name} has said so", 0.1)
    # Where it may not, everything else goes on.
    lab.api.deny("patch", "nodes/status")
    node1 = lab.node("node1")
    patched = len(lab.api.patches)
    restart(node1)
    wait_until(lambda: "NetworkUnavailable stays" in roostd_log(node1), 30, "node1 says that it may not", 0.1)
    wait_healthy(node1)
    assert len(lab.api.patches) == patched


def cni_status(node):
    """What a runtime that asks gets, whether or not there is a list: the plugin's error, None if all is well."""
    done = node.cni.execute("STATUS", json.dumps({
        "cniVersion": "1.1.0", "name": "roost", "type": "roost", "ipam": {"type": "roost"}}).encode())
    return json.loads(done.stdout) if done.returncode else None


def test_pods_may_come_only_when_routes_are_announced(lab):
    """node5 is there before its Node, so no neighbour knows it."""
    node5 = Lab.add_node(lab, "node5")
    try:
        wait_problem(node5, "node5")
        assert not node5.has_conflist() and network_unavailable(lab, "node1") == "False"
        # Its neighbours still know nothing of it, and it of them all.
        hung = [lab.api.on(hang(), client=lab.node(name).addresses.address[4], times=None)
                for name in ("node1", "node2", "node3")]
        lab.api.drop_connections()
        wait_until(lambda: all(rule.hits for rule in hung), 20, "they wait for an answer", 0.1)
        lab.put_node("node5", labels={})        # in no rack: no router hears of it
        wait_until(lambda: len(node5.sessions()) >= 3, 30, "node5 has a configuration", 0.1)
        wait_until(lambda: not status(node5)["configuration"]["applying"], 30, "it is confirmed", 0.1)
        assert not node5.has_conflist() and network_unavailable(lab, "node5") is None
        assert cni_status(node5)["code"] == UNAVAILABLE
        lab.recover()
        for name in ("node1", "node2", "node3"):
            restart(lab.node(name))
        wait_until(node5.has_conflist, 30, "pods may come")
        assert cni_status(node5) is None
        wait_until(lambda: network_unavailable(lab, "node5") == "False", 30, "its Node says so")
    finally:
        lab.api.delete("nodes", "node5")
        lab.nodes.pop("node5").power_off()


# -- the API server is away ------------------------------------------------------------

def test_an_outage_changes_nothing_and_one_relist_is_one_transaction(lab):
    """Ten minutes of a cluster's life, as far as the API server can tell: hundreds of
    changes, and what came before them is forgotten."""
    api, nodes = lab.api, list(lab.nodes.values())
    with nothing_lost(lab):
        api.put("nodes", make_node("node40", ["192.168.1.50"], ["10.244.40.0/24"]))
        for node in nodes:
            wait_until(lambda: "node40:v4" in node.sessions(), 20, f"{node.name} knows node40")
            wait_until(lambda: not status(node)["configuration"]["applying"], 20, "it is confirmed")
        before = snapshot(lab)
        lists = metric(nodes[0], "roost_source_lists_total")
        api.stop()
        for minute in range(10):
            for other in range(50, 60):
                api.put("nodes", make_node(f"node{other}", [f"192.168.1.{other + 10}"],
                                           [f"10.244.{other}.0/24"], created=f"2026-11-23T00:{minute:02}:00Z"))
            for other in range(50, 60):
                api.delete("nodes", f"node{other}")
            for name in ("node1", "node2", "node3"):
                api.put("nodes", heartbeat(api.get("nodes", name), minute * 60))
        api.delete("nodes", "node40")
        api.put("nodes", make_node("node41", ["192.168.1.51"], ["10.244.41.0/24"]))
        api.compact()
        for node in nodes:
            wait_problem(node, "192.168.1.240")
            assert status(node)["health"] == "degraded" and node.roostctl("status").returncode == 1
        age = metric(nodes[0], "roost_source_age_seconds")
        wait_until(lambda: metric(nodes[0], "roost_source_age_seconds") > age, 10, "the source gets older")
        assert snapshot(lab) == before

        api.start()
        for node in nodes:
            wait_until(lambda: "node41:v4" in node.sessions(), 60, f"{node.name} knows node41", 0.1)
            assert "node40:v4" not in node.sessions()
            wait_until(lambda: not status(node)["configuration"]["applying"], 20, "it is done")
            assert transactions(node) == before[node.name][3] + 1
            assert {name: when for name, when in since(node).items()} == before[node.name][1]
        assert metric(nodes[0], "roost_source_lists_total") == lists + 1
        api.delete("nodes", "node41")


def test_a_node_boots_and_peers_with_the_api_server_down(lab):
    lab.api.stop()
    node1 = lab.node("node1")
    wait_problem(node1, "kubernetes:", "connect")
    node1.reboot()
    wait_until(lambda: {"10.244.2.0/24", "10.244.3.0/24"} <= set(kernel(node1)), 40,
               "node1 has its routes again")
    assert node1.has_conflist() and not synced(node1)
    wait_problem(node1, "kubernetes:", "the nodes are those of")
    lab.api.start()
    wait_healthy(node1, 60)
    assert synced(node1)


def test_a_roostd_killed_when_bird_has_the_nodes_begins_with_them(lab):
    """Also when the API server does not answer then: no route goes back to what it was."""
    node1 = lab.node("node1")
    rule = lab.api.on(hang(), client=node1.addresses.address[4], times=None)   # but for the watch that stands
    before = running_id(node1)
    lab.api.put("nodes", make_node("node40", ["192.168.1.50"], ["10.244.40.0/24"]))
    wait_until(lambda: running_id(node1) not in ("", before), 30, "BIRD has a session for node40", 0.02)
    first = running_id(node1)
    restart(node1)
    wait_until(lambda: status(node1)["configuration"]["id"] == first, 30, "it is confirmed")
    assert running_id(node1) == first and table(node1, "history")[0]["id"] == first
    wait_until(lambda: rule.hits, 20, "it asks the API server, which does not answer")
    lab.recover()
    lab.api.delete("nodes", "node40")


DAMAGE = {
    "cut short": lambda data: data[:len(data) // 2],
    "not JSON": lambda data: b"\x00\xff" * 300,
    "a bit flipped": lambda data: data.replace(b"10.244.2.0", b"10.244.9.0"),
    "of the future": lambda data: data.replace(b'"version":', b'"version":9'),
    "empty": lambda data: b"",
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_cluster_json_is_refused_and_changes_nothing(lab, how):
    node = lab.node("node1")
    path = node.path("var/lib/roost/cluster.json")
    with open(path, "rb") as stream_:
        good = stream_.read()
    assert DAMAGE[how](good) != good
    before = running_id(node), since(node), node.routes()
    lab.api.stop()
    node.stop_roostd()
    with open(path, "wb") as stream_:
        stream_.write(DAMAGE[how](good))
    node.start_roostd()
    wait_problem(node, "cluster.json")
    assert (running_id(node), since(node), node.routes()) == before
    assert "Sanitizer" not in problems(node)
    lab.api.start()
    wait_healthy(node, 60)
    assert (running_id(node), since(node), node.routes()) == before
    with open(path, "rb") as stream_:
        assert b"10.244.2.0/24" in stream_.read()


# -- bad Nodes ----------------------------------------------------------------------------

YOUNG = "2026-11-23T23:00:00Z"
BAD = {     # name -> (InternalIPs, podCIDRs, what is said)
    "outside": (["192.168.1.61"], ["10.99.0.0/24"], "10.99.0.0/24"),
    "overlap": (["192.168.1.62"], ["10.244.2.0/25"], "10.244.2.0/25 overlaps node2's"),
    "homeless": ([], ["10.244.63.0/24"], "InternalIP"),
    "twin": (["192.168.1.13"], ["10.244.64.0/24"], "node3"),
    "no-cidr": (["192.168.1.65"], ["what/ever"], "what/ever"),
    "gateway": ([TOR[4]], ["10.244.66.0/24"], "tor"),
    "wide": (["192.168.1.67"], ["0.0.0.0/0"], "0.0.0.0/0"),
    "loop": (["127.0.0.1"], ["10.244.68.0/24"], "InternalIP"),
    "x';reboot": (["192.168.1.69"], ["10.244.69.0/24"], "name"),
}


def test_bad_nodes_are_left_out_and_named_and_the_others_go_on(lab):
    before = {node.name: (running_id(node), since(node), node.routes()) for node in lab.nodes.values()}
    for name, (addresses, cidrs, _) in BAD.items():
        lab.api.put("nodes", make_node(name, addresses, cidrs, created=YOUNG))
    lab.api.put("nodes", make_node("node44", ["192.168.1.54"], ["10.244.44.0/24"], created=YOUNG))
    told = len(lab.api.events())
    for node in lab.nodes.values():
        wait_until(lambda: "node44:v4" in node.sessions(), 30, f"{node.name} has taken the good one", 0.1)
        assert metric(node, "roost_source_bad_nodes") == len(BAD)
        for name, (_, _, why) in BAD.items():
            wait_problem(node, name, why)
    # Whoever looks at the Node sees it too, and three nodes that say the same say it once.
    wait_until(lambda: len(lab.api.events()) >= told + len(BAD), 20, "there is an Event for each", 0.1)
    said = {event["involvedObject"]["name"]: event["message"] for event in lab.api.events()[told:]}
    assert set(said) == set(BAD) and all(why in said[name] for name, (_, _, why) in BAD.items())
    assert len(lab.api.events()) == told + len(BAD)
    lab.api.delete("nodes", "node44")
    for name in BAD:
        lab.api.delete("nodes", name)
    wait_running(lab, 3)
    assert {node.name: (running_id(node), since(node), node.routes())
            for node in lab.nodes.values()} == before


def test_the_older_node_wins_an_overlap_on_every_node(lab):
    before = {node.name: since(node) for node in lab.nodes.values()}
    lab.api.put("nodes", make_node("a-young-one", ["192.168.1.70"], ["10.244.0.0/20"], created=YOUNG))
    for node in lab.nodes.values():
        wait_problem(node, "a-young-one", "overlaps")
    # Older than all of them: now they are in the wrong, and say so, on all nodes alike.
    lab.api.put("nodes", make_node("z-old-one", ["192.168.1.71"], ["10.244.3.0/25"],
                                   created="2020-01-01T00:00:00Z"))
    for node in lab.nodes.values():
        wait_problem(node, "10.244.3.0/24 overlaps z-old-one's")
    # Who starts without the API server decides the same: how old they are is kept, too.
    # (node3, which is none of them now, has kept what it was last.)
    lab.api.stop()
    for node in (lab.node("node1"), lab.node("node2")):
        restart(node)
        wait_problem(node, "10.244.3.0/24 overlaps z-old-one's")
        assert not synced(node) and metric(node, "roost_source_bad_nodes") == 2
    lab.recover()
    lab.api.delete("nodes", "z-old-one")
    lab.api.delete("nodes", "a-young-one")
    wait_running(lab, 3)
    assert {node.name: {k: v for k, v in since(node).items() if "node3" not in k}
            for node in (lab.node("node1"), lab.node("node2"))} == \
        {name: {k: v for k, v in before[name].items() if "node3" not in k} for name in ("node1", "node2")}


# -- what a real API server said -------------------------------------------------------------

def test_recorded_answers_are_read_byte_for_byte(lab):
    """node1 to node3 of the recording are our own, with other podCIDRs; real1 is somewhere
    else, node4 comes, gets its podCIDR and its addresses, and goes."""
    api, node = lab.api, lab.node("node1")
    api.on(body_of(recorded("nodes-page1.json")), verb="list", client="192.168.1.11", times=None,
           query=lambda query: "continue" not in query)
    api.on(body_of(recorded("nodes-page2.json")), verb="list", client="192.168.1.11", times=None,
           query=lambda query: "continue" in query)
    api.on(expired(), verb="watch", client="192.168.1.11")
    *lines, bookmark = recorded("nodes-watch.ndjson").splitlines(keepends=True)
    deleted = next(i for i, line in enumerate(lines) if b'"DELETED"' in line)
    watch = api.on(stream(*lines[:deleted]), verb="watch", client="192.168.1.11", times=1)
    rest = api.on(stream(*lines[deleted:], bookmark, recorded("nodes-watch-bookmark.ndjson")), verb="watch",
                  client="192.168.1.11", times=None)
    before = loads(node)
    node.write_config(lab.config().replace(f'"{CLUSTER[4]}"', f'"{CLUSTER[4]}", "{CLUSTER[6]}"'))
    wait_until(lambda: loads(node) > before, 20, "node1 has read the file")
    api.drop_connections("192.168.1.11")
    wait_until(lambda: watch.hits, 30, "node1 watches the recording")
    asked = api.seen(verb="watch", client="192.168.1.11")[-1].query
    assert asked["resourceVersion"] == "294" and asked["allowWatchBookmarks"] in ("1", "true")
    wait_until(lambda: "node4:v4" in node.sessions(), 30, "node1 knows node4")
    assert "real1:v4" in node.sessions()
    rows = {row["name"]: row for row in table(node, "nodes")}
    assert sorted(rows) == ["node1", "node2", "node3", "node4", "real1"]
    assert "10.244.3.0/24" in str(rows["real1"]) and "192.0.2.2" in str(rows["real1"])

    api.drop_connections("192.168.1.11")
    wait_until(lambda: rest.hits and "node4:v4" not in node.sessions(), 30, "node4 is gone again")
    assert api.seen(verb="watch", client="192.168.1.11")[-1].query["resourceVersion"] == "304"
    events = bgp_events(node)
    api.drop_connections("192.168.1.11")
    wait_until(lambda: api.seen(verb="watch", client="192.168.1.11")[-1].query["resourceVersion"] == "735",
               60, "it goes on behind the bookmark")
    assert bgp_events(node) == events
    api.calm()
    node.write_config(lab.config())
    lab.relist()
    restart(node)       # at once, and not when it asks again
