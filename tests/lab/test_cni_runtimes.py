# SPDX-License-Identifier: GPL-2.0-or-later
"""The plugin under the container runtimes of Debian 12, on a node of a dual-stack lab.

podman uses the list that roostd wrote ("alone") and the same one with Debian's portmap
and bandwidth plugins after ours ("chain"); `ctr run --cni` the former, CRI the latter.
"""

import importlib.util
import ipaddress
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
import runtimes
from cluster import wait_healthy
from runtimes import GREETING, IMAGE, Box, Container, Containerd, Cri, Podman

from roostlab import addresses, wait_until

POD_CIDRS = addresses.of_node("node1").pods.values()
COMMON = ("crun", "/bin/busybox", "iptables", "curl", f"{runtimes.PLUGINS}/portmap",
          f"{runtimes.PLUGINS}/bandwidth", f"{runtimes.PLUGINS}/loopback")


def skip_without(*programs):
    missing = runtimes.missing(*COMMON, *programs)
    if missing:
        pytest.skip(f"needs {missing}")


@pytest.fixture(scope="module")
def lab(make_lab):
    skip_without()
    lab = make_lab(nodes=2, tor="none", pods=1, ipv6=True)
    for node in lab.nodes.values():
        wait_healthy(node)
    return lab


@pytest.fixture(scope="module")
def box(lab):
    box = Box(lab.node("node1"))
    yield box
    box.close()


@pytest.fixture(scope="module", params=["alone", "chain"])
def podman_of_module(request, box):
    skip_without("podman")
    return Podman(box, request.param)


@pytest.fixture
def podman(podman_of_module):
    yield podman_of_module
    podman_of_module.remove_all()


@pytest.fixture(scope="module")
def podman_chain_of_module(box):
    skip_without("podman")
    return Podman(box, "chain")


@pytest.fixture
def podman_chain(podman_chain_of_module):
    yield podman_chain_of_module
    podman_chain_of_module.remove_all()


@pytest.fixture
def podman_routed(box):
    skip_without("podman")
    podman = Podman(box, "routed")
    yield podman
    podman.remove_all()


@pytest.fixture(scope="module")
def containerd_of_module(box):
    skip_without("containerd", "ctr")
    containerd = Containerd(box)
    yield containerd
    containerd.stop()


@pytest.fixture
def containerd(containerd_of_module):
    yield containerd_of_module
    containerd_of_module.remove_all()


@pytest.fixture
def cri(containerd_of_module):
    if not importlib.util.find_spec("grpc"):
        pytest.skip("needs grpc for Python (apt-get install python3-grpcio)")
    cri = Cri(containerd_of_module.box)
    yield cri
    cri.remove_all()


def assert_on_the_pod_network(container, lease):
    """Addresses, default routes and lease are those of a pod of this node."""
    found = container.addresses()
    assert len(found) == 2
    for address, subnet in zip(found, POD_CIDRS):
        assert ipaddress.ip_address(address) in ipaddress.ip_network(subnet)
    assert container.default_gateways() == ["10.244.1.1", "fd00:10:244:1::1"]
    assert container.box.leases()[lease] == tuple(found)
    for gateway in container.default_gateways():
        assert container.reaches(gateway)


def assert_reach_each_other(one, two):
    assert set(one.addresses()).isdisjoint(two.addresses())
    for a, b in ((one, two), (two, one)):
        for address in b.addresses():
            assert a.reaches(address)


def fetch(machine, address, port):
    """The page, as asked for by another node; "" when there is none."""
    host = f"[{address}]" if ":" in address else address
    return machine.exec(["curl", "-sS", "--max-time", "5", f"http://{host}:{port}/"],
                        check=False).stdout


# -- podman --------------------------------------------------------------------

def test_podman_containers_are_pods_of_their_node(podman):
    one, two = podman.run("one"), podman.run("two")
    for container in (one, two):
        found = podman.inspect(container.name)
        assert_on_the_pod_network(container, lease=found["Id"])
        network = found["NetworkSettings"]["Networks"]["roost"]
        assert [network["IPAddress"], network["GlobalIPv6Address"]] == container.addresses()
        assert network["MacAddress"].startswith("0a:58:")
    assert_reach_each_other(one, two)


