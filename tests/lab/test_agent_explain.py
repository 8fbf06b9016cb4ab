# SPDX-License-Identifier: GPL-2.0-or-later
"""roostctl explain: the broken link on the way to an address is the one it names."""

import json

from cluster import wait_healthy

from roostlab import wait_until


def explain(node, address):
    """(exit status, {step: (ok, text)}, the last step)"""
    done = node.roostctl("-o", "json", "explain", address)
    steps = json.loads(done.stdout)["steps"]
    return done.returncode, {s["step"]: (s["ok"], s["text"]) for s in steps}, steps[-1]["step"]


def test_the_way_to_a_pod_is_told_step_by_step(lab):
    node, pod = lab.node("node1"), lab.pod("node2-pod1")
    lab.pod("node1-pod1").exec(["ping", "-c", "1", pod.address])
    code, steps, last = explain(node, pod.address)
    assert (code, last) == (0, "neighbour"), steps
    assert list(steps) == ["file", "session", "BIRD", "kernel", "neighbour"]
    assert "node2's podCIDR 10.244.2.0/24" in steps["file"][1]
    assert steps["BIRD"] == (True, "10.244.2.0/24 via 192.168.1.12 from node2:v4")
    assert steps["kernel"][1].startswith("10.244.2.0/24 via 192.168.1.12 dev eth0 proto bird ")
    assert steps["neighbour"] == (True, "192.168.1.12 is known on eth0")
    text = node.roostctl("explain", pod.address).stdout
    assert "ok      BIRD        10.244.2.0/24 via 192.168.1.12 from node2:v4" in text

    own = explain(node, lab.pod("node1-pod1").address)
    assert own[0] == 0 and "announced to 3 neighbours" in own[1]["session"][1]


def test_what_no_node_has_is_broken_in_the_file(lab):
    node = lab.node("node1")
    code, steps, last = explain(node, "10.244.99.1")
    assert (code, last) == (1, "file") and "no node's podCIDR" in steps["file"][1]
    code, steps, last = explain(node, "203.0.113.7")
    assert (code, last) == (1, "file") and "outside cluster.podCIDRs" in steps["file"][1]
    assert explain(node, "192.168.1.12")[0] == 0


def test_a_route_of_somebody_else_is_named(lab):
    node, pod = lab.node("node1"), lab.pod("node2-pod1")
    node.exec(["ip", "route", "add", f"{pod.address}/32", "via", "192.168.1.13"])
    try:
        code, steps, last = explain(node, pod.address)
        assert (code, last) == (1, "kernel")
        assert f"a more specific route takes it: {pod.address}/32 via 192.168.1.13" in \
            steps["kernel"][1]
    finally:
        node.exec(["ip", "route", "del", f"{pod.address}/32"])


def test_a_session_that_is_down_is_named_with_its_reason(lab):
    node, pod = lab.node("node1"), lab.pod("node2-pod1")
    lab.node("node2").stop_bird()
    try:
        wait_until(lambda: explain(node, pod.address)[2] == "session", 30,
                   lambda: f"the session is the broken link: {explain(node, pod.address)}")
        code, steps, _ = explain(node, pod.address)
        assert code == 1 and steps["session"][1].startswith("node2:v4 is ")
    finally:
        lab.node("node2").start_bird()
        for each in lab.nodes.values():
            wait_healthy(each, 60)


def test_wrong_usage_says_what_is_missing(lab):
    node = lab.node("node1")
    for argv in (["explain"], ["explain", "pod1"], ["explain", "10.0.0.1", "more"]):
        done = node.roostctl(*argv)
        assert done.returncode == 64 and done.stderr.startswith("roostctl: "), argv
