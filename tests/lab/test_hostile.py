"""A broken or hostile neighbour, router or node: what it says is refused or limited,
`roostctl peers` says so, and the others lose neither a route nor a ping."""

import contextlib
import os
import socket
import struct
import time

import pytest
from cluster import memory_mb, since, status, table, wait_healthy

from roostlab import Pinger, wait_until

MANY = 100_000
LIMIT = 20_000
TOR = "tor:peer"
TOR_OF = {4: TOR, 6: "tor-v6:peer"}


# -- what is common ------------------------------------------------------------

def row(node, session=TOR):
    return next(row for row in table(node, "peers") if row["session"] == session)


def reason(node, session=TOR):
    return row(node, session)["reason"] or ""


def wait_reason(node, text, session=TOR, timeout=60):
    wait_until(lambda: text in reason(node, session), timeout,
               lambda: f"{node.name} says '{text}' of {session}: {row(node, session)}", 0.1)


def wait_up(node, session=TOR, timeout=60):
    wait_until(lambda: row(node, session)["up"], timeout,
               lambda: f"{session} of {node.name} is up: {row(node, session)}", 0.1)


def pod_routes(node, nodes):
    """The kernel's routes to these nodes' pods, and to parts of their podCIDRs."""
    return sorted((route["dst"], route.get("gateway", ""), route.get("metric", 0))
                  for family in (4, 6) for route in node.routes(family)
                  if any(route["dst"].startswith((f"10.244.{other.addresses.number}.",
                                                  f"fd00:10:244:{other.addresses.number}:"))
                         for other in nodes))


def node_sessions(node, names):
    return {name: up for name, up in since(node).items() if name.split(":")[0] in names}


@contextlib.contextmanager
def nothing_lost(lab, names):
    """Between these nodes no ping is lost, no session restarts and no route changes."""
    nodes = [lab.node(name) for name in names]
    pods = [lab.pod(f"{name}-pod1") for name in names]
    before = [(pod_routes(node, nodes), node_sessions(node, names)) for node in nodes]
    with contextlib.ExitStack() as stack:
        pingers = [stack.enter_context(Pinger(pod.netns, pods[i - 1].address))
                   for i, pod in enumerate(pods)]
        yield
        lost = [pinger.stop() for pinger in pingers]
    assert lost == [0] * len(names)
    assert [(pod_routes(node, nodes), node_sessions(node, names)) for node in nodes] == before


@contextlib.contextmanager
def nothing_lost_between(lab, left, right):
    """As nothing_lost(), where sessions do restart."""
    a, b = (lab.pod(f"{name}-pod1") for name in (left, right))
    with Pinger(a.netns, b.address) as there, Pinger(b.netns, a.address) as back:
        yield
        lost = there.stop(), back.stop()
    assert lost == (0, 0)


def static(family, *prefixes):
    """As BIRD has it."""
    return f"protocol static hostile{family} {{\n\tipv{family};\n" + "".join(
        f"\troute {prefix} unreachable;\n" for prefix in prefixes) + "}\n"


def announce(lab, *prefixes, family=4):
    """The router announces these too."""
    with open(lab.tor.path("etc/bird/bird.conf"), "a", encoding="utf-8") as stream:
        stream.write(static(family, *prefixes))
    lab.tor.birdc("configure")


def turn_hostile(node, more="", router_id=None, export="all"):
    """The node's BIRD runs what somebody wrote who has taken it over: its own file
    without Roost's export filters."""
    node.stop_roostd()
    generation = node.exec(["sh", "-c", "ls -d /var/lib/roost/bird/gen-* | sort -V | tail -n 1"])
    node.exec(["cp", "-a", generation.stdout.strip(), "/run/hostile"])
    node.exec(["sed", "-i", f"/^\\t\\texport /d; s/^\\tipv[46] {{$/&\\n\\t\\texport {export};/",
               "/run/hostile/sessions.conf"])
    if router_id:
        node.exec(["sed", "-i", f"s/^router id .*/router id {router_id};/",
                   "/run/hostile/node.conf"])
    node.exec(["sh", "-c", "cat >> /run/hostile/bird.conf"], input=more)
    out = node.exec(["birdc", "configure", '"/run/hostile/bird.conf"']).stdout
    assert "econfigur" in out, out


def turn_good(node):
    node.exec(["rm", "-rf", "/run/hostile"])
    node.birdc("configure", check=False)
    node.start_roostd()


