"""The file: every way of changing it is seen, nothing wrong with it reaches BIRD."""

import pytest
from cluster import (bgp_events, loads, roostd_log, running_id, since, status, table, wait_healthy,
                     wait_running)

from roostlab import Pinger, wait_until
from roostlab.node import ROOSTD_GROUP, ROOSTD_USER


# -- changes -------------------------------------------------------------------

@pytest.mark.parametrize("how", ["rename", "inplace", "configmap"])
def test_a_change_is_seen_however_the_file_is_replaced(lab, how):
    node = lab.node("node1")
    before = running_id(node)
    node.write_config(lab.config(extra="session: {gracefulRestart: {restartTime: 121}}\n"), how)
    wait_until(lambda: running_id(node) not in (before, ""), 20, f"node1 runs the file ({how})")
    wait_healthy(node)
    node.write_config(lab.config(), how)
    wait_until(lambda: running_id(node) == before, 20, f"node1 runs the old file again ({how})")
    wait_healthy(node)


def test_a_fourth_node_comes_and_goes_without_a_session_or_a_ping_lost(lab):
    nodes = list(lab.nodes.values())
    for node in nodes:
        wait_healthy(node)
    before = {node.name: since(node) for node in nodes}
    one, two, three = (lab.pod(f"{node.name}-pod1") for node in nodes)
    with Pinger(one.netns, two.address) as first, Pinger(three.netns, one.address) as second:
        lab.add_node("node4")
        lab.write_config(lab.config())
        wait_running(lab, 4)
        for node in nodes:
            after = since(node)
            assert "node4:v4" in after
            assert {name: after[name] for name in before[node.name]} == before[node.name]
        pod = lab.add_pod("node4")
        assert all(ping.ok for ping in lab.ping_matrix())
        lab.del_pod(pod)

        lab.write_config(lab.config(nodes=["node1", "node2", "node3"]))
        gone = "10.244.4.0/24"
        for node in nodes:
            wait_until(lambda: gone not in [route["dst"] for route in node.routes()], 20,
                       f"{node.name}'s kernel has forgotten {gone}")
            wait_healthy(node)
            assert since(node) == before[node.name]
    assert (first.stop(), second.stop()) == (0, 0)
    node4 = lab.nodes.pop("node4")
    node4.power_off()


# -- bad input -----------------------------------------------------------------

BAD = {
    "a syntax error": ("cluster: {name: lab\nnodes: ]\n", "roost.yaml:2:"),
    "an unknown key": (None, "nodes[0].adresses: unknown key"),
    "an overlapping podCIDR": (None, "10.244.1.0/25 overlaps node1's 10.244.1.0/24"),
    "a name with a quote": (None, "nodes[1].name: expected a name"),
    "a name with a newline": (None, "nodes[1].name: expected a name"),
    "a podCIDR outside the cluster's": (None, "is outside cluster.podCIDRs"),
    "10 MB of brackets": ("[" * (10 << 20), "nested deeper"),
    "an empty file": ("", "the file is empty"),
    "no node of our name": (None, "no node of that name"),
}


def bad_file(lab, what):
    text, good = BAD[what][0], lab.config()
    if text is not None:
        return text
    return {
        "an unknown key": good.replace("addresses:", "adresses:", 1),
        "an overlapping podCIDR": good.replace("10.244.2.0/24", "10.244.1.0/25"),
        "a name with a quote": good.replace("name: node2", "name: 'node2\"; protocol'"),
        "a name with a newline": good.replace("name: node2", 'name: "node2\\nprotocol"'),
        "a podCIDR outside the cluster's": good.replace("10.244.2.0/24", "10.9.0.0/24"),
        "no node of our name": good.replace("name: node", "name: other"),
    }[what]


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_one_clear_error_and_changes_nothing(lab, what):
    node = lab.node("node1")
    before = running_id(node), bgp_events(node), since(node), node.routes()
    reconfigured = [line for line in node.birdc("show status").splitlines() if "econfig" in line]

    node.write_config(bad_file(lab, what))
    wait_until(lambda: status(node)["source"]["error"], 20, "roostd has seen the bad file")

    now = status(node)
    assert BAD[what][1] in now["source"]["error"]
    assert "\n" not in now["source"]["error"]
    assert now["health"] == "degraded"
    assert (running_id(node), bgp_events(node), since(node), node.routes()) == before
    assert reconfigured == [line for line in node.birdc("show status").splitlines()
                            if "econfig" in line]
    check = node.roostctl("check")
    if what == "no node of our name":       # a fine file, only not on this machine
        assert check.returncode == 0
    else:
        assert check.returncode == 1 and BAD[what][1] in check.stderr
        assert check.stderr.count("\n") == 1
    assert node.roostctl().returncode == 1

    node.write_config(lab.config())
    wait_healthy(node)
    assert status(node)["source"]["error"] is None
    assert (running_id(node), bgp_events(node), since(node)) == before[:3]


