# SPDX-License-Identifier: GPL-2.0-or-later
"""contrib/kubernetes/roost.yaml on two nodes: podman does what their kubelets would."""

import json
import os
import threading

import pytest
import runtimes
from kubelab import API, API_PORT
from kubepod import HARD_FILES, Manifest, Pod, grants, install_tree
from kubeobjects import endpoint_slice, service

from roostlab import wait_until

pytestmark = pytest.mark.plain

# <linux/capability.h>
NET_BIND_SERVICE, NET_ADMIN, NET_RAW = 1 << 10, 1 << 12, 1 << 13

# Ends well when a router advertisement (RFC 4861) was heard.
HEAR_ADVERTISEMENT = """
import socket
with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as link:
    link.settimeout(30)
    while link.recv(2000)[0] != 134:
        pass
"""


@pytest.fixture(scope="module")
def manifest():
    return Manifest()


# What only some clouds need, and the manifest grants when its comment is taken away.
OPTIONAL = ("patch", "nodes/status")


@pytest.fixture(scope="module")
def lab(make_kube_lab):
    missing = runtimes.missing("podman", "crun")
    if missing:
        pytest.skip(f"needs {missing}")
    lab = make_kube_lab(nodes=2, tor="none")
    for node in lab.nodes.values():     # the pods take their place
        node.stop_roostd()
        node.stop_bird()
        node.exec(["ip", "route", "flush", "table", "main", "proto", "bird"])
    lab.api.requests.clear()
    lab.api.deny(*OPTIONAL)
    return lab


@pytest.fixture(scope="module")
def pods(lab, manifest, tmp_path_factory):
    tree = install_tree(str(tmp_path_factory.mktemp("install")))
    with open(lab.pki.ca, encoding="ascii") as stream:
        secrets = {"token": "a-token", "ca.crt": stream.read()}
    environment = {"KUBERNETES_SERVICE_HOST": API[4], "KUBERNETES_SERVICE_PORT": str(API_PORT)}
    pods = []
    try:
        for node in lab.nodes.values():
            pods.append(Pod(node, tree, manifest, environment, secrets))
        for pod in pods:
            pod.start()
        yield pods
    finally:
        for pod in pods:
            pod.close()


def wait_ready(pod):
    wait_until(lambda: pod.probe("roostd", "readinessProbe"), 30, lambda: f"ready: {pod.logs()}", 0.2)


def has_route(pod, other):
    """To the other's pods, in the kernel."""
    routes = pod.node.exec(["ip", "-4", "route", "show", "proto", "bird"]).stdout
    return f"{other.node.addresses.pods[4]} via {other.node.addresses.address[4]} " in routes


def test_pods_become_ready_with_the_manifests_rights_alone(pods):
    for pod in pods:
        wait_ready(pod)
        assert pod.probe("roostd", "livenessProbe") and pod.probe("bird", "livenessProbe")
        assert pod.roostctl("status").returncode == 0
    one, other = pods
    assert has_route(one, other) and has_route(other, one)


def test_node_has_the_plugin_and_its_configuration(pods):
    for pod in pods:
        with open(pod.host("/opt/cni/bin/roost"), "rb") as have, \
                open(f"{pod.tree}/opt/cni/bin/roost", "rb") as want:
            assert have.read() == want.read()
        conflist = pod.host("/etc/cni/net.d/10-roost.conflist")
        wait_until(lambda: os.path.exists(conflist), 10, "the routes are announced, and pods may come")
        with open(conflist, encoding="utf-8") as stream:
            assert '"type": "roost"' in stream.read()


def test_what_is_not_granted_is_asked_for_once_and_harms_nothing(lab, pods):
    for pod in pods:
        wait_until(lambda pod=pod: "NetworkUnavailable stays as it is" in pod.logs(), 20, "it is said")
        assert pod.roostctl("apply").returncode == 0
        assert pod.logs().count("NetworkUnavailable stays as it is") == 1
        status = json.loads(pod.roostctl("status", "-o", "json").stdout)
        assert (status["health"], status["problems"], status["warnings"]) == ("healthy", [], [])
    assert lab.api.count(verb="patch") == len(pods)