@pytest.fixture(scope="module")
def lab(make_lab):
    lab = make_lab(nodes=3, tor="bird", pods=1, ipv6=True)
    for node in lab.nodes.values():
        wait_healthy(node)
    return lab


@pytest.fixture
def trio(lab):
    """The lab of three nodes and a router, and afterwards it is as it was."""
    yield lab
    lab.tor.set_nodes(lab.nodes.values(), lab.families)
    for node in lab.nodes.values():
        if not node.is_running("roostd"):
            turn_good(node)
        if not node.is_running("bird"):
            node.start_bird()
    lab.write_config(lab.config())
    for node in lab.nodes.values():
        wait_healthy(node, 90)


# -- who says too much ---------------------------------------------------------

UNWANTED = {
    4: ("10.244.1.0/24", "10.244.2.0/24", "10.244.3.0/24",      # the nodes' own
        "10.244.1.128/25", "10.244.2.128/25", "10.244.2.2/32", "10.244.3.0/25",
        "0.0.0.0/1", "192.168.1.0/24", "192.168.1.12/32", "8.8.8.0/24"),
    6: ("fd00:10:244:1::/64", "fd00:10:244:2::/64", "fd00:10:244:3::/64",
        "fd00:10:244:1:8000::/65", "fd00:10:244:2:8000::/65", "fd00:10:244:2::2/128",
        "fd00:10:244:3::/65", "8000::/1", "fd00:1::/64", "fd00:1::12/128", "2001:db8::/32")}


@pytest.mark.parametrize("family", [4, 6])
def test_of_a_router_nothing_is_taken_that_was_not_asked_for(trio, family):
    one, session = trio.node("node1"), TOR_OF[family]
    # The default route and the net behind it are what this router always announces.
    for node in trio.nodes.values():
        wait_reason(node, "updates outside import, not taken", session)
    before = {name: row(node, session)["updatesRefused"] for name, node in trio.nodes.items()}
    everything = one.routes(family)
    with nothing_lost(trio, list(trio.nodes)):
        announce(trio, *UNWANTED[family], family=family)
        # All but two are refused: of another node's podCIDR a router may speak, and
        # the node's own word counts for more.
        for name, node in trio.nodes.items():
            wait_until(lambda: row(node, session)["updatesRefused"]
                       >= before[name] + len(UNWANTED[family]) - 2,
                       60, lambda: f"{name} has refused them: {row(node, session)}")
            wait_reason(node, "2 podCIDRs not used: nodes announce them themselves", session)
        assert sorted(map(str, one.routes(family))) == sorted(map(str, everything))


@pytest.mark.parametrize("family", [4, 6])
def test_of_a_node_nothing_is_taken_but_its_podcidrs(trio, family):
    three, session = trio.node("node3"), f"node3:v{family}"
    default = {4: "0.0.0.0/0", 6: "::/0"}[family]
    everything = {name: {route["dst"] for route in trio.node(name).routes(family)}
                  for name in ("node1", "node2")}
    with nothing_lost(trio, ["node1", "node2"]):
        turn_hostile(three, more=static(family, *UNWANTED[family], default))
        for name, before in everything.items():
            node = trio.node(name)
            # Its own podCIDR is among them.
            wait_until(lambda: row(node, session)["updatesRefused"] >= len(UNWANTED[family]), 60,
                       lambda: f"{name} has refused them: {row(node, session)}")
            wait_reason(node, "updates refused: not its podCIDRs", session)
            assert row(node, session)["routesIn"] == 1
            assert {route["dst"] for route in node.routes(family)} == before


def test_of_a_reflector_nothing_is_taken_that_nodes_say_themselves(trio):
    """In a mesh that is to become one with reflectors: node3 is one, and would draw traffic."""
    three = trio.node("node3")
    trio.write_config(trio.config().replace("- name: node3\n", "- name: node3\n    reflector: true\n"))
    for name in ("node1", "node2"):
        wait_until(lambda: row(trio.node(name), "node3:v4")["kind"] == "reflector", 30,
                   f"{name} has the file")
    for node in trio.nodes.values():
        wait_healthy(node)
    everything = {(name, family): {route["dst"] for route in trio.node(name).routes(family)}
                  for name in ("node1", "node2") for family in trio.families}
    with nothing_lost(trio, ["node1", "node2"]):
        turn_hostile(three, more="".join(static(family, *UNWANTED[family]) for family in (4, 6)),
                     export="filter { bgp_local_pref = 4294967295; accept; }")
        for (name, family), before in everything.items():
            node, session = trio.node(name), f"node3:v{family}"
            # All but its own podCIDR and the other node's, of which that one's word counts.
            wait_until(lambda: row(node, session)["updatesRefused"] >= len(UNWANTED[family]) - 2, 60,
                       lambda: f"{name} has refused them: {row(node, session)}")
            wait_reason(node, "updates refused: not other nodes' podCIDRs", session)
            assert row(node, session)["routesIn"] == 2
            assert {route["dst"] for route in node.routes(family)} == before


