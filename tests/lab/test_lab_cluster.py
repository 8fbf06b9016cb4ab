# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab is what it claims to be: nodes of their own, a working router, honest tools."""

import os
import signal
import subprocess

import pytest
from conftest import LAB_FOLDER

from roostlab import LabError, run, wait_until
from roostlab.tor import announced

ROOST_LAB = os.path.join(LAB_FOLDER, "roost-lab")


def roost_lab(*argv):
    return subprocess.run([ROOST_LAB, *argv], text=True, capture_output=True, check=False)


def all_answered(pings):
    return [p for p in pings if not p.ok] == []


# -- the picture ---------------------------------------------------------------

def test_every_pod_and_the_outside_host_reach_every_pod(lab3):
    pings = lab3.ping_matrix()
    assert len(pings) == 3 * 2 + 3
    assert all_answered(pings)


def test_pods_keep_their_own_address_on_the_way(lab3):
    """No NAT between pods: the other side sees the pod's address."""
    one, two = lab3.pod("node1-pod1"), lab3.pod("node2-pod1")
    listen = subprocess.Popen(["nsenter", f"--net={two.netns_path}", "/usr/bin/python3", "-c",
                               "import socket; s = socket.create_server(('', 7000)); "
                               "print('ready', flush=True); print(s.accept()[1][0], flush=True)"],
                              stdout=subprocess.PIPE, text=True)
    assert listen.stdout.readline() == "ready\n"
    one.exec(["/usr/bin/python3", "-c",
              f"import socket; socket.create_connection(('{two.address}', 7000), 5)"])
    assert listen.communicate(timeout=10)[0] == one.address + "\n"


@pytest.mark.parametrize("tor", ["bird", "frr"])
def test_a_router_lets_the_outside_host_reach_a_pod(make_fresh_lab, tor):
    lab = make_fresh_lab(nodes=2, tor=tor, pods=1)
    assert all_answered(p for p in lab.ping_matrix() if p.source == "outside")
    for node in lab.nodes.values():
        foreign = [route for route in node.routes()
                   if route["dst"] in announced(4) + ["default"] and route.get("protocol") == "bird"]
        assert foreign == [], "nodes take pod routes from the router and nothing else"


@pytest.mark.parametrize("tor", ["bird", "frr"])
def test_with_ipv6_both_matrices_are_full(make_fresh_lab, tor):
    lab = make_fresh_lab(nodes=3, tor=tor, pods=1, ipv6=True)
    pings = lab.ping_matrix()
    assert {p.family for p in pings} == {4, 6}
    assert len(pings) == 2 * (3 * 2 + 3)
    assert all_answered(pings)


def test_two_labs_side_by_side_do_not_see_each_other(make_lab):
    one = make_lab(nodes=2, pods=1)
    two = make_lab(nodes=2, pods=1)
    assert all_answered(one.ping_matrix()) and all_answered(two.ping_matrix())
    one.down()
    assert all_answered(two.ping_matrix())


# -- nodes ---------------------------------------------------------------------

def test_a_node_has_its_own_files_and_the_host_none_of_them(lab3):
    node1, node2 = lab3.node("node1"), lab3.node("node2")
    folders = ["/etc/roost", "/run/roost", "/run/bird", "/var/lib/roost", "/etc/cni/net.d", "/etc",
               "/var/lib"]
    name = f"probe-{os.getpid()}"
    for folder in folders:
        node1.exec(["touch", f"{folder}/{name}"])
        assert node2.exec(["test", "-e", f"{folder}/{name}"], check=False).returncode == 1
        assert not os.path.exists(f"{folder}/{name}")
        node1.exec(["rm", f"{folder}/{name}"])


def test_roostd_runs_without_root(lab3):
    node = lab3.node("node1")
    with open(f"/proc/{node.host_pid('roostd')}/status", encoding="ascii") as stream:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in stream if ":\t" in line)
    assert set(status["Uid"].split()) == {"65534"}
    assert int(status["CapEff"], 16) == 1 << 12     # CAP_NET_ADMIN


def test_a_node_sees_its_own_processes_only(lab3):
    seen = lab3.node("node1").exec(["ps", "-e", "-o", "comm="]).stdout.split()
    assert seen.count("bird") == 1


def test_a_dead_bird_is_started_again_unless_it_was_stopped(lab3):
    node = lab3.node("node3")
    first = node.service_status()["bird"]["starts"]
    node.kill_bird(signal.SIGKILL)
    wait_until(lambda: node.service_status()["bird"]["starts"] > first, 10, "bird is started again")
    node.stop_bird()
    assert not node.is_running("bird") and node.protocols() == {}
    node.start_bird()
    wait_until(lambda: not lab3.missing_sessions() and not lab3.missing_routes(), 30,
               "all is as before")


