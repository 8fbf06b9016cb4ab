#!/usr/bin/python3
"""How long a change of roost.yaml takes to be in the other node's kernel, beside the
same change made by hand with `birdc configure`; and what an idle roostd costs.

One run, the two ways in turn, on the same two BIRDs: node1 gets a second podCIDR
and loses it again.  By hand means that both nodes' BIRD files are written already
and only `birdc configure` is left to do.
"""

import os
import re
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "contrib", "lab"))
sys.path.insert(0, os.path.join(HERE, "..", "lab"))

from cluster import running_id, status, wait_healthy  # noqa: E402
from roostlab import Lab, wait_until  # noqa: E402

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "20"))
IDLE_SECONDS = 20
DEBOUNCE_MS = 100       # DEBOUNCE_MS in src/agent/agent.c
EXTRA = "10.244.101.0/24"


class RouteWatch:
    """Says when the kernel of a node got or lost EXTRA, from `ip monitor`'s own stamps."""

    def __init__(self, node):
        self.process = subprocess.Popen(node.inside(["ip", "-ts", "monitor", "route"]),
                                        stdout=subprocess.PIPE, text=True)

    def wait(self, gone):
        stamp = None
        for line in self.process.stdout:
            match = re.match(r"\[(\S+)\] (Deleted )?(\S+)", line)
            if match and match.group(3) == EXTRA and bool(match.group(2)) == gone:
                stamp = match.group(1)
                break
        day, fraction = stamp.split(".")
        return time.mktime(time.strptime(day, "%Y-%m-%dT%H:%M:%S")) + float("0." + fraction)

    def stop(self):
        self.process.kill()
        self.process.wait()


def texts(lab):
    """The file without and with the second podCIDR."""
    plain = lab.config()
    return plain, plain.replace('podCIDRs: ["10.244.1.0/24"]',
                                f'podCIDRs: ["10.244.1.0/24", "{EXTRA}"]')


def by_file(lab, watch, number):
    text = texts(lab)[number]
    began = time.time()
    lab.write_config(text)
    return watch.wait(gone=number == 0) - began


def by_hand(lab, watch, number):
    began = time.time()
    running = [subprocess.Popen(node.inside(["birdc", "configure", f'"/run/hand{number}/bird.conf"']),
                                stdout=subprocess.DEVNULL) for node in lab.nodes.values()]
    done = watch.wait(gone=number == 0)
    for process in running:
        process.wait()
    return done - began


def prepare_by_hand(lab):
    for number, text in enumerate(texts(lab)):
        for node in lab.nodes.values():
            node.exec(["sh", "-c", "cat > /run/hand.yaml"], input=text)
            node.roostctl("--node", node.name, "--dir", f"/run/hand{number}", "render",
                          "/run/hand.yaml", check=True)
            node.exec(["chmod", "-R", "a+rX", f"/run/hand{number}"])


def settle(lab):
    for node in lab.nodes.values():
        wait_until(lambda: not status(node)["configuration"]["applying"], 20, "the turn is over")


def measure(lab):
    """[(by file, by hand)] in seconds: adding and removing alike."""
    watch = RouteWatch(lab.node("node2"))
    pairs = []
    try:
        for number in [1, 0] * ROUNDS:
            ours = by_file(lab, watch, number)
            settle(lab)
            # Back to where it was, by hand, so that the same change can be made by hand.
            by_hand(lab, watch, 1 - number)
            hand = by_hand(lab, watch, number)
            pairs.append((ours, hand))
    finally:
        watch.stop()
    return pairs


def switches(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as stream:
        return sum(int(line.split()[1]) for line in stream if "ctxt_switches" in line)


def rss_kb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as stream:
        return next(int(line.split()[1]) for line in stream if line.startswith("VmRSS"))


def idle_cost(lab):
    pids = [node.host_pid("roostd") for node in lab.nodes.values()]
    before = [switches(pid) for pid in pids]
    time.sleep(IDLE_SECONDS)        # idleness is what is measured
    return [rss_kb(pid) for pid in pids], [switches(p) - b for p, b in zip(pids, before)]


def row(name, seconds):
    ms = sorted(1000 * value for value in seconds)
    print(f"{name:34} {statistics.median(ms):8.1f} {ms[-1]:8.1f}")
    return statistics.median(ms)


def main():
    with Lab(f"b{os.getpid()}", nodes=3) as lab:
        for node in lab.nodes.values():
            wait_healthy(node)
        assert all(running_id(node) for node in lab.nodes.values())
        prepare_by_hand(lab)
        pairs = measure(lab)
        settle(lab)
        rss, woken = idle_cost(lab)
    print(f"\nchange -> route in the other node's kernel, {len(pairs)} changes, ms")
    print(f"{'':34} {'median':>8} {'max':>8}")
    ours = row("roost.yaml written", [pair[0] for pair in pairs])
    hand = row("birdc configure, files ready", [pair[1] for pair in pairs])
    share = statistics.median(1000 * (a - b) for a, b in pairs) - DEBOUNCE_MS
    print(f"{'roostd alone, debounce left out':34} {share:8.1f}          "
          f"(aim: under 50; {ours / hand:.1f} x by hand with debounce)")
    print(f"\nroostd with three nodes: RSS {max(rss) / 1024:.1f} MB (aim: under 6), "
          f"{sum(woken)} wake-ups of three in {IDLE_SECONDS} s (aim: 0)")


if __name__ == "__main__":
    main()
