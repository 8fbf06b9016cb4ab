"""The change table: for every key of `session` and `peers`, what BIRD does to the session
when it changes, whether `roostctl plan` has said so before, and that no other one notices.

node1 has three neighbours: node2; "tor", a BIRD that answers; and "ghost", a router that
is not there, for what takes two sides to change.  What BIRD did is in its log.
"""

import collections
import json
import random
import re
import subprocess

import pytest
from cluster import bird_log, since, status, table, wait_healthy

from roostlab import wait_until
from roostlab.addresses import CLUSTER, CLUSTER_AS, TOR, TOR_AS


def bird_version():
    """(2, 0, 12)"""
    said = subprocess.run(["bird", "--version"], capture_output=True, text=True, check=True)
    return tuple(map(int, re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", said.stdout + said.stderr)
                     .group(0).split(".")))


PLANNED = "var/lib/roost/planned.yaml"      # beside the generations, and not watched
SECRET = "/etc/roost/secret"

PEERS = {"tor": {"name": "tor", "address": TOR[4], "asNumber": TOR_AS},
         "ghost": {"name": "ghost", "address": "192.168.1.250", "asNumber": 65099}}
FAR = {"address": "10.9.0.1", "multihop": 3, "gateway": TOR[4]}
RACK_A = {"nodeSelector": "{rack: a}"}      # node1 alone has this label

# where, what is there before, what comes, the action for that and for the way back.  A
# value of None leaves the key out.
REFRESH, RESTART, KEEP = (("refresh",) * 2, ("RESTART",) * 2, ("keep",) * 2)
TABLE = [
    ("session", {}, {"holdTime": 30}, RESTART),
    ("session", {}, {"keepaliveTime": 20}, RESTART),
    ("session", {}, {"connectRetryTime": 7}, RESTART),
    ("session", {}, {"gracefulRestart": "{enabled: false}"}, RESTART),
    ("session", {}, {"longLivedGracefulRestart": "{staleTime: 60}"}, RESTART),
    ("session", {}, {"importLimit": 100}, KEEP),

    ("tor", {}, {"holdTime": 30}, RESTART),
    ("tor", {}, {"addPaths": "both"}, RESTART),
    ("tor", {}, {"interface": "eth0"}, RESTART),
    ("tor", {}, {"importLimit": 100}, KEEP),
    ("tor", {"importLimit": 100}, {"importLimit": "{prefixes: 100, action: warn}"}, KEEP),
    ("tor", {}, {"import": "[]"}, REFRESH),
    ("tor", {}, {"import": "[10.0.0.0/8, 0.0.0.0/0]"}, REFRESH),
    ("tor", {}, {"export": "[]"}, REFRESH),
    ("tor", {}, {"export": "[cluster]"}, REFRESH),
    ("tor", {}, {"localPreference": 200}, REFRESH),
    ("tor", {}, {"asPathLimit": 1}, REFRESH),
    ("tor", {}, {"med": 5}, REFRESH),
    ("tor", {"med": 5}, {"med": 6}, REFRESH),
    ("tor", {}, {"communities": "['64512:100']"}, REFRESH),
    ("tor", {}, {"largeCommunities": "['64512:100:1']"}, REFRESH),
    ("tor", {}, {"nextHopSelf": "false"}, REFRESH),
    ("tor", {}, {"nodeSelector": "{rack: a}"}, KEEP),
    ("tor", {}, {"nodeSelector": "{rack: b}"}, ("remove", "add")),

    ("ghost", {}, {"keepaliveTime": 20}, RESTART),
    ("ghost", {}, {"connectRetryTime": 7}, RESTART),
    ("ghost", {}, {"gracefulRestart": "{restartTime: 60}"}, RESTART),
    ("ghost", {}, {"longLivedGracefulRestart": "{}"}, RESTART),
    ("ghost", {}, {"passive": "true"}, RESTART),
    ("ghost", {}, {"role": "customer"}, RESTART),
    ("ghost", {}, {"allowLocalAS": 1}, RESTART),
    ("ghost", {}, {"address": "192.168.1.251"}, RESTART),
    ("ghost", {}, {"asNumber": 65098}, RESTART),
    ("ghost", {}, {"port": 1179}, RESTART),
    ("ghost", RACK_A, {"sourceAddress": "192.168.1.99"}, RESTART),
    ("ghost", {}, {"ttlSecurity": "true"}, RESTART),
    ("ghost", {}, {"password": "abc"}, RESTART),
    ("ghost", {"password": "abc"}, {"password": "abd"}, RESTART),
    ("ghost", {}, {"passwordFile": SECRET}, RESTART),
    ("ghost", FAR, {"multihop": 4}, RESTART),
    ("ghost", FAR, {"gateway": "192.168.1.12"}, KEEP),
    # Its own name is its session's.
    ("ghost", {}, {"name": "other"}, ("remove", "add")),
]
HAS_SEND_HOLD_TIME = bird_version() >= (2, 15)
if HAS_SEND_HOLD_TIME:
    TABLE += [(where, {}, {"sendHoldTime": 300}, RESTART) for where in ("session", "tor")]
