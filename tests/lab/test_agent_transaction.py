"""A change cannot lock anybody out: what it costs is undone, whoever dies meanwhile, and
one can go back."""

import contextlib
import json
import re
import signal
import threading
from datetime import datetime, timezone

import pytest
from cluster import bird_log, loads, roostd_log, running_id, since, status, table, wait_healthy
from proxy import PATH, Proxy

from roostlab import wait_until

QUICK = "bird: {confirmTimeout: 5}\n"


def history(node):
    return json.loads(node.roostctl("-o", "json", "history").stdout or '[{"outcome": "no roostd"}]')


def configuration(node):
    return status(node).get("configuration", {})


def file_id(node):
    """The configuration that BIRD would start from."""
    text = node.exec(["cat", "/var/lib/roost/bird/bird.conf"]).stdout
    return re.search(r"generation \d+ \((\w+)\)", text).group(1)


def change(node, text, expect=0):
    node.write_config(text)
    done = node.roostctl("apply")
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout


def back_to_normal(lab, node):
    before = loads(node)
    node.write_config(lab.config())
    wait_until(lambda: loads(node) > before, 20, "the file was read")     # else it is healthy with the old one
    wait_until(lambda: file_id(node) == running_id(node) and not configuration(node)["applying"], 60,
               "and BIRD has it")
    wait_healthy(node, 60)


def seconds(refusal):
    """From a refusal to the next try."""
    at, then = (datetime.fromisoformat(refusal[key]) for key in ("at", "nextTryAt"))
    return (then - at).total_seconds()


def look(node):
    """Has roostd read its file once more."""
    before = loads(node)
    node.exec(["touch", "/etc/roost/roost.yaml"])
    wait_until(lambda: loads(node) > before, 10, "roostd has looked")


def wait_sessions(node, names):
    wait_until(lambda: set(since(node)) == set(names), 60, lambda: f"{names} are up: {since(node)}")


# -- undone by itself ----------------------------------------------------------

def test_a_change_that_cuts_the_node_off_is_undone_with_nobody_there(lab):
    node, other = lab.node("node1"), lab.node("node2")
    old, kept = running_id(node), since(node)
    node.write_config(lab.config(extra="session: {password: nobody-else-has-it}\n" + QUICK))
    wait_until(lambda: configuration(node)["lastRefusal"], 20, "it was undone")
    assert running_id(node) == old == file_id(node)
    refusal = configuration(node)["lastRefusal"]
    assert refusal["outcome"] == "rolled back" and "was up before" in refusal["reason"]
    assert 59 <= seconds(refusal) <= 61
    assert any("tried again at " + refusal["nextTryAt"] in problem
               for problem in status(node)["problems"])
    newest = history(node)[0]
    assert newest["outcome"] == "rolled back" and newest["reason"] == refusal["reason"]
    assert "RESTART" in newest["changes"] and not newest["kept"]
    assert refusal["reason"] in node.roostctl("history").stdout

    # Not all of them went at once, and all are back.
    assert set(kept.items()) & set(since(node).items())
    wait_until(lambda: set(since(node)) == set(kept), 60, "all sessions are up again")
    wait_until(lambda: all(ping.ok for ping in lab.ping_matrix()), 20, "traffic is back")
    node.write_config(lab.config())
    wait_healthy(node)
    assert history(other)[0]["outcome"] == "confirmed"


def test_a_session_of_an_earlier_trial_is_held_against_no_other_change(lab):
    """The router lets this node wait after it was refused; meanwhile something else has
    to be changed."""
    node = lab.node("node1")
    router = lab.tor
    refused = lab.config(extra=QUICK).replace("192.168.1.1\"\n", "192.168.1.99\"\n")
    change(node, refused, expect=1)
    # The router stays away, as after an error.
    router.birdc("disable all")
    try:
        wait_until(lambda: "tor:peer" not in since(node), 30, "the router is gone")
        before = since(node)
        change(node, lab.config(extra="session: {importLimit: 5000}\n" + QUICK))
        assert since(node) == before
        # But asking again for what was rolled back is still no way round.
        assert "session tor:peer was up before" in change(node, refused, expect=1)
    finally:
        router.birdc("enable all")
    node.write_config(lab.config())
    wait_until(lambda: "tor:peer" in since(node), 60, "the router is back")
    wait_healthy(node)


