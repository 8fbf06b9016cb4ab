# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's routes stay as BIRD has them, whoever else is at them."""

import time

from cluster import metric, roostd_log, status, table, wait_healthy

from roostlab import wait_until

# BIRD by itself looks every 10 s; what is quicker was roostd.
QUICK_S = 5
# So soon only BIRD itself could be: roostd did not even look then.
LOOK_S = 0.15


def verdicts(node):
    return {row["prefix"]: row for row in table(node, "routes")}


def drift(node):
    return status(node)["drift"]


def over(node):
    return roostd_log(node).count("drift: over, the kernel's routes are as they should be")


def test_routes_that_somebody_flushes_are_back_before_bird_would_look(make_lab):
    """As systemd-networkd does it when it starts: all of them, of both families."""
    lab = make_lab(nodes=3, ipv6=True)
    node = lab.node("node1")
    wait_healthy(node)
    wait_until(lambda: drift(node)["seen"] == 0, 10, "nothing was wrong while it came up")
    for family in (4, 6):
        before, took = drift(node)["seen"], []
        for _ in range(3):                  # one of them might meet BIRD's own look
            overs = over(node)
            start = time.monotonic()
            node.exec(["ip", f"-{family}", "route", "flush", "proto", "bird"])
            wait_until(lambda: not lab.missing_routes(), 20, "they are back")
            took.append(time.monotonic() - start)
            wait_until(lambda: over(node) > overs or took[-1] < LOOK_S, 10,
                       "roostd has seen that it is over")
        assert sorted(took)[1] < QUICK_S, took
        wait_until(lambda: drift(node)["seen"] >= before + 3, 10,
                   lambda: f"it was counted: {drift(node)}")
    wait_healthy(node)
    assert "not in the kernel; BIRD is asked to put it back" in roostd_log(node)
    assert metric(node, "roost_drift_total") == drift(node)["seen"]
    assert metric(node, "roost_drift_repairs_total") >= 2
    assert "routes since roostd runs" in node.roostctl().stdout


def test_a_static_route_in_the_way_is_named_and_left_alone(lab):
    node = lab.node("node1")
    wait_healthy(node)
    seen = drift(node)["seen"]
    node.exec(["ip", "route", "add", "10.244.2.0/24", "via", "192.168.1.13", "proto", "static",
               "metric", "5"])
    wait_until(lambda: drift(node)["seen"] == seen + 1, 10, "it was noticed")
    row = verdicts(node)["10.244.2.0/24"]
    assert row["verdict"] == "a route that is not BIRD's is in the way"
    assert row["advice"].endswith("ip -4 route del 10.244.2.0/24 via 192.168.1.13 proto static metric 5")
    done = node.roostctl()
    assert done.returncode == 1 and row["advice"] in done.stdout
    assert f"10.244.2.0/24: {row['verdict']}" in roostd_log(node)
    repairs = drift(node)["repairs"]
    assert node.roostctl("routes").returncode == 1 and row["advice"] in node.roostctl("routes").stdout
    node.exec(row["advice"].split(": ")[1].split())
    wait_healthy(node)
    assert drift(node)["repairs"] == repairs, "there was nothing to repair"


def test_what_happens_in_the_middle_of_a_change_is_looked_at_when_that_is_over(lab):
    """The change is undone, so nothing else makes roostd look again."""
    node, route = lab.node("node1"), ["10.244.2.0/24", "via", "192.168.1.13", "metric", "5"]
    node.write_config(lab.config(extra="bird: {confirmTimeout: 5}\n"))
    node.roostctl("apply", check=True)
    wait_healthy(node)
    seen = drift(node)["seen"]
    # The router was up, and at this address there is none.
    node.write_config(node.read_config().replace("192.168.1.1\"\n", "192.168.1.99\"\n"))
    wait_until(lambda: "unconfirmed" in node.birdc("configure status"), 20, "the trial is on")
    node.exec(["ip", "route", "add", *route])
    wait_until(lambda: status(node)["configuration"]["lastRefusal"], 20, "it was undone")
    wait_until(lambda: drift(node)["seen"] == seen + 1, 10, "the route was noticed")
    node.exec(["ip", "route", "del", *route])
    node.write_config(lab.config())
    wait_healthy(node, 60)


def test_what_takes_the_place_of_birds_route_is_told_and_then_that_is_back(lab):
    """Two routes of one prefix and metric cannot be: BIRD's waits until the other has gone."""
    node = lab.node("node1")
    wait_healthy(node)
    node.exec(["ip", "route", "replace", "10.244.3.0/24", "via", "192.168.1.12", "metric", "32"])
    wait_until(lambda: verdicts(node)["10.244.3.0/24"]["advice"], 10, "it is in the way")
    start = time.monotonic()
    node.exec(["ip", "route", "del", "10.244.3.0/24"])
    wait_until(lambda: node.has_route("10.244.3.0/24", "192.168.1.13"), 20, "BIRD's is back")
    assert time.monotonic() - start < QUICK_S
    wait_healthy(node)


def test_a_neighbour_that_goes_is_no_drift(lab):
    """BIRD takes its routes away itself; the kernel tells of that as well."""
    node, other = lab.node("node1"), lab.node("node3")
    wait_healthy(node)
    seen = drift(node)["seen"]
    other.stop_bird()
    wait_until(lambda: verdicts(node)["10.244.3.0/24"]["verdict"] != "ok"
               or not node.sessions()["node3:v4"]["info"] == "Established", 30, "it is down")
    other.start_bird()
    for each in lab.nodes.values():
        wait_healthy(each, 60)
    assert drift(node)["seen"] == seen, roostd_log(node)