# The other side has a say in these; they have tests of their own.  sendHoldTime is in the
# table where BIRD has it.
ELSEWHERE = {("tor", "bfd"), ("session", "bfd"), ("session", "ttlSecurity"),
             ("session", "password"), ("session", "passwordFile"), ("tor", "extendedNextHop"),
             ("session", "sendHoldTime"), ("tor", "sendHoldTime")}


def entry(options):
    return "{" + ", ".join(f"{key}: {value}" for key, value in options.items()) + "}"


def config(lab, where=None, options=None):
    """The lab's file, with these options at `where`."""
    head = lab.config().split("peers:\n")[0]
    head = head.replace("  - name: node1\n", "  - name: node1\n    labels: {rack: a}\n")
    peers = [entry({**values, **(options if where == name else {})})
             for name, values in PEERS.items()]
    return (head + "peers:\n" + "".join(f"  - {text}\n" for text in peers)
            + "bird: {confirmTimeout: 60}\n"
            + (f"session: {entry(options)}\n" if where == "session" else ""))


# -- looking -------------------------------------------------------------------

def planned(node, text):
    """{session: action}, as roostctl plan has it for a file that is not there yet."""
    with open(node.path(PLANNED), "w", encoding="utf-8") as stream:
        stream.write(text)
    done = node.roostctl("-o", "json", "plan", f"/{PLANNED}")
    assert done.returncode in (0, 2), done.stderr
    return {row["session"]: row["action"] for row in json.loads(done.stdout)["sessions"]}


def actions(log, sessions):
    """{session: what BIRD did to it}, of the log of one reconfiguration"""
    done = {name: "keep" for name in sessions}
    for pattern, action in ((r"Reloading channel (\S+)\.ipv[46]", "refresh"),
                            (r"Restarting protocol (\S+)", "RESTART"),
                            (r"Adding protocol (\S+)", "add"),
                            (r"Removing protocol (\S+)", "remove")):
        done.update((name, action) for name in re.findall(pattern, log) if name in done)
    return done


def change(node, text):
    """Plans and applies; the plan, what BIRD did, and its log meanwhile."""
    plan = planned(node, text)
    before = len(bird_log(node))
    node.write_config(text)
    done = node.roostctl("apply")
    assert done.returncode == 0, done.stdout + done.stderr
    log = bird_log(node)[before:]
    return plan, actions(log, plan), log


def went_down(log):
    """The sessions that did."""
    return {name for name in re.findall(r"(\S+): State changed to (?:stop|flush|down)", log)
            if ":" in name}


def wait_up(node, *sessions):
    wait_until(lambda: set(sessions) <= set(since(node)), 60, f"{sessions} are up on {node.name}")


@pytest.fixture(scope="module")
def changes(make_lab):
    """node1, with everything as it is before any change."""
    lab = make_lab(nodes=2, tor="bird")
    node = lab.node("node1")
    for other in lab.nodes.values():
        wait_healthy(other)
    node.exec(["sh", "-c", f"umask 027; echo abc > {SECRET}; chgrp bird {SECRET}"])
    change(node, config(lab))
    return lab, node


# -- the table -----------------------------------------------------------------

def row_name(row):
    where, before, after, _ = row
    return f"{where}:{','.join(key for key in after)}{'-changes' if set(after) & set(before) else ''}"


