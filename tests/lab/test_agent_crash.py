"""Nobody is needed for a route to stay: roostd and BIRD are killed at bad moments."""

import signal
import time

from cluster import bgp_events, running_id, since, status, wait_healthy

from roostlab import Pinger, wait_until


def pods(lab):
    return [lab.pod(f"{name}-pod1") for name in lab.nodes]


def test_killing_roostd_everywhere_costs_no_ping_and_no_bgp_event(lab):
    one, two, three = pods(lab)
    before = {node.name: (bgp_events(node), since(node)) for node in lab.nodes.values()}
    with Pinger(one.netns, two.address) as first, Pinger(three.netns, one.address) as second:
        for _ in range(5):
            for node in lab.nodes.values():
                node.kill_roostd(signal.SIGKILL)
            for node in lab.nodes.values():
                wait_healthy(node)
    assert (first.stop(), second.stop()) == (0, 0)
    assert before == {node.name: (bgp_events(node), since(node)) for node in lab.nodes.values()}


def test_killing_roostd_at_any_moment_of_a_change_ends_in_old_or_new(lab):
    """Killed 0, 10, 20 ... ms after the file was changed, so in every step of the
    transaction; each time roostd finds out where BIRD stands and ends it."""
    node = lab.node("node1")
    texts = [lab.config(), lab.config(extra="# x\nbird: {confirmTimeout: 5}\n").replace(
        "topology: mesh", "topology: mesh\n")]
    texts[1] = texts[1].replace("10.244.1.0/24\"]", "10.244.1.0/24\", \"10.244.101.0/24\"]")
    ids = []
    for text in texts:
        node.write_config(text)
        wait_until(lambda: text and running_id(node) not in ids + [""], 20, "it runs")
        wait_healthy(node)
        ids.append(running_id(node))
        if len(ids) == 1:
            ids[0] = running_id(node)
    before = since(node)
    moments = [n * 0.01 for n in range(10, 26)]
    for number, moment in enumerate(moments):
        want = number % 2
        node.write_config(texts[want])
        time.sleep(moment)      # the moment of the crash is what is tested
        node.kill_roostd(signal.SIGKILL)
        assert running_id(node) in ids
        wait_until(lambda: running_id(node) == ids[want], 20, f"killed after {moment} s: it runs")
        wait_healthy(node)
        assert status(node)["bird"]["unconfirmed"] is False
        assert ids[want] in node.exec(["cat", "/var/lib/roost/bird/bird.conf"]).stdout
    assert since(node) == before
    node.write_config(texts[0])
    wait_until(lambda: running_id(node) == ids[0], 20, "the old file runs")
    wait_healthy(node)


def test_a_trial_nobody_confirms_is_undone_by_bird_and_found_out(lab):
    """roostd is killed in the middle of a trial and stays away: BIRD goes back by
    itself; the roostd that comes back tries again."""
    node = lab.node("node1")
    old, events = running_id(node), since(node)
    # The router was up and does not come back at an address where nobody is: that
    # keeps the trial waiting.
    node.write_config(lab.config(extra="bird: {confirmTimeout: 8}\n").replace(
        "192.168.1.1\"\n", "192.168.1.99\"\n"))
    wait_until(lambda: "unconfirmed" in node.birdc("configure status"), 20, "the trial is on")
    trial = running_id(node)
    node.stop_roostd(signal.SIGKILL)
    assert trial != old
    wait_until(lambda: running_id(node) == old, 20, "BIRD has undone it")
    node.write_config(lab.config())
    node.start_roostd()
    wait_healthy(node)
    assert running_id(node) == old
    assert {name: since(node)[name] for name in ("node2:v4", "node3:v4")} == \
        {name: events[name] for name in ("node2:v4", "node3:v4")}


def test_a_change_that_loses_a_session_is_rolled_back(lab):
    node = lab.node("node1")
    old = running_id(node)
    node.write_config(lab.config(extra="bird: {confirmTimeout: 5}\n").replace(
        "192.168.1.1\"\n", "192.168.1.99\"\n"))
    wait_until(lambda: status(node)["configuration"]["lastRefusal"], 30, "it was undone")
    refusal = status(node)["configuration"]["lastRefusal"]
    assert refusal["outcome"] == "rolled back"
    assert "session tor:peer was up before" in refusal["reason"]
    assert running_id(node) == old
    assert "tor:peer" in node.exec(["cat", "/var/lib/roost/bird/rejected/reason"]).stdout
    node.write_config(lab.config())
    wait_healthy(node)