def test_a_rebooted_node_comes_back_with_an_empty_run(make_fresh_lab):
    lab = make_fresh_lab(nodes=2)
    node = lab.node("node2")
    node.exec(["touch", "/run/roost/here"])
    node.reboot()
    assert node.exec(["test", "-e", "/run/roost/here"], check=False).returncode == 1
    lab.wait_ready()


def test_a_node_can_be_added_at_run_time(make_fresh_lab):
    lab = make_fresh_lab(nodes=2, tor="bird", pods=1)
    lab.add_node("node3")
    lab.write_config(lab.config())
    lab.wait_ready()
    lab.add_pod("node3")
    pings = lab.ping_matrix()
    assert len(pings) == 3 * 2 + 3 and all_answered(pings)


@pytest.mark.parametrize("how", ["rename", "inplace", "configmap"])
def test_the_one_file_is_replaced_on_a_node(make_lab, how):
    lab = make_lab(nodes=1)
    node = lab.node("node1")
    for number in (1, 2):
        text = lab.config(extra=f"# {how} {number}\n")
        node.write_config(text, how)
        assert node.exec(["cat", "/etc/roost/roost.yaml"]).stdout == text
    lab.down()


# -- pods ----------------------------------------------------------------------

def test_a_pod_comes_and_goes(lab3):
    pod = lab3.add_pod("node1", "web")
    assert pod.address.startswith("10.244.1.")
    assert lab3.pod("web").result == pod.result
    with pytest.raises(LabError, match="the name 'web' is taken"):
        lab3.add_pod("node2", "web")
    lab3.del_pod("web")
    assert "web" not in lab3.pods
    assert not os.path.exists(pod.netns_path)


def test_a_pinger_counts_what_is_lost(lab3):
    source, target = lab3.pod("node1-pod1"), lab3.pod("node2-pod1")
    with lab3.pinger(source.name, target.name, per_second=50) as pinger:
        run(["ping", "-c", "1", "127.0.0.1"])
    assert pinger.lost == 0, pinger.output
    with lab3.pinger(source.name, target.name, per_second=50) as pinger:
        target.exec(["ip", "route", "add", "blackhole", source.address])
        sent = pinger.sent
        wait_until(lambda: pinger.sent > sent + 10, 10, "pings were sent to no avail")
        target.exec(["ip", "route", "del", "blackhole", source.address])
    assert 10 <= pinger.lost < pinger.sent, pinger.output


# -- the command line ----------------------------------------------------------

def test_the_command_line_does_what_the_module_does(lab3):
    name = ["--name", lab3.name]
    assert roost_lab("status", *name).returncode == 0
    done = roost_lab("pod", "add", *name, "node2")
    assert done.returncode == 0 and "node2-pod2 on node2: 10.244.2." in done.stdout
    assert "9 of 9" not in roost_lab("ping", *name).stdout
    assert roost_lab("pod", "del", *name, "node2").stdout == "node2-pod2 is gone\n"
    done = roost_lab("exec", *name, "node1", "--", "ip", "-br", "addr", "show", "eth0")
    assert "192.168.1.11/24" in done.stdout
    assert "10.99.0.2/24" in roost_lab("exec", *name, "outside", "--", "ip", "addr").stdout
    assert roost_lab("exec", *name, "node1-pod1", "--", "sh", "-c", "exit 7").returncode == 7


@pytest.mark.parametrize("argv, code, says", [
    ([], 2, "required: COMMAND"),
    (["up", "--nodes", "0"], 2, "'0' is not a number from 1 to 99"),
    (["up", "--tor", "cisco"], 2, "invalid choice: 'cisco'"),
    (["pod", "add"], 2, "required: NODE"),
    (["status", "--name", "nosuchlab"], 1, "no lab 'nosuchlab' is up"),
    (["down", "--name", "../etc"], 1, "'../etc' is no lab name"),
])
def test_a_mistake_gets_one_clear_line(argv, code, says):
    done = roost_lab(*argv)
    assert done.returncode == code
    assert says in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("argv, says", [
    (["up"], "already up"),
    (["pod", "add", "node9"], "no node 'node9'; there are node1, node2, node3"),
    (["pod", "add", "node1", "tor"], "the name 'tor' is taken"),
    (["pod", "del", "node1", "nosuchpod"], "no pod nosuchpod on node1"),
    (["exec", "nosuch", "--", "true"], "nothing is called 'nosuch' here; there are node1"),
])
def test_a_mistake_about_this_lab_gets_one_clear_line(lab3, argv, says):
    at = 2 if argv[0] == "pod" else 1
    done = roost_lab(*argv[:at], "--name", lab3.name, *argv[at:])
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1 and says in done.stderr