@pytest.mark.parametrize("row", TABLE, ids=map(row_name, TABLE))
def test_plan_says_what_bird_does(changes, row):
    lab, node = changes
    where, before, after, expected = row
    concerned = {"node2:v4", "tor:peer", "ghost:peer"} if where == "session" else {f"{where}:peer"}
    if before:
        change(node, config(lab, where, before))
    wait_up(node, "node2:v4", "tor:peer")
    others = {name: stamp for name, stamp in since(node).items() if name not in concerned}

    for options, action in (({**before, **after}, expected[0]), (before, expected[1])):
        plan, did, log = change(node, config(lab, where, options))
        wanted = {name: action if name in concerned else "keep" for name in did}
        if "name" in after:
            wanted["other:peer"] = "add" if action == "remove" else "remove"
        assert plan == wanted
        assert did == wanted
        assert went_down(log) == {name for name in wanted if wanted[name] in ("RESTART", "remove")}

    change(node, config(lab))
    now = since(node)
    assert {name: now.get(name) for name in others} == others


def known_keys(node, text):
    """The keys that roostctl knows where the one named `unknown` stands."""
    with open(node.path(PLANNED), "w", encoding="utf-8") as stream:
        stream.write(text)
    error = node.roostctl("check", f"/{PLANNED}").stderr
    return set(error.split("known here: ")[1].strip().split(", "))


def test_every_key_is_in_the_table(changes):
    lab, node = changes
    tested = ELSEWHERE | {(where, key) for where, _, after, _ in TABLE for key in after}
    session = known_keys(node, config(lab, "session", {"unknown": 1}))
    assert session == {key for where, key in tested if where == "session"}
    peers = known_keys(node, config(lab, "tor", {"unknown": 1}))
    assert peers == {key for where, key in tested if where != "session"}


# -- and at random -----------------------------------------------------------------

EDITS, SEED = 50, 20261124
# What a key may be; None: it is left out.
POOL = {
    "session": {"holdTime": [60, 77], "keepaliveTime": [10, 20], "connectRetryTime": [6, 7],
                "gracefulRestart": ["{restartTime: 90}"], "importLimit": [900, 901],
                "longLivedGracefulRestart": ["{staleTime: 60}"]},
    "tor": {"holdTime": [70, 80], "addPaths": ["rx", "both"], "importLimit": [500, 501],
            "import": ["[]", "[10.0.0.0/8]", "[0.0.0.0/0, 10.244.0.0/16]"],
            "export": ["[]", "[cluster]", "[pods, default]"], "localPreference": [150, 200],
            "asPathLimit": [1, 2], "med": [5, 6], "communities": ["['64512:100']"],
            "largeCommunities": ["['64512:100:1']"], "nextHopSelf": ["false", "true"],
            "nodeSelector": ["{rack: a}", "{rack: b}"]},
    "ghost": {"holdTime": [70, 80], "passive": ["true"], "role": ["customer", "peer"],
              "allowLocalAS": [1, 2], "address": ["192.168.1.251"], "asNumber": [65098],
              "port": [1179], "password": ["abc", "abd"], "ttlSecurity": ["true"],
              "import": ["[]", "[0.0.0.0/0]"], "export": ["[cluster]"], "med": [5],
              "importLimit": [500], "nodeSelector": ["{rack: b}"]},
    "node9": {"podCIDRs": ["[10.244.9.0/24]", "[10.244.9.0/25]"], "there": ["true"]},
}


def random_edit(chance, state):
    """Changes one to three keys of one place."""
    where = chance.choices(list(POOL), weights=(2, 6, 5, 3))[0]
    for key in chance.sample(sorted(POOL[where]), chance.randint(1, min(3, len(POOL[where])))):
        value = chance.choice([None, *POOL[where][key]])
        state[where].pop(key, None)
        if value is not None:
            state[where][key] = value
    return where


def config_of(lab, state):
    """The file with all of that."""
    head = config(lab).split("peers:\n")[0]
    node9 = dict(state["node9"])
    if node9.pop("there", None):
        head += "  - " + entry({"name": "node9", "addresses": "[192.168.1.19]", **node9}) + "\n"
    peers = [entry({**values, **state[name]}) for name, values in PEERS.items()]
    return (head + "peers:\n" + "".join(f"  - {text}\n" for text in peers)
            + "bird: {confirmTimeout: 60}\n" + f"session: {entry(state['session'])}\n")


@pytest.mark.plain
def test_fifty_random_edits_do_what_plan_has_said(changes):
    lab, node = changes
    change(node, config(lab))
    wait_up(node, "node2:v4", "tor:peer")
    chance, state = random.Random(SEED), {where: {} for where in POOL}
    counts = collections.Counter()
    for number in range(EDITS):
        where = random_edit(chance, state)
        up = set(since(node))
        plan, did, log = change(node, config_of(lab, state))
        # Of a session that is not up no route is looked at again, and BIRD says nothing.
        seen = {name: "keep" if action == "refresh" and name not in up else action
                for name, action in plan.items()}
        assert did == seen, f"edit {number}, {where}: {state[where]}\n{log}"
        assert went_down(log) == {name for name in plan if plan[name] in ("RESTART", "remove")}
        counts.update(plan.values())
    print(f"{EDITS} edits: {dict(counts)}")
    assert len(counts) == 5, f"not every action was among them: {counts}"
    change(node, config(lab))
    wait_up(node, "node2:v4", "tor:peer")


