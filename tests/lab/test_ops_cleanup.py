# SPDX-License-Identifier: GPL-2.0-or-later
"""roostctl cleanup: the host is as it was before Roost came."""

import json

import pytest
from cluster import wait_healthy
from conftest import _lab_maker

from roostlab import Lab, wait_until

MASQUERADE = "cni: {masquerade: {enabled: true}}\n"


class Bare(Lab):
    """roostd of the first node is held back, so that its host is still untouched."""

    def _build_node(self, node, config):
        if node.name == "node1":
            services = node.services()
            services["roostd"]["argv"] = ["sleep", "infinity"]
            node.services = lambda: services
        super()._build_node(node, config)

    def up(self, replace=False, timeout=None):
        return super().up(replace, None)


@pytest.fixture(scope="module")
def lab2():
    make, finish = _lab_maker(Bare)
    yield make(nodes=2, tor=None, ipv6=True)
    finish()


def links(node):
    keep = ("ifname", "link_type", "address", "mtu", "master", "ifalias", "addr_info")
    found = json.loads(node.exec(["ip", "-j", "address"]).stdout)
    for link in found:
        for address in link["addr_info"]:
            address.pop("valid_life_time", None)
            address.pop("preferred_life_time", None)
    return sorted(({key: link.get(key) for key in keep} for link in found),
                  key=lambda link: link["ifname"])


def snapshot(node):
    """What Roost could have changed on a host."""
    def text(*argv):
        return sorted(node.exec(["sh", "-c", " ".join(argv)]).stdout.splitlines())
    return {
        "links": links(node),
        "routes": text("ip route show table all;", "ip -6 route show table all"),
        "rules": text("ip rule;", "ip -6 rule"),
        "nftables": text("nft list ruleset"),
        "files": text("find /etc/cni /var/lib/roost /run/roost -printf '%p %M %u:%g\\n'"),
        "sysctls": text("sysctl -a 2>/dev/null | grep -E '^net.(ipv4|ipv6).(conf|ip_forward)'"),
    }


def install(node):
    """What the unit does: roostd starts, and BIRD finds its configuration."""
    node.change_service("roostd", argv=type(node).services(node)["roostd"]["argv"])
    node.stop_roostd()
    node.start_roostd()


def cleanup(node, *options):
    return node.roostctl("cleanup", *options)


def has_peer_routes(lab):
    return any(route["dst"] == "10.244.1.0/24" for route in lab.node("node2").routes())


def test_nothing_is_left_after_cleanup_and_everything_comes_again(lab2):
    node = lab2.node("node1")
    lab2.write_config(lab2.config(extra=MASQUERADE))
    before = snapshot(node)
    for with_pods in (False, True):
        install(node)
        wait_healthy(node, 60)
        wait_until(lambda: has_peer_routes(lab2), 30, "node2 has node1's route")
        pod = lab2.add_pod("node1")
        during = snapshot(node)
        assert all(before[part] != during[part] for part in
                   ("links", "routes", "nftables", "files")), "or the test shows nothing"

        refused = cleanup(node, "--yes")
        assert refused.returncode == 1 and "roostd runs, and would make it all anew" in refused.stderr
        node.stop_roostd()
        refused = cleanup(node, "--yes")
        assert refused.returncode == 1 and "1 pods are attached" in refused.stderr

        listed = cleanup(node)
        assert listed.returncode == 0 and "roostctl cleanup --yes removes it." in listed.stdout
        rows = json.loads(cleanup(node, "-o", "json").stdout)
        assert [row["part"] for row in rows] == ["CNI list", "BIRD", "routes", "NAT", "pods",
                                                 "bridge", "run time", "state"]
        assert not any(row["removed"] for row in rows)
        assert has_peer_routes(lab2), "to look changes nothing"

        if not with_pods:
            lab2.del_pod(pod)
        done = cleanup(node, "--yes", *(["--force"] if with_pods else []))
        assert done.returncode == 0, done.stderr
        after = snapshot(node)
        assert {part: after[part] for part in before} == before
        wait_until(lambda: not has_peer_routes(lab2), 10, "node2 has forgotten node1")
        assert list(node.protocols()) == ["device1"], "BIRD runs, and does nothing"
        again = cleanup(node, "--yes")
        assert (again.returncode, again.stdout) == (0, "nothing of Roost is left\n")


def test_cleanup_without_bird_and_without_a_good_file_takes_the_defaults(lab2):
    node = lab2.node("node1")
    install(node)
    wait_healthy(node, 60)
    node.stop_roostd()
    node.stop_bird()
    node.write_config("nonsense: [\n")
    done = cleanup(node, "--yes")
    assert done.returncode == 0, done.stderr
    assert "roost.yaml:" in done.stderr and "the defaults are taken" in done.stderr
    assert not [route for route in node.routes() if route.get("protocol") == "bird"]
    assert node.exec(["find", "/var/lib/roost", "-mindepth", "1"]).stdout == ""


OTHERS_BIRD = """
log stderr all;
router id 192.168.1.11;
protocol device {}
protocol kernel { persist; ipv4 { export all; import none; }; }
protocol static { ipv4; route 10.244.99.0/24 blackhole; }
"""


def test_another_birds_routes_are_not_ours(lab2):
    """They have BIRD's protocol and metric 32, which is BIRD's default."""
    node = lab2.node("node1")
    lab2.write_config(lab2.config())
    install(node)
    node.start_bird()
    wait_healthy(node, 60)
    node.stop_roostd()
    node.stop_bird()
    ours = node.services()["bird"]["argv"]
    with open(node.path("root/etc/bird/own.conf"), "w", encoding="ascii") as stream:
        stream.write(OTHERS_BIRD)
    node.change_service("bird", argv=["bird", "-f", "-c", "/etc/bird/own.conf", "-s", "/run/bird/own.ctl"])
    node.start_bird()

    def has_others():
        return any(route["dst"] == "10.244.99.0/24" for route in node.routes())
    wait_until(has_others, 20, "the other BIRD's route is in the kernel")
    listed = json.loads(cleanup(node, "-o", "json").stdout)
    assert [row["part"] for row in listed] == ["CNI list", "run time", "state"]
    # It stays while that BIRD runs, and also when it rests: nothing of Roost is here then.
    for rest in (False, True):
        if rest:
            node.stop_bird()
        done = cleanup(node, "--yes")
        assert done.returncode == 0 and has_others(), done.stdout + done.stderr
    node.exec(["ip", "route", "del", "blackhole", "10.244.99.0/24", "proto", "bird", "metric", "32"])
    node.change_service("bird", argv=ours)


def test_only_root_cleans_up(lab2):
    alone = lab2.node("node1").exec(
        ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "/run/lab/bin/roostctl",
         "cleanup", "--yes"], check=False)
    assert alone.returncode == 1 and "needs root" in alone.stderr