@contextlib.contextmanager
def template_of(node, old, new):
    """The operator's own template for IPv4, with one thing in it done in another way."""
    with open(f"{node.programs.templates}/ipv4.conf", encoding="utf-8") as stream:
        bad, n = re.subn(old, new, stream.read())
    assert n == 1
    folder = node.path("root") + "/etc/roost/bird-templates"
    node.exec(["mkdir", "-p", "/etc/roost/bird-templates"])
    try:
        with open(f"{folder}/ipv4.conf", "w", encoding="utf-8") as stream:
            stream.write(bad)
        yield
    finally:
        node.exec(["rm", "-r", "/etc/roost/bird-templates"])


MUTE = "export where source = RTS_STATIC.*", "export none;"


def test_neighbours_are_told_of_the_pods_as_before(lab):
    """A slip in the export: each session stays up, and nobody would hear of this node."""
    node = lab.node("node1")
    change(node, lab.config(extra=QUICK))
    old, before = running_id(node), since(node)
    with template_of(node, *MUTE):
        done = node.roostctl("apply", "--force")
        assert done.returncode == 1 and "is told 0 of this node's podCIDRs" in done.stdout
        assert (running_id(node), since(node)) == (old, before)
    change(node, lab.config())
    wait_healthy(node, 60)


def test_what_neighbours_say_again_is_waited_for(lab):
    """The router's route is there until it has said it again: only then the filter takes it
    for one of this node's own, and refuses it."""
    node = lab.node("node1")
    wide = lab.config(extra=QUICK).replace('["10.244.0.0/16"]', '["10.244.0.0/16", "10.99.0.0/16"]') \
        .replace('["10.244.2.0/24"]', '["10.244.2.0/24", "10.99.2.0/24"]')
    change(node, wide)
    wait_until(lambda: any(row["session"] == "tor:peer" and row["routesIn"] == 1
                           for row in table(node, "peers")), 10, "the router's route is taken")
    old, before = running_id(node), since(node)
    said = change(node, wide.replace('["10.244.1.0/24"]', '["10.244.1.0/24", "10.99.0.0/24"]'), expect=1)
    assert "of 3 routes that were learned 2 are left, and agent.maxWithdraw is 25%" in said
    assert (running_id(node), since(node)) == (old, before)
    change(node, lab.config())
    wait_healthy(node, 60)


# -- tried again -----------------------------------------------------------------

def test_what_was_rolled_back_is_tried_again_by_itself(lab):
    """It has waited for a router, which comes a little later."""
    node = lab.node("node1")
    wait_healthy(node, 60)
    change(node, lab.config(extra=QUICK).replace("192.168.1.1\"\n", "192.168.1.99\"\n"), expect=1)
    old = running_id(node)
    lab.tor.exec(["ip", "address", "add", "192.168.1.99/24", "dev", "eth0"])
    try:
        wait_until(lambda: running_id(node) not in ("", old), 120, "it was tried again")
        wait_until(lambda: file_id(node) == running_id(node), 20, "and is confirmed")
        assert history(node)[0]["by"] == "another try"
    finally:
        back_to_normal(lab, node)
        lab.tor.exec(["ip", "address", "del", "192.168.1.99/24", "dev", "eth0"])


def test_a_file_that_is_no_good_meanwhile_does_not_end_the_trying(lab):
    node = lab.node("node1")
    wait_healthy(node, 60)
    bad = lab.config(extra="session: {password: nobody-else-has-it-too}\n" + QUICK)
    good, names = running_id(node), set(since(node))
    change(node, bad, expect=1)
    then = datetime.fromisoformat(configuration(node)["lastRefusal"]["nextTryAt"])
    wait_sessions(node, names)
    node.write_config("nonsense: [")
    wait_until(lambda: datetime.now(timezone.utc) > then and
               not configuration(node)["lastRefusal"]["nextTryAt"], 90, "its time has passed")
    node.write_config(bad)
    wait_until(lambda: history(node)[0]["times"] == 2, 30, "it was tried again")
    assert running_id(node) == good
    # And costs twice the time.
    wait_until(lambda: 119 <= seconds(configuration(node)["lastRefusal"]) <= 121, 10, "two minutes")
    back_to_normal(lab, node)