# -- what the other side has a say in --------------------------------------------

def change_router(lab, edit):
    path = lab.tor.path("etc/bird/bird.conf")
    with open(path, encoding="utf-8") as stream:
        text = stream.read()
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(edit(text))
    lab.tor.birdc("configure")


def bfd_is_up(node):
    return any(row["session"] == "tor:peer" and row["bfd"] == "Up" for row in table(node, "peers"))


def test_bfd_comes_without_a_restart_and_its_timers_change_but_its_end_is_one(changes):
    lab, node = changes
    change_router(lab, lambda text: "protocol bfd { }\n" + text.replace(
        "template bgp node4 {\n", "template bgp node4 {\n\tbfd on;\n\terror wait time 1, 1;\n"))
    wait_up(node, "node2:v4", "tor:peer")
    before = since(node)

    for options in ({"bfd": "true"}, {"bfd": "{interval: 200, multiplier: 6}"},
                    {"bfd": "{interval: 300, multiplier: 6}"}):
        plan, did, _ = change(node, config(lab, "tor", options))
        assert plan == did == {"node2:v4": "keep", "tor:peer": "keep", "ghost:peer": "keep"}
        wait_until(lambda: bfd_is_up(node), 30, f"BFD is up with {options}")
        assert since(node) == before

    # Our BIRD keeps the session, the router ends it.
    seen = len(bird_log(node))
    plan, did, _ = change(node, config(lab))
    assert plan == {"node2:v4": "keep", "tor:peer": "RESTART", "ghost:peer": "keep"}
    assert did["tor:peer"] == "keep"
    wait_until(lambda: "tor:peer" in went_down(bird_log(node)[seen:]), 30, "the router ends it")
    assert "node2:v4" not in went_down(bird_log(node)[seen:])
    wait_up(node, "node2:v4", "tor:peer")


def test_ttl_security_holds_a_session_together_when_both_have_it(changes):
    lab, node = changes
    wait_up(node, "node2:v4", "tor:peer")
    before = since(node)["node2:v4"]
    # hold time: so long may a session be half up that one side alone has it on.
    here = "\tttl security on;\n\thold time 9;\n"
    change_router(lab, lambda text: text.replace("template bgp node4 {\n",
                                                 f"template bgp node4 {{\n{here}"))
    change(node, config(lab, "tor", {"ttlSecurity": "true"}))
    wait_up(node, "tor:peer")
    change_router(lab, lambda text: text.replace(here, ""))
    change(node, config(lab))
    wait_up(node, "tor:peer")
    assert since(node)["node2:v4"] == before


def link_local(machine):
    out = machine.exec(["ip", "-j", "-6", "address", "show", "dev", "eth0", "scope", "link"]).stdout
    return json.loads(out)[0]["addr_info"][0]["local"]


def test_a_router_with_no_more_than_a_link_local_address_carries_ipv4(changes):
    """By IPv6 next hops, over one session; to begin with that is a restart of this one."""
    lab, node = changes
    change_router(lab, lambda text: text + f"""
protocol bgp link_local {{
	local as {TOR_AS};
	neighbor {link_local(node)} as {CLUSTER_AS};
	interface "eth0";
	connect delay time 1;
	ipv6 {{ import all; export none; }};
	ipv4 {{ import where net ~ [ {CLUSTER[4]}+ ]; export where net = 0.0.0.0/0; next hop self;
	       extended next hop on; }};
}}
""")
    router = link_local(lab.tor)
    options = {"address": f"'{router}'", "interface": "eth0", "asNumber": TOR_AS,
               "import": "[0.0.0.0/0]"}
    change(node, config(lab, "ghost", options))
    wait_up(node, "ghost:peer", "tor:peer", "node2:v4")
    before = since(node)

    for wanted in ({**options, "extendedNextHop": "true"}, options):
        plan, did, log = change(node, config(lab, "ghost", wanted))
        assert plan == did == {"node2:v4": "keep", "tor:peer": "keep", "ghost:peer": "RESTART"}
        assert went_down(log) == {"ghost:peer"}
        wait_up(node, "ghost:peer")
        if wanted is not options:
            wait_until(lambda: "10.244.1.0/24" in lab.tor.birdc("show route protocol link_local"),
                       30, "the router has the node's podCIDR by that session")
            wait_until(lambda: any(route["dst"] == "default" and route.get("via", {}).get("host") == router
                                   for route in node.routes()), 30, "the default route is by IPv6")
    after = since(node)
    assert all(after[name] == before[name] for name in ("tor:peer", "node2:v4"))
    wait_until(lambda: not any("via" in route for route in node.routes()), 30, "it is gone")
    change(node, config(lab, "ghost", {"nodeSelector": "{rack: b}"}))   # or it would be waited for
    change(node, config(lab))