def test_a_pod_of_another_node_reaches_a_podman_container(lab, podman):
    container, pod = podman.run("one"), lab.pod("node2-pod1")
    for address in container.addresses():
        done = pod.exec(["ping", "-n", "-c", "1", "-W", "3", address], check=False)
        assert done.returncode == 0, done.stdout
        assert fetch(pod, address, 80) == GREETING
    for address in pod.addresses.values():
        assert container.reaches(address)


@pytest.mark.parametrize("end", ["stop", "remove", "kill the container", "kill conmon",
                                 "kill both"])
def test_however_a_podman_container_ends_nothing_is_left(podman, end):
    container = podman.run("one")
    assert podman.inspect("one")["Id"] in podman.box.leases()
    conmon = podman.inspect("one")["State"]["ConmonPid"]
    if end == "stop":
        podman("stop", "-t", "0", "one")
    elif end == "remove":
        podman("rm", "-f", "-t", "0", "one")
    elif end == "kill the container":
        # conmon sees it and starts `podman container cleanup`; nobody else does anything.
        podman.box.signal(container.pid)
    else:
        podman.box.signal(conmon)
        if end == "kill both":
            podman.box.signal(container.pid)
        # Now nobody looks after it until somebody removes it.
        podman("rm", "-f", "-t", "0", "one")
    podman.box.wait_nothing_left()


def test_a_stopped_podman_container_starts_again(podman):
    podman.run("one")
    podman("stop", "-t", "0", "one")
    podman("start", "one")
    found = podman.inspect("one")
    assert_on_the_pod_network(Container(podman.box, "one", found["State"]["Pid"]), found["Id"])


def test_a_podman_container_that_cannot_start_leaves_nothing(podman):
    done = podman("run", "--name", "bad", IMAGE, "/no/such/program", check=False)
    assert done.returncode != 0
    podman("rm", "-f", "bad")
    podman.box.wait_nothing_left()


def test_podman_containers_started_at_once_get_an_address_each(podman):
    with ThreadPoolExecutor(8) as pool:
        containers = list(pool.map(podman.run, [f"c{i}" for i in range(8)]))
    taken = {address for container in containers for address in container.addresses()}
    assert len(taken) == 16
    podman.remove_all()
    podman.box.wait_nothing_left()


def test_podman_gives_the_address_that_was_asked_for(podman):
    container = podman.run("one", "--network", "roost:ip=10.244.1.77,mac=0a:58:00:00:00:77")
    assert container.addresses()[0] == "10.244.1.77"
    link, = container.ip("link", "show", "dev", "eth0")
    assert link["address"] == "0a:58:00:00:00:77"


def test_podman_publishes_a_port_with_portmap_and_bandwidth_behind_us(lab, podman_chain):
    podman, client = podman_chain, lab.node("node2")
    container = podman.run("web", "-p", "8080:80")
    own = lab.node("node1").addresses.address.values()
    for address in own:
        assert fetch(client, address, 8080) == GREETING
    # The bandwidth plugin has found our end on the node by the result we gave.
    shaped = podman.box.node.exec(["tc", "qdisc", "show"]).stdout
    assert "tbf" in shaped and "dev rst" in shaped
    assert container.reaches("10.244.1.1")
    podman("rm", "-f", "-t", "0", "web")
    podman.box.wait_nothing_left()
    for address in own:
        assert fetch(client, address, 8080) == ""


def test_podman_containers_may_be_routed_pods(lab, podman_routed):
    podman, pod = podman_routed, lab.pod("node2-pod1")
    one, web = podman.run("one"), podman.run("web", "-p", "8082:80")
    for container in (one, web):
        assert container.default_gateways() == ["169.254.1.1", "fe80::1"]
        for address in container.addresses():
            assert fetch(pod, address, 80) == GREETING
    assert_reach_each_other(one, web)
    for address in lab.node("node1").addresses.address.values():
        assert fetch(lab.node("node2"), address, 8082) == GREETING
    podman.remove_all()
    podman.box.wait_nothing_left()
    for family in ("-4", "-6"):
        assert podman.box.node.exec(["ip", family, "route", "show", "proto", "82"]).stdout == ""