def many():
    return [f"20.{n >> 9}.{n >> 1 & 255}.{128 * (n & 1)}/25" for n in range(MANY)]


def many6():
    return [f"2001:db8:{n:x}::/48" for n in range(LIMIT + 5000)]


def test_a_hundred_thousand_routes_are_refused_or_limited_and_do_not_fill_the_memory(trio):
    one = trio.node("node1")
    # What a sanitizer keeps of freed memory, to find who uses it, is not what is asked.
    one.change_service("roostd", env={
        **one.own_environment(),
        "ASAN_OPTIONS": f"{os.environ.get('ASAN_OPTIONS', '')}:quarantine_size_mb=4"})
    one.kill_roostd()
    wait_healthy(one)
    before = {service: memory_mb(one.host_pid(service)) for service in ("bird", "roostd")}
    with nothing_lost(trio, list(trio.nodes)):
        announce(trio, *many())
        for node in trio.nodes.values():
            wait_until(lambda: row(node)["updatesRefused"] >= MANY, 60,
                       lambda: f"{node.name} has refused them: {row(node)}", 0.2)
            wait_healthy(node)
        refused = {service: memory_mb(one.host_pid(service)) for service in before}

        announce(trio, *many6(), family=6)
        one.write_config(trio.config().replace(
            "    asNumber: 65001", "    asNumber: 65001\n    import: [20.0.0.0/8, '2001:db8::/32']"))
        for family, session in TOR_OF.items():
            wait_reason(one, f"import limit of {LIMIT} routes reached: no more are taken", session)
            wait_until(lambda: row(one, session)["routesIn"] == LIMIT, 30,
                       lambda: f"limited: {row(one, session)}")
            wait_until(lambda: len(one.routes(family)) >= LIMIT, 60, "they are in the kernel", 0.5)
            assert f"{session}: import limit of {LIMIT} routes reached: no more are taken" in \
                status(one)["problems"]
        limited = {service: memory_mb(one.host_pid(service)) for service in before}

        one.write_config(trio.config())
        wait_until(lambda: len(one.routes()) + len(one.routes(6)) < 40, 60, "they have left the kernel", 0.5)
        wait_healthy(one)
        after = {service: memory_mb(one.host_pid(service)) for service in before}
    for service, start in before.items():
        print(f"{service}: {start:.0f} MB, {refused[service]:.0f} MB with {MANY} routes refused, "
              f"{limited[service]:.0f} MB with twice {LIMIT} taken, {after[service]:.0f} MB afterwards")
        assert max(refused[service], limited[service], after[service]) < start + 64


# -- who comes and goes --------------------------------------------------------

def test_a_router_that_comes_and_goes_takes_nobody_with_it(trio):
    one = trio.node("node1")

    def down_and_up():
        for family, session in TOR_OF.items():
            trio.tor.birdc(f"disable node1_ipv{family}")
            wait_until(lambda: session not in since(one), 30, "the session is down")
        for family in TOR_OF:
            trio.tor.birdc(f"enable node1_ipv{family}")
        for session in TOR_OF.values():
            wait_up(one, session)
        return all("up for only" in reason(one, session) for session in TOR_OF.values())

    with nothing_lost(trio, list(trio.nodes)):
        for _ in range(4):
            down_and_up()
        wait_until(down_and_up, 60, lambda: f"the sessions' age is said: {table(one, 'peers')}")
        for _ in range(2):
            starts = trio.tor.service_status()["bird"]["starts"]
            trio.tor.kill_service("bird")
            wait_until(lambda: trio.tor.service_status()["bird"]["starts"] > starts, 20,
                       "the router is back")
            for node in trio.nodes.values():
                wait_healthy(node, 60)


def test_a_node_with_another_ones_router_id_is_alone_with_it(trio):
    one, two, three = trio.nodes.values()
    with nothing_lost(trio, ["node1", "node2"]):
        turn_hostile(three, router_id="192.168.1.11")
        for session in ("node3:v4", "node3:v6"):
            wait_reason(one, "Bad BGP identifier; it has this node's router id", session)
            # Of two neighbours with the same one, each has its routes.
            wait_up(two, session)
        wait_until(lambda: two.has_route("10.244.3.0/24", "192.168.1.13")
                   and two.has_route("fd00:10:244:3::/64", "fd00:1::13", 6), 30,
                   "node2 has node3's routes")