def test_what_was_rolled_back_is_not_confirmed_by_asking_again(lab):
    """The session that the first trial cost is still coming back when the second is
    judged; and a file that was touched meanwhile is no new file."""
    node = lab.node("node1")
    old = running_id(node)
    node.write_config(lab.config(extra="session: {importLimit: 5001}\nbird: {confirmTimeout: 5}\n").replace(
        "192.168.1.1\"\n", "192.168.1.99\"\n"))
    wait_until(lambda: "unconfirmed" in node.birdc("configure status"), 20, "the trial is on")
    node.exec(["touch", "/etc/roost/roost.yaml"])
    for _ in range(2):
        done = node.roostctl("apply")
        assert done.returncode == 1 and done.stdout.startswith("rolled back: session tor:peer")
        assert running_id(node) == old
    node.write_config(lab.config())
    wait_healthy(node, 60)


def test_a_bad_file_during_a_trial_is_not_overtaken_by_an_older_one(lab):
    node = lab.node("node1")
    old = running_id(node)
    for text in (lab.config(extra="session: {importLimit: 5002}\nbird: {confirmTimeout: 5}\n").replace(
            "192.168.1.1\"\n", "192.168.1.99\"\n"), lab.config(extra="session: {holdTime: 66}\n")):
        node.write_config(text)
        wait_until(lambda: "unconfirmed" in node.birdc("configure status"), 20, "a trial is on")
    node.write_config("nodes: [\n")
    wait_until(lambda: status(node)["source"]["error"], 20, "the bad file was read")
    wait_until(lambda: not status(node)["configuration"]["applying"], 20, "the trial has ended")
    assert running_id(node) == old
    assert "unconfirmed" not in node.birdc("configure status")
    node.write_config(lab.config())
    wait_healthy(node, 60)


def test_killed_bird_comes_back_by_itself(lab):
    one, two, _ = pods(lab)
    node = lab.node("node1")
    starts = node.service_status()["bird"]["starts"]
    with Pinger(one.netns, two.address) as pinger:
        began = time.monotonic()
        node.kill_bird(signal.SIGKILL)
        wait_until(lambda: node.service_status()["bird"]["starts"] > starts, 10, "BIRD is back")
        wait_until(lambda: len(since(node)) == 3, 60, "all sessions are up again")
        wait_healthy(node)
        took = time.monotonic() - began
    print(f"BIRD killed: healthy again after {took:.1f} s, {pinger.lost} pings lost "
          f"of {pinger.sent} at 20/s")
    assert pinger.lost == 0
    assert all(ping.ok for ping in lab.ping_matrix())


def test_bird_may_come_long_after_roostd(lab):
    node = lab.node("node2")
    node.stop_bird(signal.SIGKILL)
    wait_until(lambda: not status(node)["bird"]["reachable"], 10, "roostd misses BIRD")
    node.write_config(lab.config(extra="session: {holdTime: 60}\n"))
    wait_until(lambda: status(node)["configuration"]["lastOutcome"] == "failed", 10,
               "roostd could not apply")
    assert "bird.ctl" in status(node)["bird"]["error"]
    node.start_bird()
    wait_healthy(node, 60)
    assert "hold time 60;" in node.exec(["sh", "-c", "cat /var/lib/roost/bird/gen-*/sessions.conf"]).stdout
    node.write_config(lab.config())
    wait_until(lambda: "Hold timer" in node.birdc("show protocols all") and
               status(node)["configuration"]["lastOutcome"] == "confirmed", 30, "old times")
    wait_healthy(node, 60)


def test_a_full_disk_changes_nothing_and_is_said(make_fresh_lab):
    lab = make_fresh_lab(nodes=2)
    node = lab.node("node1")
    wait_healthy(node)
    before = running_id(node), since(node)
    node.exec(["mount", "-t", "tmpfs", "-o", "size=128k,mode=755", "full", "/mnt"])
    node.exec(["sh", "-c", "cp -a /var/lib/roost/. /mnt/ && mount --move /mnt /var/lib/roost"])
    node.exec(["sh", "-c", "cat /dev/zero > /var/lib/roost/fill"], check=False)
    node.write_config(lab.config(extra="session: {holdTime: 61}\n"))
    wait_until(lambda: any("No space left" in problem for problem in status(node)["problems"]), 20,
               "roostd says that the disk is full")
    assert (running_id(node), since(node)) == before
    node.exec(["rm", "/var/lib/roost/fill"])
    wait_until(lambda: running_id(node) != before[0], 40, "it went on when there was room")
    wait_healthy(node)