def test_an_unreadable_file_changes_nothing(lab):
    node = lab.node("node1")
    before = running_id(node), since(node)
    node.exec(["chmod", "000", "/etc/roost/roost.yaml"])
    wait_until(lambda: status(node)["source"]["error"], 20, "roostd cannot read its file")
    assert "Permission denied" in status(node)["source"]["error"]
    node.exec(["chmod", "644", "/etc/roost/roost.yaml"])
    wait_healthy(node)
    assert (running_id(node), since(node)) == before


def test_a_change_that_means_nothing_sends_nothing(lab):
    node = lab.node("node1")
    before, read = running_id(node), loads(node)
    reconfigured = node.birdc("show status").splitlines()[-2]
    node.write_config("# a comment\n" + lab.config())
    wait_until(lambda: loads(node) > read, 20, "roostd has read the file again")
    wait_healthy(node)
    assert running_id(node) == before
    assert node.birdc("show status").splitlines()[-2] == reconfigured
    assert table(node, "plan") == {"sessions": [
        {"session": "node2:v4", "action": "keep", "why": None},
        {"session": "node3:v4", "action": "keep", "why": None},
        {"session": "tor:peer", "action": "keep", "why": None}], "diff": "", "warnings": [],
        "generation": status(node)["configuration"]["generation"], "running": True}


# -- the operator's snippets ---------------------------------------------------

def snippet(node, text):
    """Writes /etc/roost/bird.d/50-mine.conf, or removes it."""
    if text is None:
        node.exec(["rm", "/etc/roost/bird.d/50-mine.conf"])
        return
    node.exec(["sh", "-c", "cat > /etc/roost/bird.d/50-mine.conf"], input=text)


def test_a_snippet_that_bird_refuses_changes_nothing_and_is_kept(lab):
    node = lab.node("node1")
    before = running_id(node), bgp_events(node), since(node), node.routes()
    snippet(node, "# mine\n\nprotocol static mine { ipv5; }\n")
    wait_until(lambda: status(node)["configuration"]["lastRefusal"], 20, "BIRD has refused it")

    refusal = status(node)["configuration"]["lastRefusal"]
    assert refusal["outcome"] == "refused"
    assert refusal["reason"].startswith("bird.d/50-mine.conf:3:"), refusal
    assert "syntax error" in refusal["reason"]
    assert "bird.d/50-mine.conf:3:" in node.roostctl("status").stdout
    kept = node.exec(["cat", "/var/lib/roost/bird/rejected/bird.d/50-mine.conf",
                      "/var/lib/roost/bird/rejected/reason"]).stdout
    assert "ipv5" in kept and "syntax error" in kept
    assert (running_id(node), bgp_events(node), since(node), node.routes()) == before
    apply = node.roostctl("apply")
    assert apply.returncode == 1 and "bird.d/50-mine.conf:3:" in apply.stdout

    snippet(node, None)
    wait_healthy(node)
    assert (running_id(node), since(node)) == (before[0], before[2])


def test_a_good_snippet_is_part_of_the_configuration(lab):
    node = lab.node("node1")
    before = running_id(node), since(node)
    snippet(node, "protocol static mine { ipv4; route 198.51.100.0/24 blackhole; }\n")
    wait_until(lambda: "mine" in node.protocols(), 20, "BIRD runs the snippet")
    wait_healthy(node)
    assert since(node) == before[1]
    assert "198.51.100.0/24" not in [route["dst"] for route in node.routes()], \
        "only what Roost accepts goes into the kernel"
    snippet(node, None)
    wait_until(lambda: running_id(node) == before[0], 20, "the snippet is gone again")
    wait_healthy(node)


def test_a_file_that_cannot_be_read_for_want_of_descriptors_is_read_later(lab):
    node = lab.node("node1")
    before, pid = running_id(node), node.service_status()["roostd"]["pid"]
    open_files = len(node.exec(["ls", f"/proc/{pid}/fd"]).stdout.split())
    # As its own user: others' limits are not ours to change without CAP_SYS_RESOURCE.
    limit = ["setpriv", f"--reuid={ROOSTD_USER}", f"--regid={ROOSTD_GROUP}", "--clear-groups",
             "prlimit", f"--pid={pid}"]
    node.exec([*limit, f"--nofile={open_files}:"])
    node.write_config(lab.config(extra="session: {gracefulRestart: {restartTime: 122}}\n"))
    wait_until(lambda: "Too many open files" in roostd_log(node), 20, "roostd could not read it")
    node.exec([*limit, "--nofile=1024:"])
    wait_until(lambda: running_id(node) not in (before, ""), 30, "node1 runs the file")
    node.write_config(lab.config())
    wait_until(lambda: running_id(node) == before, 20, "node1 runs the old file again")
    wait_healthy(node)