def test_only_roostd_has_the_token(pods):
    token = "/var/run/secrets/kubernetes.io/serviceaccount/token"
    assert pods[0].podman("exec", "roostd", "stat", "-c", "%a", token).stdout == "400\n"
    assert pods[0].podman("exec", "bird", "test", "-e", token, check=False).returncode == 1


def test_bird_may_have_a_session_with_each_of_many(pods):
    """A descriptor each: more than a runtime gives, as far as the machine lets it."""
    limits = pods[0].podman("exec", "bird", "sh", "-c", "cat /proc/$(pidof bird)/limits").stdout
    soft = next(line.split()[3] for line in limits.splitlines() if line.startswith("Max open files"))
    assert HARD_FILES > 1024, "or the test shows nothing"
    assert int(soft) == min(HARD_FILES, 65536)


def test_processes_have_these_capabilities(pods):
    for name, want in (("bird", NET_ADMIN | NET_BIND_SERVICE | NET_RAW), ("roostd", NET_ADMIN)):
        status = pods[0].podman("exec", name, "cat", "/proc/1/status").stdout
        fields = dict(line.split(":\t") for line in status.splitlines() if ":\t" in line)
        for kind in ("CapEff", "CapPrm", "CapBnd"):
            assert int(fields[kind], 16) == want, (name, kind)
        assert fields["NoNewPrivs"] == "1" and fields["Seccomp"] == "2"
        assert pods[0].podman("exec", name, "touch", "/file", check=False).returncode != 0
    assert pods[0].podman("exec", "bird", "touch", "/var/lib/roost/file", check=False).returncode != 0


def test_changed_configmap_is_taken_and_all_permissions_are_used(lab, pods, manifest):
    """With services announced, roostd asks for all that it was granted, and one thing more."""
    lab.api.put("services", service("web", ingress=["10.96.7.7"]))
    lab.api.put("endpointslices", endpoint_slice("web", [("10.244.1.9", "node1", True)]))
    text = manifest.config.replace("podCIDRs:", "serviceCIDRs: [10.96.0.0/16]\n  podCIDRs:")
    text += ("peers:\n- {name: tor, address: 192.168.1.1, asNumber: 65001, export: [pods, services],"
             " passwordFile: /etc/roost/tor}\n- {name: leaf, interface: eth0, asNumber: 65001}\n")
    bad = lab.api.get("nodes", "node2")
    lab.api.put("nodes", {**bad, "metadata": {**bad["metadata"], "name": "twin", "uid": "u"}})
    for pod in pods:
        pod.write_config(text, tor="secret\n")
        wait_until(lambda pod=pod: "tor:peer" in pod.roostctl("peers").stdout, 20,
                   lambda pod=pod: f"the change is taken: {pod.logs()}")
    def used():
        return {(r.verb, r.resource + ("/status" if r.name.endswith("/status") else ""))
                for r in lab.api.seen()}
    wait_until(lambda: used() == grants(manifest) | {OPTIONAL}, 20, lambda: f"all is used: {used()}")
    # The Secret is no file that everybody may read.
    for pod in pods:
        assert json.loads(pod.roostctl("status", "-o", "json").stdout)["warnings"] == []


def test_unnumbered_router_hears_of_the_node(pods):
    """It takes CAP_NET_RAW, and is how such a router learns the address to connect to."""
    one, other = pods
    assert "leaf:peer" in one.roostctl("peers").stdout
    one.node.exec(["python3", "-c", HEAR_ADVERTISEMENT], timeout=60)


def test_pod_is_replaced_and_no_route_is_lost(pods):
    one, other = pods
    lost, stop = [], threading.Event()

    def watch():
        while not stop.wait(0.05):
            for pod, peer in ((one, other), (other, one)):
                if not has_route(pod, peer):
                    lost.append(pod.node.name)
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        one.stop()
        one.start()
        wait_ready(one)
        wait_until(lambda: one.roostctl("status").returncode in (0, 1), 10, "roostctl is answered")
    finally:
        stop.set()
        watcher.join()
    assert lost == []