# -- what both sides must have, on all nodes at once ------------------------------

@pytest.fixture(scope="module")
def mesh(make_lab):
    lab = make_lab(nodes=4, tor="none", ipv6=True)
    for node in lab.nodes.values():
        wait_healthy(node)
        node.exec(["sh", "-c", f"umask 027; echo abc > {SECRET}; chgrp bird {SECRET}"])
    return lab


@pytest.fixture(scope="module")
def pair(make_lab):
    lab = make_lab(nodes=2, tor="none", ipv6=True)
    for node in lab.nodes.values():
        wait_healthy(node)
    return lab


def became_of(node, generation):
    """What became of the ones after that."""
    return {row["outcome"] for row in table(node, "history") if (row["generation"] or 0) > generation}


def change_everywhere(lab, options):
    """All nodes get the file at the same time.  {node: (what it had planned, the sessions that
    went down, what became of the steps)}"""
    text = lab.config() + f"session: {entry(options)}\n"
    plans = {node: planned(node, text) for node in lab.nodes.values()}
    seen = {node: len(bird_log(node)) for node in plans}
    old = {node: status(node)["configuration"]["generation"] for node in plans}
    for node in plans:
        node.write_config(text)

    def has_it(node):
        return (node.roostctl("plan").returncode == 0 and len(since(node)) == len(plans[node])
                and status(node).get("health") == "healthy")
    for node in plans:
        wait_until(lambda: has_it(node), 90,
                   lambda: f"{node.name} has it: {status(node).get('problems')} {since(node)}", 0.5)
    return {node: (plan, went_down(bird_log(node)[seen[node]:]), became_of(node, old[node]))
            for node, plan in plans.items()}


def check_everywhere(lab, options, action):
    for node, (plan, down, became) in change_everywhere(lab, options).items():
        sessions = {f"{other}:v{family}" for other in lab.nodes if other != node.name for family in (4, 6)}
        assert plan == dict.fromkeys(sessions, action), node.name
        assert became == {"confirmed"}, node.name
        assert down == (sessions if action == "RESTART" else set()), node.name


@pytest.mark.plain
@pytest.mark.parametrize("before, after", [
    ({}, {"password": "abc"}),
    ({"password": "abc"}, {"password": "abd"}),
    ({}, {"passwordFile": SECRET}),
])
def test_a_password_comes_and_goes_on_all_nodes_of_a_mesh_at_once(mesh, before, after):
    """All sessions restart, in steps, and each is up again when both its ends have had it."""
    change_everywhere(mesh, before)
    check_everywhere(mesh, after, "RESTART")
    check_everywhere(mesh, before, "RESTART")


@pytest.mark.plain
def test_bfd_comes_and_goes_on_all_nodes_of_a_mesh_at_once(mesh):
    """Its end is planned as a restart.  If the neighbour takes it for a failure first it is one."""
    change_everywhere(mesh, {})
    check_everywhere(mesh, {"bfd": "true"}, "keep")
    wait_until(lambda: all(row["bfd"] == "Up" for node in mesh.nodes.values()
                           for row in table(node, "peers")), 30, "BFD is up everywhere")
    for node, (plan, down, became) in change_everywhere(mesh, {}).items():
        assert set(plan.values()) == {"RESTART"} and became == {"confirmed"}, node.name
        assert down <= set(plan), node.name


def test_ttl_security_comes_and_goes_on_two_nodes_at_once(pair):
    check_everywhere(pair, {"ttlSecurity": "true"}, "RESTART")
    check_everywhere(pair, {}, "RESTART")


# -- what this BIRD lacks ------------------------------------------------------

