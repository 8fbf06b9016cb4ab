"""roostctl and the HTTP side: what they say is so, and how they exit."""

import json

import pytest
from cluster import metric, running_id, since, status, table, wait_healthy

from roostlab import wait_until


def get(node, path):
    out = node.exec(["curl", "-sS", "-w", "\n%{http_code}", f"http://127.0.0.1:9472{path}"]).stdout
    body, code = out.rsplit("\n", 1)
    return int(code), body


def test_routes_come_from_bird_by_bgp_with_the_nodes_as_next_hops(lab):
    """The issue's picture, word for word."""
    node = lab.node("node1")
    shown = node.birdc("show route")
    for number in (2, 3):
        assert node.has_route(f"10.244.{number}.0/24", f"192.168.1.1{number}")
        assert f"10.244.{number}.0/24        unicast [node{number}:v4" in shown
        assert f"via 192.168.1.1{number} on eth0" in shown
    assert "default" not in shown and "0.0.0.0/0" not in shown
    assert not [line for line in shown.splitlines() if "/32" in line]


def test_status_of_a_healthy_node(lab):
    node = lab.node("node1")
    done = node.roostctl()
    assert done.returncode == 0
    assert "node           node1, cluster lab: healthy" in done.stdout
    assert "sessions       3 of 3 up" in done.stdout
    assert "podCIDR        10.244.1.0/24, announced to 3 neighbours" in done.stdout
    assert status(node)["problems"] == []


def test_tables(lab):
    node = lab.node("node1")
    assert [(row["name"], row["self"]) for row in table(node, "nodes")] == [
        ("node1", True), ("node2", False), ("node3", False)]
    assert [(row["session"], row["kind"], row["up"], row["routesIn"]) for row in
            table(node, "peers")] == [("node2:v4", "node", True, 1), ("node3:v4", "node", True, 1),
                                      ("tor:peer", "router", True, 0)]
    assert [(row["prefix"], row["verdict"]) for row in table(node, "routes")] == [
        (f"10.244.{n}.0/24", "ok") for n in (1, 2, 3)]
    assert [row["addresses"] for row in table(node, "pods")] == [[lab.pod("node1-pod1").address]]
    for command in ("nodes", "peers", "routes", "pods"):
        done = node.roostctl(command)
        assert done.returncode == 0 and done.stdout.count("\n") > 1


def test_a_route_deleted_by_hand_is_seen_and_comes_back(lab):
    node = lab.node("node1")
    node.exec(["ip", "route", "del", "10.244.2.0/24"])
    rows = {row["prefix"]: row["verdict"] for row in table(node, "routes")}
    if rows["10.244.2.0/24"] != "ok":       # else BIRD's scan was just then
        assert rows["10.244.2.0/24"] == "not in the kernel"
    wait_until(lambda: node.has_route("10.244.2.0/24", "192.168.1.12"), 30, "BIRD put it back")
    wait_healthy(node)


def test_a_neighbour_that_is_down_is_named_with_the_reason(lab):
    node = lab.node("node1")
    other = lab.node("node3")
    other.stop_bird()
    wait_until(lambda: not [row for row in table(node, "peers")
                            if row["session"] == "node3:v4"][0]["up"], 30, "node3 is down")
    row = [row for row in table(node, "peers") if row["session"] == "node3:v4"][0]
    assert row["reason"]
    assert node.roostctl("status").returncode == 1
    assert any("1 of 3 sessions are down" in problem for problem in status(node)["problems"])
    other.start_bird()
    wait_healthy(node, 60)
    wait_healthy(other, 60)


def test_http(lab):
    node = lab.node("node1")
    assert get(node, "/healthz") == (200, "alive\n")
    assert get(node, "/readyz") == (200, "ready\n")
    assert get(node, "/nowhere")[0] == 404
    assert json.loads(get(node, "/v1/status")[1])["health"] == "healthy"
    assert "# TYPE roost_session_up gauge" in get(node, "/metrics")[1]
    assert metric(node, 'roost_session_up{session="node2:v4"}') == 1
    assert metric(node, "roost_routes_ok") == 3
    out = node.exec(["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-X", "POST",
                     "http://127.0.0.1:9472/v1/apply"]).stdout
    assert out == "403", "only the Unix socket may change things"


def test_apply_says_unchanged(lab):
    node = lab.node("node1")
    done = node.roostctl("apply")
    assert done.returncode == 0 and done.stdout.startswith("unchanged: generation")


def test_no_daemon_is_exit_2(lab):
    node = lab.node("node1")
    done = node.roostctl("-s", "/run/roost/none.sock", "status")
    assert done.returncode == 2 and "no answer from roostd" in done.stderr
    assert node.roostctl("nonsense").returncode == 64


@pytest.mark.parametrize("extra, session, action", [
    ("session: {holdTime: 60}\n", "node2:v4", "RESTART"),
    ("session: {bfd: true}\n", "node2:v4", "keep"),
])
def test_plan_predicts_what_bird_then_does(lab, extra, session, action):
    node = lab.node("node1")
    wait_healthy(node, 60)
    before, running = since(node)[session], running_id(node)
    node.exec(["sh", "-c", "cat > /tmp/plan.yaml"], input=lab.config(extra=extra))
    done = node.roostctl("-o", "json", "--node", "node1", "plan", "/tmp/plan.yaml")
    plan = {row["session"]: row["action"] for row in json.loads(done.stdout)["sessions"]}
    assert plan[session] == action
    assert done.returncode == 2
    assert running_id(node) == running and since(node)[session] == before

    node.write_config(lab.config(extra=extra))
    wait_until(lambda: running_id(node) != running, 30, "it runs")
    wait_until(lambda: session in since(node), 30, f"{session} is up")
    assert (since(node)[session] != before) == (action == "RESTART")
    node.write_config(lab.config())
    wait_until(lambda: running_id(node) == running, 60, "the old file runs")
    wait_healthy(node, 60)
