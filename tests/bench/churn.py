#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A day of a cluster, in minutes: nodes, peers, labels and pods come and go.

Each hour is a few changes of the file, on all nodes at once, some pods more or less, and
one mishap: a roostd or a BIRD killed, a node's routes flushed.  Every other change waits
until node1 has acted on it, the others come into the middle of a transaction.  At the end of each hour all must
be as the file says: every node healthy, the kernel's routes and BIRD's exactly the
cluster's, the leases exactly those of the pods.  Then what roostd and BIRD hold is
measured.  Exit status 1: something differed, or grew.

usage: churn.py [--hours N] [--changes N] [--seed N]
"""

import argparse
import json
import os
import random
import re
import signal
import sys
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lab"))
sys.path.insert(0, os.path.join(HERE, "..", "..", "contrib", "lab"))

from cluster import status, table  # noqa: E402
from roostlab import Lab, wait_until  # noqa: E402

NODES = 4
SETTLED_S = 60
WARM_UP = 4             # hours until caches are full: what is measured then is the measure
GROWTH_KIB = 1024       # that much may come and go
# A look or a question under way; a session with each of the others.
GROWTH_FILES = {"roostd": 3, "bird": NODES + 2}
EXTRA = ["", "session: {holdTime: 60}\n", "session: {connectRetryTime: 7}\n",
         "agent: {maxWithdraw: 100%}\n"]


class Day:
    def __init__(self, lab, seed, changes):
        self.lab, self.random, self.changes = lab, random.Random(seed), changes
        self.listed = list(lab.nodes)
        self.zones = {name: "a" for name in lab.nodes}
        self.selected, self.extra = "", ""
        self.made = {"files": 0, "pods": 0, "mishaps": 0}

    # -- changes ---------------------------------------------------------------

    def change_nodes(self):
        """node1 and node2 always stay: somebody has to look on."""
        name = self.random.choice(list(self.lab.nodes)[2:])
        self.listed = [each for each in self.lab.nodes
                       if (each in self.listed) != (each == name)]

    def change_labels(self):
        self.zones[self.random.choice(list(self.zones))] = self.random.choice("ab")

    def change_peers(self):
        self.selected = self.random.choice(["", "    nodeSelector: {zone: a}\n",
                                            "    communities: [\"64512:7\"]\n"])

    def change_sessions(self):
        self.extra = self.random.choice(EXTRA)

    def config(self):
        text = re.sub(r"  - name: (node\d+)\n", lambda match: match.group(0)
                      + f"    labels: {{zone: {self.zones[match.group(1)]}}}\n",
                      self.lab.config(self.listed))
        return text + self.selected + self.extra

    def change_file(self):
        self.random.choice([self.change_nodes, self.change_labels, self.change_peers,
                            self.change_sessions])()
        text = self.config()
        for name in self.listed:        # who is not in it keeps the one before
            self.lab.node(name).write_config(text)
        if self.made["files"] % 2:
            self.lab.node("node1").roostctl("apply")
        self.made["files"] += 1

    def change_pods(self):
        pods = sorted(self.lab.pods)
        if len(pods) > 8 or (len(pods) > 4 and self.random.random() < 0.5):
            self.lab.del_pod(self.random.choice(pods))
        else:
            self.lab.add_pod(self.random.choice(self.listed))
        self.made["pods"] += 1

    def mishap(self):
        node = self.lab.node(self.random.choice(self.listed))
        what = self.random.choice(["roostd", "bird", "routes"])
        if what == "roostd":
            node.kill_roostd()
        elif what == "bird":
            node.kill_bird()
        else:
            node.exec(["ip", "route", "flush", "proto", "bird"])
        self.made["mishaps"] += 1

    def hour(self):
        for _ in range(self.changes):
            self.change_file()
            self.change_pods()
        self.mishap()
        for name in self.listed:        # whoever was not in it when it was written
            self.lab.node(name).write_config(self.config())

    # -- the checkpoint --------------------------------------------------------

    def differences(self):
        """What is not as the file says; empty when all is."""
        found = []
        for name in self.listed:
            node = self.lab.node(name)
            others = {(self.lab.node(other).addresses.pods[4],
                       self.lab.node(other).addresses.address[4])
                      for other in self.listed if other != name}
            kernel = {(route["dst"], route.get("gateway")) for route in node.routes()
                      if route.get("protocol") == "bird" and route.get("type") != "unreachable"}
            bird = set(re.findall(r"^([\d./]+) .*unicast.*\n\tvia (\S+)", node.birdc(
                "show route table master4", check=False), re.M))
            pods = {pod.address for pod in self.lab.pods.values() if pod.node_name == name}
            leases = {address for row in table(node, "pods") for address in row["addresses"]}
            now = status(node)
            if kernel != others or bird != others:
                found.append(f"{name}: kernel {kernel}, BIRD {bird}, wanted {others}")
            if leases != pods:
                found.append(f"{name}: leases {leases}, pods {pods}")
            if now.get("health") != "healthy" or now["routes"]["drift"]:
                found.append(f"{name}: {now.get('problems')}")
        return found

    def checkpoint(self):
        """Who has not read the last file yet is made to."""
        for name in self.listed:
            wait_until(lambda: self.lab.node(name).roostctl("apply").returncode == 0, SETTLED_S,
                       f"{name} has the last file")
        wait_until(lambda: not self.differences(), SETTLED_S, lambda: "; ".join(self.differences()),
                   interval=0.3)

    def held(self):
        """{"node1 roostd": (KiB, descriptors, pid)} of each daemon, and what is on disk."""
        found = {}
        for name, node in self.lab.nodes.items():
            for service in ("roostd", "bird"):
                pid = node.host_pid(service)
                with open(f"/proc/{pid}/status", encoding="ascii") as stream:
                    memory = int(re.search(r"VmRSS:\s+(\d+)", stream.read()).group(1))
                found[f"{name} {service}"] = (memory, len(os.listdir(f"/proc/{pid}/fd")), pid)
            generations = [each for each in os.listdir(node.path("var/lib/roost/bird"))
                           if each.startswith("gen-")]
            assert len(generations) <= 12, generations
        return found


def grown(before, after):
    """Of the daemons that are the same process still."""
    return [f"{name}: {memory} KiB and {files} descriptors, now {after[name][0]} and {after[name][1]}"
            for name, (memory, files, pid) in before.items()
            if after[name][2] == pid
            and (after[name][0] > memory + GROWTH_KIB or after[name][1] > files + GROWTH_FILES[name.split()[1]])]


def live(lab, hours, changes, seed, say=print):
    """The day; returns what grew.  A checkpoint that is not met raises LabTimeout."""
    day, first, start = Day(lab, seed, changes), {}, time.monotonic()
    for number in range(1, hours + 1):
        day.hour()
        day.checkpoint()
        now = day.held()
        for name, value in now.items():
            if name not in first or first[name][2] != value[2] or number <= min(WARM_UP, hours // 2):
                first[name] = value     # a new process, or it is still warming up
        memory = {kind: [value[0] for name, value in now.items() if name.endswith(kind)]
                  for kind in ("roostd", "bird")}
        files = {kind: [value[1] for name, value in now.items() if name.endswith(kind)]
                 for kind in ("roostd", "bird")}
        say(f"hour {number:2}: {len(day.listed)} nodes, {len(lab.pods)} pods; roostd "
            f"{max(memory['roostd'])} KiB, {max(files['roostd'])} descriptors; BIRD "
            f"{max(memory['bird'])} KiB, {max(files['bird'])}; {time.monotonic() - start:.0f} s")
    say(json.dumps({**day.made, "generations": status(lab.node("node1"))["configuration"]["generation"]}))
    return grown(first, now)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=int, default=24)
    parser.add_argument("--changes", type=int, default=40, help="of the file in each hour")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)      # so that the lab is taken down
    with Lab(f"churn{os.getpid()}", nodes=NODES, tor="bird", pods=1) as lab:
        found = live(lab, options.hours, options.changes, options.seed,
                     lambda line: print(line, flush=True))
    print("\n".join(found) or "nothing grew")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