# -- after a reboot --------------------------------------------------------------

def power_cycle(node, *commands):
    """Both die, what is in /run goes, and the machine comes up again."""
    kill_both(node)
    node.exec(["rm", "-f", "/run/roost/node.json"])
    for command in commands:
        node.exec(["sh", "-c", f"cd /var/lib/roost/bird && {command}"])
    node.start_bird()
    node.start_roostd()


def test_what_was_rolled_back_is_not_confirmed_by_a_reboot(lab):
    """Nothing is up then, so nothing could be judged."""
    node = lab.node("node1")
    wait_healthy(node, 60)
    good, names = running_id(node), set(since(node))
    node_json = node.exec(["cat", "/run/roost/node.json"]).stdout
    change(node, lab.config(extra="session: {password: nobody-has-it}\n" + QUICK), expect=1)
    reason = configuration(node)["lastRefusal"]["reason"]
    # Whatever was measured before is of another clock.
    power_cycle(node, "sed -i 's/^[0-9]*/999999999/' trial")
    wait_until(lambda: configuration(node).get("lastRefusal"), 20, "it is known still")
    refusal = configuration(node)["lastRefusal"]
    assert (refusal["outcome"], refusal["reason"]) == ("rolled back", reason)
    assert refusal["nextTryAt"] > refusal["at"]
    # What was good is whole: also what the plugin is told.
    assert running_id(node) == good == file_id(node)
    assert node.exec(["cat", "/run/roost/node.json"]).stdout == node_json
    wait_sessions(node, names)
    look(node)
    assert running_id(node) == good and history(node)[0]["times"] == 1
    back_to_normal(lab, node)


def test_a_file_that_is_no_good_is_undone_also_just_after_a_reboot(lab):
    """Nobody knows of it; BIRD's sessions get the time to come up that they need."""
    node = lab.node("node1")
    wait_healthy(node, 60)
    good = running_id(node)
    kill_both(node)
    node.exec(["sh", "-c", "cd /var/lib/roost/bird && rm -f trial refused"])
    node.write_config(lab.config(extra="session: {password: nobody-knows}\n" + QUICK))
    node.start_bird()
    node.start_roostd()
    wait_until(lambda: configuration(node).get("lastRefusal"), 90, "it was undone")
    assert configuration(node)["lastRefusal"]["outcome"] == "rolled back"
    assert running_id(node) == good == file_id(node)
    back_to_normal(lab, node)


# -- killed at any step ----------------------------------------------------------

STEPS = ("configure status", "eval ROOST_CONFIG", "show protocols all", "configure check",
         "configure \"", "configure status", "show protocols all", "configure confirm")


@pytest.fixture(scope="module")
def watched(make_lab):
    """A node whose roostd speaks to BIRD through our hands, and two files for it."""
    lab = make_lab(nodes=1, tor="bird")
    node = lab.node("node1")
    wait_healthy(node)
    with Proxy(node) as proxy:
        texts = [lab.config(extra=f"bird: {{socket: {PATH}, confirmTimeout: 5}}\n"
                            f"session: {{importLimit: {n}}}\n")
                 for n in (1000, 2000)]
        ids = []
        for text in texts:
            change(node, text)
            ids.append(running_id(node))
        yield node, proxy, texts, ids
        node.write_config(lab.config())
        wait_healthy(node)


def run_into(node, proxy, text, number, when, act):
    """Changes the file, and acts at one moment of the transaction; what it was."""
    reached, moment = threading.Event(), []

    def at(at_number, command, at_when):
        if (at_number, at_when) != (number, when) or moment:
            return False
        moment.append(command)
        act()
        reached.set()
        return True

    proxy.act = at
    node.write_config(text)
    assert reached.wait(20), f"no command {number} {when}"
    proxy.act = lambda *_: False
    return moment[0]