@pytest.mark.skipif(HAS_SEND_HOLD_TIME, reason="this BIRD has all options: they are in the table")
def test_an_option_that_this_bird_lacks_is_refused_by_name_and_version(changes):
    lab, node = changes
    change(node, config(lab))
    before = since(node)
    version = ".".join(map(str, bird_version()))
    for where, who in (("session", "session"), ("tor", "peer tor")):
        said = f"{who}: sendHoldTime needs BIRD 2.15 or newer, and this BIRD is {version}"
        node.write_config(config(lab, where, {"sendHoldTime": 300}))
        plan = node.roostctl("plan")
        assert (plan.returncode, plan.stdout, plan.stderr) == (1, "", f"roostctl: {said}\n")
        done = node.roostctl("apply")
        assert done.returncode == 1
        assert "refused" in done.stdout + done.stderr and said in done.stdout + done.stderr
        assert f"the configuration was not applied (refused): {said}" in status(node)["problems"]
        assert since(node) == before
    change(node, config(lab))
    assert status(node)["configuration"]["lastRefusal"] is None


# -- passwords -----------------------------------------------------------------

def vtysh(router, *lines):
    commands = [word for line in ("configure terminal", f"router bgp {TOR_AS}", *lines)
                for word in ("-c", line)]
    router.exec(["vtysh", *commands])


def write_secret(node, text):
    """As an operator would: readable by BIRD's group, which roostd is in."""
    node.exec(["sh", "-c", f"umask 027; echo '{text}' > {SECRET}.new; chgrp bird {SECRET}.new; "
                           f"mv {SECRET}.new {SECRET}"])


def outcome(node):
    return (status(node)["configuration"]["lastRefusal"] or {}).get("outcome")


def tor_row(node):
    return [row for row in table(node, "peers") if row["session"] == "tor:peer"][0]


def test_a_password_shared_with_frr_a_wrong_one_and_who_may_see_it(make_fresh_lab):
    lab = make_fresh_lab(nodes=1, tor="frr")
    node = lab.node("node1")
    wait_up(node, "tor:peer")
    neighbour = f"neighbor {node.addresses.address[4]} password"

    vtysh(lab.tor, f"{neighbour} rightpass")
    write_secret(node, "rightpass")
    text = lab.config().replace(f"    asNumber: {TOR_AS}\n",
                                f"    asNumber: {TOR_AS}\n    passwordFile: {SECRET}\n")
    node.write_config(text)
    wait_up(node, "tor:peer")
    wait_healthy(node)

    # roostd sees the file change, and undoes it, because the session does not come back.
    node.write_config(text + "bird: {confirmTimeout: 5}\n")
    node.roostctl("apply")
    write_secret(node, "wrongpass")
    wait_until(lambda: outcome(node) == "rolled back", 60, "the wrong password is undone")
    wait_up(node, "tor:peer")

    # Now the router's is another one: there is nothing to go back to.
    write_secret(node, "rightpass")
    wait_healthy(node)
    vtysh(lab.tor, f"{neighbour} otherpass")
    lab.tor.exec(["vtysh", "-c", f"clear bgp {node.addresses.address[4]}"])
    wait_until(lambda: "password" in (tor_row(node)["reason"] or ""), 60,
               "the reason speaks of the password")
    assert not tor_row(node)["up"]
    vtysh(lab.tor, f"{neighbour} rightpass")
    wait_up(node, "tor:peer")
    assert "password" not in (tor_row(node)["reason"] or "")

    # Nowhere is it shown, and nobody but BIRD's group can read it.
    shown = [node.roostctl(command).stdout for command in ("status", "peers")]
    node.stop_roostd()
    write_secret(node, "rightpass2")        # so that there is a difference to show
    for argv in (["plan"], ["-o", "json", "plan"], ["render"], ["-o", "json", "render"]):
        shown.append(node.roostctl(*argv).stdout)
        assert "(hidden 1)" in shown[-1] and ("(hidden 2)" in shown[-1]) == ("plan" in argv)
    log = node.path("roostd.log")
    with open(log, encoding="utf-8") as stream:
        shown.append(stream.read())
    assert not [text for text in shown for word in ("rightpass", "wrongpass") if word in text]
    found = node.exec(["grep", "-rlE", "rightpass|wrongpass", "/var/lib/roost", "/run/roost"],
                      check=False).stdout.split()
    assert found
    for path in found:
        mode, owner = node.exec(["stat", "-c", "%a %G", path]).stdout.split()
        assert (mode, owner) == ("640", "bird"), path
