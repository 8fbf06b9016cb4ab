# SPDX-License-Identifier: GPL-2.0-or-later
"""A node is taken away on purpose: drained, then shut down.

node1 and node2 are reflectors, node3 and node4 their clients; the router is a BIRD.
"""

import os
import re

import pytest
from cluster import bird_log, since, status, wait_healthy
from test_agent_reflector import neighbours, reflecting, wait_settled

from roostlab import Pinger, wait_until

POD = {name: f"10.244.{number}.0/24" for number, name in
       enumerate(("node1", "node2", "node3", "node4"), 1)}


@pytest.fixture(scope="module")
def lab4(make_lab):
    lab = make_lab(nodes=4, tor="bird", pods=1)
    lab.write_config(reflecting(lab))
    wait_settled(lab, {name: others | {"tor"} for name, others in neighbours(lab).items()})
    return lab


def heard(machine, prefix, session=None):
    """What BIRD has of a prefix, all attributes."""
    of = f" protocol '{session}'" if session else ""
    return machine.birdc(f"show route {prefix} all{of}", check=False)


def drain_state(node):
    return status(node)["drain"]["state"]


def test_a_reflector_is_drained_and_its_pods_stay_reachable(lab4):
    node1, node2, node3 = (lab4.node(f"node{i}") for i in (1, 2, 3))
    before = {name: since(node) for name, node in lab4.nodes.items()}
    pods = [lab4.pod(f"node{i}-pod1") for i in (1, 3, 4)]
    wait_until(lambda: "local_pref: 100" in heard(node3, POD["node4"], "node1:v4"), 20,
               "node1 reflects")

    with Pinger(pods[1].netns, pods[0].address) as to_drained, \
            Pinger(pods[1].netns, pods[2].address) as between_clients, \
            Pinger(lab4.outside_netns, pods[0].address) as from_outside:
        drain = node1.roostctl("drain")
        assert (drain.returncode, drain.stderr) == (0, "")
        assert drain.stdout.startswith("drained; its pods keep their routes")

        # The router is told, the other reflector has taken over, the pods are where they were.
        wait_until(lambda: "(65535,0)" in heard(lab4.tor, POD["node1"]), 10,
                   "the router hears GRACEFUL_SHUTDOWN")
        assert "(65535,0)" not in heard(lab4.tor, POD["node2"])
        wait_until(lambda: "unicast" not in heard(node3, POD["node4"], "node1:v4"), 10,
                   "node1 reflects no more")
        assert heard(node3, POD["node4"], "node2:v4").count("unicast") == 1
        assert "(65535,0)" not in heard(node3, POD["node1"], "node1:v4")

        # It is shown, it outlives roostd, and the node is as healthy as before.
        node1.kill_roostd()
        wait_until(lambda: status(node1).get("drain", {}).get("state") == "drained", 20,
                   "the next roostd knows that node1 is drained")
        wait_healthy(node1)
        assert re.search(r"^drain +drained since 20", node1.roostctl("status").stdout, re.M)
        assert re.search(r"node1 .*this node, drained", node1.roostctl("nodes").stdout)
        assert node1.roostctl("plan").returncode == 0, "what BIRD runs is what is wanted"

        # Two at once would leave the clients with nobody.
        second = node2.roostctl("drain")
        assert second.returncode == 1
        assert "no other reflector that stays passes on node3's 10.244.3.0/24" in second.stdout
        assert "drain: no other reflector" in status(node2)["problems"][0]
        assert "unicast" in heard(node3, POD["node4"], "node2:v4")
        assert node2.roostctl("undrain").stdout == "undrained\n"

        undrain = node1.roostctl("undrain")
        assert (undrain.returncode, undrain.stdout) == (0, "undrained\n")
        wait_until(lambda: "local_pref: 100" in heard(node3, POD["node4"], "node1:v4"), 10,
                   "node1 reflects again")
        wait_until(lambda: "(65535,0)" not in heard(lab4.tor, POD["node1"]), 10,
                   "the router hears it no more")
    assert (to_drained.stop(), between_clients.stop(), from_outside.stop()) == (0, 0, 0)
    assert {name: since(node) for name, node in lab4.nodes.items()} == before, "no session went"
    assert not os.path.exists(node1.path("var/lib/roost/drain"))