def kill_both(node):
    """As when the power goes."""
    node.stop_roostd(signal.SIGKILL)
    node.stop_bird(signal.SIGKILL)


VICTIMS = {"roostd": lambda node: node.kill_roostd(), "bird": lambda node: node.kill_bird(),
           "both": kill_both}


@pytest.mark.parametrize("victim", VICTIMS)
def test_killed_at_every_step_it_ends_in_a_confirmed_generation(watched, victim):
    node, proxy, texts, ids = watched
    seen = []
    for number, step in enumerate(STEPS, 1):
        for when in ("sent", "answered") if victim == "roostd" else ("answered",):
            old, new = (0, 1) if running_id(node) == ids[0] else (1, 0)
            command = run_into(node, proxy, texts[new], number, when,
                               lambda: VICTIMS[victim](node))
            seen.append(command)
            assert command.startswith(step), seen
            if victim == "both":
                # A reboot: BIRD comes first, and is what was confirmed.
                assert file_id(node) == ids[old]
                node.start_bird()
                wait_until(lambda: running_id(node) == ids[old], 10, f"BIRD is back: {command}")
                node.start_roostd()
            wait_until(lambda: running_id(node) == ids[new] == file_id(node), 20,
                       f"{victim} killed, {command} {when}: it ends in the new one")
            wait_until(lambda: configuration(node).get("applying") is False, 20, "it has ended")
            assert status(node)["bird"]["unconfirmed"] is False
            assert configuration(node)["id"] == ids[new]
            newest = history(node)[0]
            assert (newest["id"], newest["outcome"]) == (ids[new], "confirmed"), newest


def test_killed_while_a_bad_file_is_tried_or_undone_it_ends_where_it_was(watched):
    node, proxy, texts, _ = watched
    for limit, step, when, victim in ((1001, "show protocols all", "answered", "both"),
                                      (1002, "configure undo", "sent", "roostd"),
                                      (1003, "configure undo", "answered", "both"),
                                      (1004, "configure status", "answered", "roostd")):
        # What was rolled back once would have to wait.
        change(node, texts[0].replace("importLimit: 1000", f"importLimit: {limit}"))
        good = running_id(node)
        said, reached = [], threading.Event()

        def at(_, command, at_when):
            said.append(command)
            # The last is how it is seen that BIRD has undone it.
            before = "configure undo" if step == "configure status" else "configure \""
            if reached.is_set() or at_when != when or not command.startswith(step) or \
                    not any(old.startswith(before) for old in said[:-1]):
                return False
            VICTIMS[victim](node)
            reached.set()
            return True

        with template_of(node, *MUTE):
            proxy.act = at
            assert reached.wait(20), f"{step} {when}: {said}"
            proxy.act = lambda *_: False
            if victim == "both":
                assert file_id(node) == good
                node.start_bird()
                node.start_roostd()
            # Tried once more, since nobody was left to remember it.
            wait_until(lambda: configuration(node).get("applying") is False and
                       history(node)[0]["outcome"] == "rolled back", 60,
                       f"{victim} killed, {step} {when}: it is rolled back")
            assert running_id(node) == good == file_id(node)
            assert status(node)["bird"]["unconfirmed"] is False
        wait_healthy(node, 60)
        assert running_id(node) == good == configuration(node)["id"]


