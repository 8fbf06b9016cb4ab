"""The first meeting of roostd and BIRD, whichever comes first and whatever BIRD ran."""

from cluster import running_id, status, wait_healthy

from roostlab import wait_until

FOREIGN = """
log stderr all;
router id 192.168.1.11;
protocol device { }
protocol bgp mine { local 192.168.1.11 as 64512; neighbor 192.168.1.77 as 64600;
  ipv4 { import none; export none; }; }
"""


def start_bird_with(node, text):
    """BIRD as somebody else had set it up, while roostd is away."""
    node.exec(["sh", "-c", "cat > /etc/bird/own.conf && chmod 644 /etc/bird/own.conf"], input=text)
    node.stop_bird()
    node.change_service("bird", argv=["bird", "-f", "-c", "/etc/bird/own.conf", "-u", "bird", "-g",
                                      "bird", "-s", "/run/bird/bird.ctl"])
    node.start_bird()
    wait_until(lambda: "device1" in node.protocols(), 10, "BIRD runs its own configuration")


def test_a_hand_written_bird_with_sessions_is_left_alone(make_fresh_lab):
    lab = make_fresh_lab(nodes=2)
    node = lab.node("node1")
    wait_healthy(node)
    node.stop_roostd()
    start_bird_with(node, FOREIGN)
    node.start_roostd()
    wait_until(lambda: status(node).get("configuration", {}).get("lastOutcome") == "failed", 20,
               "roostd has met it")
    assert "not Roost's" in " ".join(status(node)["problems"])
    assert "mine" in node.protocols()
    assert running_id(node) == ""


def test_a_bird_without_sessions_is_taken_over(make_fresh_lab):
    lab = make_fresh_lab(nodes=2)
    node = lab.node("node1")
    wait_healthy(node)
    node.stop_roostd()
    start_bird_with(node, FOREIGN.split("protocol bgp")[0])
    node.start_roostd()
    wait_healthy(node)


def test_a_node_without_its_address_is_told_so(make_fresh_lab):
    lab = make_fresh_lab(nodes=2)
    node = lab.node("node1")
    wait_healthy(node)
    node.write_config(lab.config().replace("192.168.1.11", "192.168.1.200"))
    wait_until(lambda: "on no interface of this machine" in " ".join(status(node)["problems"]), 40,
               "the missing address is named")
    node.write_config(lab.config())
    wait_healthy(node)


def test_once_exits_0_only_when_confirmed(make_fresh_lab):
    lab = make_fresh_lab(nodes=2)
    node = lab.node("node1")
    wait_healthy(node)
    node.stop_roostd()
    roostd = node.services()["roostd"]["argv"]
    assert node.exec([*roostd, "--once"]).returncode == 0
    node.write_config("nonsense\n")
    failed = node.exec([*roostd, "--once"], check=False)
    assert failed.returncode == 1 and "roost.yaml:1:1" in failed.stderr
    assert node.exec([*roostd, "--check"], check=False).returncode == 1
    node.write_config(lab.config())
    assert node.exec([*roostd, "--check"]).returncode == 0
    node.stop_bird()
    assert node.exec([*roostd, "--once"], check=False).returncode == 1


def test_a_second_roostd_is_told_so(make_fresh_lab):
    lab = make_fresh_lab(nodes=2)
    node = lab.node("node1")
    wait_healthy(node)
    second = node.exec(node.services()["roostd"]["argv"], check=False)
    assert second.returncode == 1
    assert "another roostd runs on this node" in second.stderr
    wait_healthy(node)


def test_what_the_host_lacks_is_named(make_fresh_lab):
    lab = make_fresh_lab(nodes=2, pods=1)
    node = lab.node("node1")
    wait_healthy(node)
    node.exec(["sysctl", "-q", "-w", "net.ipv4.ip_forward=0"])
    assert "net.ipv4.ip_forward is 0" in " ".join(status(node)["problems"])
    node.exec(["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"])
    wait_healthy(node)
    lab.write_config(lab.config().replace("10.244.1.0/24", "10.244.9.0/24"))
    wait_until(lambda: "10.244.1.2: nobody reaches them" in " ".join(status(node)["problems"]), 20,
               "the pod with an address of the old podCIDR is named")


def test_the_servers_move_with_the_file(make_fresh_lab):
    lab = make_fresh_lab(nodes=2)
    node = lab.node("node1")
    wait_healthy(node)
    node.write_config(lab.config(extra="agent: {metrics: '127.0.0.1:9500', "
                                 "socket: /run/roost/other.sock}\n"))
    wait_until(lambda: node.roostctl("-s", "/run/roost/other.sock").returncode == 0, 20,
               "roostd listens on the other socket")
    assert node.exec(["curl", "-sS", "http://127.0.0.1:9500/healthz"]).stdout == "alive\n"
    assert node.roostctl().returncode == 2
    node.write_config(lab.config(extra="agent: {socket: /run/roost/node.json}\n"))
    wait_until(lambda: "is there and is no socket" in open(node.path("roostd.log")).read(), 20,
               "a file that is no socket is not removed")
    assert "podCIDRs" in node.exec(["cat", "/run/roost/node.json"]).stdout


def test_a_link_in_the_middle_of_the_way_is_watched(make_fresh_lab):
    lab = make_fresh_lab(nodes=2)
    node = lab.node("node1")
    wait_healthy(node)
    before = running_id(node)
    node.exec(["sh", "-c", "cd /etc/roost && mkdir -p v1 v2 && cp roost.yaml v1/ && "
               "cat > v2/roost.yaml && ln -s v1 current && ln -sf current/roost.yaml x && "
               "mv x roost.yaml"], input=lab.config(extra="session: {bfd: true}\n"))
    wait_healthy(node)
    node.exec(["sh", "-c", "cd /etc/roost && ln -s v2 next && mv -T next current"])
    wait_until(lambda: running_id(node) not in (before, ""), 20, "the other version runs")