def test_two_that_leave_at_the_same_time_stop_at_leaving(lab4):
    for name in ("node1", "node2"):
        lab4.node(name).exec(["curl", "-sS", "-X", "POST", "--unix-socket",
                              "/run/roost/roostd.sock", "http://roostd/v1/drain"])
    for name in ("node1", "node2"):
        wait_until(lambda: status(lab4.node(name))["drain"]["waits"], 30, f"{name} waits")
        assert drain_state(lab4.node(name)) == "leaving"
    assert "unicast" in heard(lab4.node("node3"), POD["node4"])
    for name in ("node1", "node2"):
        assert lab4.node(name).roostctl("undrain").returncode == 0


def test_drain_that_cannot_be_remembered_is_refused(lab4):
    node = lab4.node("node4")
    node.exec(["sh", "-c", "chown root /var/lib/roost && chmod 755 /var/lib/roost"])
    failed = node.roostctl("drain")
    assert failed.returncode == 1 and "/var/lib/roost" in failed.stderr
    assert drain_state(node) == "off"
    node.exec(["chown", "nobody", "/var/lib/roost"])


# -- the end -------------------------------------------------------------------

def exec_stop():
    """The command with which systemd stops BIRD, without its prefix."""
    path = os.path.join(os.path.dirname(__file__), "../../contrib/systemd/bird.service.d/roost.conf")
    with open(path, encoding="utf-8") as stream:
        line = re.search(r"^ExecStop=-(.*)$", stream.read(), re.M)[1]
    return line.replace("$$", "$")


def stop_as_systemd_does(node, system):
    """ExecStop while the machine is `system` ("running", "stopping"), then SIGTERM."""
    node.exec(["sh", "-c", f"mkdir -p /run/stub && printf '#!/bin/sh\\necho {system}\\n' "
               ">/run/stub/systemctl && chmod 755 /run/stub/systemctl"])
    node.hold_service("bird")
    node.exec(["sh", "-c", f"PATH=/run/stub:$PATH; {exec_stop()}"],
              env={"MAINPID": str(node.service_status()["bird"]["pid"])})
    if node.is_running("bird"):
        node.stop_bird()
    wait_until(lambda: not node.is_running("bird"), 20, "BIRD is gone")


def routes_of(lab, name):
    """Who has a route to this node's pods in its kernel."""
    return {machine.name for machine in lab.machines if machine.name != name
            and machine.has_route(POD[name], lab.node(name).addresses.address[4])}


def test_a_restart_of_bird_leaves_the_routes_and_a_shutdown_takes_them_back(lab4):
    node4 = lab4.node("node4")
    everyone = {"node1", "node2", "node3", "tor"}
    assert routes_of(lab4, "node4") == everyone

    # systemctl restart bird: the neighbours wait for it.
    stop_as_systemd_does(node4, "running")
    for name in ("node1", "node2"):
        wait_until(lambda: "node4:v4" not in since(lab4.node(name)), 20, f"{name} has noticed")
    assert routes_of(lab4, "node4") == everyone
    assert any(route["dst"] == POD["node3"] for route in node4.routes())
    node4.start_bird()
    wait_healthy(node4)

    # poweroff: nobody waits out the 120 seconds of graceful restart, and nobody resets roostd.
    node4.stop_roostd()
    assert routes_of(lab4, "node4") == everyone, "roostd's end means nothing to BIRD"
    seen = {name: len(bird_log(lab4.node(name))) for name in ("node1", "node2")}
    stop_as_systemd_does(node4, "stopping")
    wait_until(lambda: not routes_of(lab4, "node4"), 10, lambda: f"without: {routes_of(lab4, 'node4')}")
    for name, before in seen.items():   # `roostctl peers` has it, until the next try is refused
        assert re.search("node4:v4: Received: .*shutdown", bird_log(lab4.node(name))[before:], re.I)
    node4.start_bird()
    node4.start_roostd()
    wait_healthy(node4)


def test_birdc_down_takes_the_routes_back_too(lab4):
    node4 = lab4.node("node4")
    node4.hold_service("bird")
    node4.birdc("down", check=False)
    wait_until(lambda: not routes_of(lab4, "node4"), 10, lambda: f"without: {routes_of(lab4, 'node4')}")
    node4.start_bird()
    wait_healthy(node4)