def test_killed_between_two_steps_or_in_a_rollback_roostd_goes_on_from_there(lab):
    node = lab.node("node1")
    with Proxy(node) as proxy:
        change(node, lab.config(extra=f"bird: {{socket: {PATH}}}\n"))
        first, before, reached = running_id(node), since(node), threading.Event()
        said = []

        def at(number, command, when):
            said.append(command)
            if reached.is_set() or (number, when) != (1, "sent") or "configure confirm" not in said:
                return False
            node.kill_roostd()
            reached.set()
            return True

        proxy.act = at
        node.write_config(lab.config(extra=f"bird: {{socket: {PATH}}}\nsession: {{holdTime: 78}}\n"))
        assert reached.wait(40), said
        assert {name for name, when in since(node).items() if before[name] == when}, "only a part restarted"
        proxy.act = lambda *_: False
        wait_healthy(node, 60)
        assert [entry["restartsLeft"] for entry in history(node)[:2]] == [0, 1]
        assert not set(before.items()) & set(since(node).items())

        reached.clear()
        said.clear()

        def in_trial(_, command, when):
            if reached.is_set() or when != "answered" or not command.startswith("configure \""):
                return False
            node.kill_roostd()
            reached.set()
            return True

        proxy.act = in_trial
        node.roostctl("rollback")
        assert reached.is_set()
        proxy.act = lambda *_: False
        wait_until(lambda: running_id(node) == first == file_id(node) and
                   configuration(node).get("hold"), 60, "it has gone back, and holds that")
        node.write_config(lab.config())
        assert node.roostctl("apply").returncode == 0
    wait_healthy(node, 60)


# -- back again ------------------------------------------------------------------

def test_rollback_goes_back_and_stays_there_until_the_file_changes(lab):
    node = lab.node("node1")
    wait_healthy(node)
    first, number = running_id(node), configuration(node)["generation"]
    change(node, lab.config(extra="session: {importLimit: 3000}\n"))
    second = running_id(node)
    assert second != first
    now = configuration(node)["generation"]
    confirmed = [entry for entry in history(node) if entry["outcome"] == "confirmed"]
    assert [(entry["generation"], entry["current"], entry["kept"]) for entry in confirmed[:2]] == \
        [(now, True, True), (number, False, True)]

    done = node.roostctl("rollback")
    assert (done.returncode, done.stdout) == (
        0, f"confirmed: generation {now + 1}, which is generation {number} again; roostctl apply ends that\n")
    assert running_id(node) == first == file_id(node)

    def is_held():
        now = status(node)
        return now.get("health") == "degraded" and now["configuration"]["hold"] and \
            any(f"rollback holds generation {number}" in problem for problem in now["problems"])

    assert is_held()
    assert history(node)[0]["by"] == "roostctl rollback"
    # Neither a look nor a restart nor the end of everything brings the file back.
    node.exec(["touch", "/etc/roost/roost.yaml"])
    node.kill_roostd()
    wait_until(is_held, 20, "roostd is back, and holds it still")
    kill_both(node)
    node.start_bird()
    node.start_roostd()
    wait_until(is_held, 20, "after a reboot it is held still")
    assert running_id(node) == first

    # roostctl apply follows the file again.
    done = node.roostctl("apply")
    assert done.returncode == 0 and running_id(node) == second
    wait_until(lambda: not configuration(node)["hold"], 10, "nothing is held")
    wait_until(lambda: since(node).keys() == since(lab.node("node2")).keys() ^
               {"node1:v4", "node2:v4"}, 60, "all sessions are up")
    # So does a file that has changed.
    assert node.roostctl("rollback", str(number)).returncode == 0
    assert is_held() and running_id(node) == first
    node.write_config(lab.config(extra="session: {importLimit: 4000}\n"))
    wait_until(lambda: running_id(node) not in ("", first, second), 20, "the new file runs")
    wait_until(lambda: not configuration(node)["hold"], 10, "nothing is held")

    done = node.roostctl("rollback", "99999")
    assert done.returncode == 1 and "no generation 99999 to go back to" in done.stdout
    back_to_normal(lab, node)


def is_held(node, number):
    now = status(node)
    return bool(now) and now["configuration"]["hold"] and \
        now["configuration"]["hold"]["generation"] == number