# -- who has left --------------------------------------------------------------

def test_a_dead_neighbour_does_not_delay_the_recovery_of_a_killed_bird(trio):
    one, two, three = trio.nodes.values()
    three.stop_bird(9)
    wait_until(lambda: "node3:v4" not in since(one), 30, "node1 has missed node3")
    starts = one.service_status()["bird"]["starts"]
    with nothing_lost_between(trio, "node1", "node2"):
        began = time.monotonic()
        one.kill_bird()
        wait_until(lambda: one.service_status()["bird"]["starts"] > starts, 20, "BIRD is back")
        wait_until(lambda: {"node2:v4", TOR} <= set(since(one)), 60, "the live ones are back")
        wait_until(lambda: status(one).get("bird", {}).get("recovering") is False, 60,
                   "BIRD has ended its recovery", 0.2)
        took = time.monotonic() - began
        wait_until(lambda: row(one, "node2:v4")["routesOut"] == 1
                   and row(two, "node1:v4")["routesIn"] == 1, 30, "routes go both ways again")
        assert one.has_route("10.244.2.0/24", "192.168.1.12")
        assert two.has_route("10.244.1.0/24", "192.168.1.11")
    print(f"with a dead neighbour: recovered {took:.1f} s after BIRD was killed")
    # `graceful restart wait` in common.conf, and what a busy machine adds.
    assert took < 20 + 15
    # What nobody speaks for any more is gone from the kernel.
    wait_until(lambda: not one.has_route("10.244.3.0/24", "192.168.1.13"), 30,
               "the dead node's route is gone")


def test_a_node_that_left_leaves_no_route_anywhere(trio):
    machines = trio.machines
    node4 = trio.add_node("node4")
    trio.write_config(trio.config())
    for machine in machines:
        wait_until(lambda: len(pod_routes(machine, [node4])) == len(trio.families), 60,
                   f"{machine.name} knows node4")
    trio.nodes.pop("node4").power_off()
    trio.write_config(trio.config())
    trio.tor.set_nodes(trio.nodes.values(), trio.families)
    for machine in machines:
        wait_until(lambda: not pod_routes(machine, [node4]), 60,
                   f"{machine.name} has forgotten node4")
        text = machine.birdc("show route")
        assert not any(prefix in text for prefix in node4.addresses.pods.values())
    for node in trio.nodes.values():
        wait_healthy(node)
        assert not any(row["node"] == "node4" for row in table(node, "routes"))
        assert not any(row["name"] == "node4" for row in table(node, "peers"))


# -- who does not know the password --------------------------------------------

def has_md5():
    """TCP_MD5SIG is an option of the kernel."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        address = struct.pack("=HH4s120x", socket.AF_INET, 0, socket.inet_aton("192.0.2.1"))
        try:
            probe.setsockopt(socket.IPPROTO_TCP, 14,
                             address + struct.pack("=BBHI80s", 0, 0, 3, 0, b"key"))
        except OSError:
            return False
    return True


def test_a_wrong_password_is_no_answer_and_costs_nobody_else(make_fresh_lab):
    if not has_md5():
        pytest.skip("this kernel has no TCP-MD5")
    lab = make_fresh_lab(nodes=2, tor="frr", pods=1, ipv6=True)
    text = lab.config().replace("    asNumber: 65001", "    asNumber: 65001\n    password: secret")

    def frr(*commands):
        lab.tor.exec(["vtysh", *(word for command in commands for word in ("-c", command))])

    for node in lab.nodes.values():
        wait_healthy(node)
    with nothing_lost(lab, list(lab.nodes)):
        frr("configure terminal", "router bgp 65001", "neighbor nodes4 password wrong",
            "neighbor nodes6 password wrong")
        for node in lab.nodes.values():
            wait_until(lambda: not set(TOR_OF.values()) & set(since(node)), 60, "the sessions are down")
        lab.write_config(text)
        for node in lab.nodes.values():
            for session in TOR_OF.values():
                wait_reason(node, "no answer, as if the password was another one", session)
                assert not row(node, session)["up"]
        frr("configure terminal", "router bgp 65001", "neighbor nodes4 password secret",
            "neighbor nodes6 password secret")
        for node in lab.nodes.values():
            wait_healthy(node, 90)