# -- ctr run --cni -------------------------------------------------------------

def test_a_container_of_ctr_is_a_pod_of_its_node(lab, containerd):
    process, container = containerd.start_ctr_run("c1")
    assert_on_the_pod_network(container, lease="default-c1")
    for address in lab.pod("node1-pod1").addresses.values():
        assert container.reaches(address)
    containerd.box.signal(container.pid)
    process.wait(runtimes.SECONDS)
    containerd.box.wait_nothing_left()


def test_a_container_of_ctr_whose_shim_is_killed_leaves_nothing(containerd):
    process, container = containerd.start_ctr_run("c1")
    shim = containerd.box.shim_of("c1")
    containerd.box.signal(shim)
    containerd.box.signal(container.pid)
    process.wait(runtimes.SECONDS)
    containerd.box.wait_nothing_left()


def test_what_a_killed_ctr_leaves_is_collected_as_garbage(lab, containerd):
    """Only ctr itself ever asks for DEL.  The link goes with the namespace, the lease by GC."""
    box, cni = containerd.box, lab.node("node1").cni
    process, _ = containerd.start_ctr_run("c1")
    pod = {container: "eth0" for container in box.before["leases"]}
    box.signal(containerd.ctr_pid())
    process.wait(runtimes.SECONDS)
    containerd.remove_all()
    wait_until(lambda: box.links() == box.before["links"], 10, "the link has gone")
    assert set(box.leases()) == {*pod, "default-c1"}
    cni.collect_garbage(pod.items())
    box.wait_nothing_left()


# -- CRI -----------------------------------------------------------------------

def test_containerd_says_that_the_network_is_ready(cri):
    assert cri.network_is_ready()


def test_sandboxes_are_pods_of_their_node(lab, cri):
    (first, one), (second, two) = cri.run("one"), cri.run("two")
    for sandbox, container in ((first, one), (second, two)):
        assert_on_the_pod_network(container, lease=sandbox)
        assert cri.addresses(sandbox) == container.addresses()
    assert_reach_each_other(one, two)
    for address in one.addresses():
        assert fetch(lab.pod("node2-pod1"), address, 80) == GREETING


def test_a_sandbox_publishes_a_port(lab, cri):
    sandbox, _ = cri.run("web", host_port=8081)
    own, client = lab.node("node1").addresses.address.values(), lab.node("node2")
    for address in own:
        assert fetch(client, address, 8081) == GREETING
    cri.stop(sandbox)
    cri.box.wait_nothing_left()
    for address in own:
        assert fetch(client, address, 8081) == ""


@pytest.mark.parametrize("victim", ["nobody", "the sandbox", "the shim", "containerd"])
def test_however_a_sandbox_ends_nothing_is_left(containerd_of_module, cri, victim):
    sandbox, container = cri.run("one")
    assert sandbox in cri.box.leases()
    if victim == "the sandbox":
        cri.box.signal(container.pid)
    elif victim == "the shim":
        cri.box.signal(cri.box.shim_of(sandbox))
    elif victim == "containerd":
        containerd_of_module.stop(runtimes.signal.SIGKILL)
        containerd_of_module.start()
    cri.stop(sandbox)
    cri.box.wait_nothing_left()
    cri.stop(sandbox)       # as the kubelet does, twice
    cri.remove(sandbox)


def test_a_sandbox_that_cannot_have_a_network_leaves_nothing(cri):
    import grpc
    store = cri.box.path("/run/roost/node.json")
    away = store + ".away"
    os.rename(store, away)
    try:
        with pytest.raises(grpc.RpcError, match="roostd"):
            cri.run("one")
    finally:
        os.rename(away, store)
    cri.remove_all()
    cri.box.wait_nothing_left()