def test_back_from_a_change_that_is_still_on_trial(lab):
    """That one may be confirmed; it is gone back from all the same, and stays so."""
    node = lab.node("node1")
    wait_healthy(node, 60)
    first, number = running_id(node), configuration(node)["generation"]
    node.write_config(lab.config(extra="session: {holdTime: 71}\n"))
    wait_until(lambda: status(node)["bird"]["unconfirmed"], 20, "it is on trial")
    done = node.roostctl("rollback")
    assert done.returncode == 0, done.stdout
    assert running_id(node) == first and is_held(node, number)
    look(node)
    node.kill_roostd()
    wait_until(lambda: is_held(node, number), 20, "roostd is back, and holds it still")
    assert running_id(node) == first
    back_to_normal(lab, node)


def test_rollback_needs_no_good_file(lab):
    node = lab.node("node1")
    wait_healthy(node, 60)
    first, number = running_id(node), configuration(node)["generation"]
    change(node, lab.config(extra="session: {importLimit: 3100}\n"))
    second = running_id(node)
    node.write_config("nonsense: [")
    wait_until(lambda: status(node)["source"]["error"], 10, "the file is bad")
    done = node.roostctl("rollback")
    assert done.returncode == 0, done.stdout
    assert running_id(node) == first == file_id(node) and is_held(node, number)
    assert status(node)["source"]["error"]
    # And mended it is followed.
    node.write_config(lab.config(extra="session: {importLimit: 3100}\n"))
    wait_until(lambda: running_id(node) == second, 20, "the file is followed")
    assert not configuration(node)["hold"]
    back_to_normal(lab, node)


def test_what_is_held_is_about_bird_alone(lab):
    """The plugin goes on with what was in force, and not with what the file says meanwhile."""
    node = lab.node("node1")
    wait_healthy(node, 60)
    change(node, lab.config(extra="session: {importLimit: 3200}\n"))
    before = node.exec(["cat", "/run/roost/node.json"]).stdout
    # Never in force: BIRD refuses it, and it would have another MTU.
    node.exec(["sh", "-c", "mkdir -p /etc/roost/bird.d && echo nonsense >/etc/roost/bird.d/1.conf"])
    change(node, lab.config(extra="cni: {mtu: 1300}\n"), expect=1)
    try:
        assert node.roostctl("rollback").returncode == 0
        assert node.exec(["cat", "/run/roost/node.json"]).stdout == before
        # Also where nothing is left of it.
        power_cycle(node)
        wait_until(lambda: configuration(node).get("hold"), 20, "held still")
        assert node.exec(["cat", "/run/roost/node.json"]).stdout == before
    finally:
        node.exec(["rm", "/etc/roost/bird.d/1.conf"])
        back_to_normal(lab, node)


def test_a_drain_and_a_rollback_do_not_contradict_each_other(lab):
    node = lab.node("node1")
    wait_healthy(node, 60)
    change(node, lab.config(extra="session: {importLimit: 3300}\n"))
    now = running_id(node)
    assert node.roostctl("rollback").returncode == 0
    before = running_id(node)
    # Nothing of a drain would be announced.
    refused = node.roostctl("drain")
    assert refused.returncode != 0
    assert "roostctl rollback holds generation" in refused.stdout + refused.stderr
    assert status(node)["drain"]["state"] == "off"
    assert node.roostctl("apply").returncode == 0 and running_id(node) == now

    number = configuration(node)["generation"]
    assert node.roostctl("drain").returncode == 0
    drained = running_id(node)
    assert drained not in (now, before) and history(node)[0]["drain"] != "off"
    back = node.roostctl("rollback")
    assert back.returncode == 1 and "no generation before" in back.stdout
    back = node.roostctl("rollback", str(number))
    assert back.returncode == 1 and "roostctl undrain first" in back.stdout
    assert running_id(node) == drained

    assert node.roostctl("undrain").returncode == 0 and running_id(node) == now
    assert node.roostctl("rollback").returncode == 0
    assert running_id(node) == before
    back_to_normal(lab, node)


def test_a_generation_that_is_no_good_any_more_is_not_gone_back_to(lab):
    """The router has moved since; what spoke to it at its old place would cut us off."""
    node = lab.node("node1")
    change(node, lab.config(extra=QUICK))
    # Nobody is there, so nothing is lost; then there is.
    change(node, lab.config(extra=QUICK).replace(
        "peers:\n", "peers:\n  - {name: ghost, address: 192.168.1.250, asNumber: 65099}\n"))
    ghost = configuration(node)["generation"]
    change(node, lab.config(extra=QUICK))
    good = running_id(node)
    # A folder is damaged: BIRD says so, and nothing is held.
    node.exec(["sh", "-c", f"echo 'nonsense;' >> /var/lib/roost/bird/gen-{ghost}/node.conf"])
    done = node.roostctl("rollback", str(ghost))
    assert done.returncode == 1 and done.stdout.startswith("refused: node.conf:"), done.stdout
    assert running_id(node) == good and not configuration(node)["hold"]
    back_to_normal(lab, node)


# -- restarts --------------------------------------------------------------------

def most_down(log, name):
    """How many of these sessions were down at the same time."""
    down, most = set(), 0
    for session, state in re.findall(rf"({name}): State changed to (\w+)", log):
        (down.discard if state == "up" else down.add)(session)
        most = max(most, len(down))
    return most


def test_restarts_are_spread(lab):
    node = lab.node("node1")
    wait_healthy(node)
    before, seen = since(node), len(bird_log(node))
    change(node, lab.config(extra="session: {holdTime: 77}\n"))
    wait_until(lambda: len(since(node)) == 3, 60, "all sessions are up again")
    assert all(since(node)[name] != before[name] for name in before)
    assert most_down(bird_log(node)[seen:], r"node\d:v4") == 1
    assert [entry["restartsLeft"] for entry in history(node)[:2]] == [0, 1]
    assert "step confirmed" in roostd_log(node)
    # Back is to before all of it.
    assert node.roostctl("rollback").returncode == 0
    assert "hold time 90;" in node.exec(
        ["sh", "-c", "cd /var/lib/roost/bird && cat $(sed -n 's/include \"\\(.*\\)bird.conf\";/\\1/p' "
                     "bird.conf)sessions.conf"]).stdout
    node.write_config(lab.config())
    assert node.roostctl("apply").returncode == 0
    wait_healthy(node, 60)


# roostd's socket has somebody at its other end.
IS_CONNECTED = "test $(grep -c 'roostd[.]sock$' /proc/net/unix) -ge 2"


def test_more_restarts_than_allowed_are_refused_by_name(lab):
    node = lab.node("node1")
    wait_healthy(node)
    before, old = since(node), running_id(node)
    text = lab.config(extra="session: {holdTime: 66}\n")
    # roostd hears of the file and of us at the same time.
    node.exec(["pkill", "-STOP", "-x", "roostd"])
    node.write_config(text)
    asking = threading.Thread(target=lambda: answers.append(
        node.roostctl("apply", "--max-restarts", "2")))
    answers = []
    asking.start()
    wait_until(lambda: node.exec(["sh", "-c", IS_CONNECTED], check=False).returncode == 0,
               30, "it has asked")
    node.exec(["pkill", "-CONT", "-x", "roostd"])
    asking.join()
    assert answers[0].returncode == 1
    assert answers[0].stdout.startswith(
        "refused: it would restart 3 sessions, and --max-restarts is 2: node2:v4, node3:v4, tor:peer\n")
    # The file is left, whoever looks at it, until somebody lifts the limit.
    node.exec(["touch", "/etc/roost/roost.yaml"])
    wait_until(lambda: configuration(node)["lastRefusal"]["outcome"] == "refused", 10, "refused")
    assert (since(node), running_id(node)) == (before, old)
    node.kill_roostd()
    wait_until(lambda: configuration(node).get("lastRefusal"), 10, "the next roostd knows it")
    assert "--max-restarts is 2" in configuration(node)["lastRefusal"]["reason"]
    assert (since(node), running_id(node)) == (before, old)
    assert node.roostctl("apply", "--max-restarts", "3").returncode == 0
    assert running_id(node) != old
    node.write_config(lab.config())
    assert node.roostctl("apply").returncode == 0
    wait_healthy(node, 60)
