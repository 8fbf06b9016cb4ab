#!/usr/bin/python3
"""What it takes to have an API server for a source: one roostd, and Nodes as large as
kubelets make them.

In a mesh it watches all of them; as a client of reflectors itself and these.  The other
nodes are names and addresses only: BIRD has a session for each, and no way to reach it.
"""

import os
import re
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "contrib", "lab"))
sys.path.insert(0, os.path.join(HERE, "..", "lab"))

from cluster import cpu_s, memory_mb, metric, status  # noqa: E402
from kubelab import REFLECTOR, KubeLab  # noqa: E402
import kubeobjects  # noqa: E402
from roostlab import wait_until  # noqa: E402

NODES = int(os.environ.get("BENCH_NODES", "5000"))
FEW = 50
ADDRESS = "192.168.1.11"        # node1's
# Aims, for 5000 Nodes.
MESH_RSS_MB = 20
FIRST_RENDER_CPU_S = 2
# What a client may need more, or receive more, when there are a hundred times as many nodes.
CLIENT_RSS_MB, CLIENT_RECEIVED_MB = 1, 0.05


class BenchLab(KubeLab):
    def config(self, nodes=None, extra=""):
        return re.sub(r"podCIDRs: .*", "podCIDRs: [10.0.0.0/8]", super().config(nodes, extra))


def others(count):
    """The first two are reflectors."""
    for n in range(1, count):
        yield kubeobjects.node(
            f"worker-{n:05}.example.org", [f"172.30.{n // 250}.{1 + n % 250}"],
            [f"10.{n // 256}.{n % 256}.0/24"], REFLECTOR if n < 3 else {}, realistic=True)


def set_nodes(api, count):
    have = {name for name in api.resources["nodes"].objects if name != "node1"}
    for data in others(count):
        have.discard(data["metadata"]["name"])
        api.put("nodes", data)
    for name in have:
        api.delete("nodes", name)
    api.compact()


def sent_mb(lab):
    return lab.api.clients[ADDRESS].bytes_sent / (1 << 20)


def start_anew(lab, node):
    """roostd as it is on a new node, up to its first render: (CPU seconds, wall seconds)."""
    node.stop_roostd()
    node.exec(["sh", "-c", "rm -rf /var/lib/roost/cluster.json /var/lib/roost/bird"])
    lab.api.clients[ADDRESS].bytes_sent = 0
    began = time.monotonic()
    node.start_roostd()
    pid = wait_until(lambda: node.host_pid("roostd"), 10, "roostd runs")
    folder = node.path("var/lib/roost/bird")

    def rendered():
        # Generation 0 is for a BIRD that comes first; it has no sessions.
        return any(os.path.exists(f"{folder}/{name}/sessions.conf") and name != "gen-0"
                   for name in (os.listdir(folder) if os.path.isdir(folder) else ()))
    wait_until(rendered, 120, "the first configuration is rendered", 0.005)
    return pid, cpu_s(pid), time.monotonic() - began


def beat(lab, node, pid):
    """Every node's kubelet says once that it lives."""
    api, cpu, rss, sent = lab.api, cpu_s(pid), memory_mb(pid, "VmRSS"), sent_mb(lab)
    renders = metric(node, "roost_renders_total")
    names = list(api.resources["nodes"].objects)
    for name in names:
        api.put("nodes", kubeobjects.heartbeat(api.get("nodes", name), 7))
    settle(lab, pid)
    print(f"    {len(names)} heartbeats: {sent_mb(lab) - sent:8.2f} MB received, "
          f"{cpu_s(pid) - cpu:.2f} s of CPU, {metric(node, 'roost_renders_total') - renders:.0f} renders, "
          f"RSS {memory_mb(pid, 'VmRSS') - rss:+.1f} MB")


def settle(lab, pid):
    """Until roostd has nothing left to do."""
    def idle():
        before = cpu_s(pid), sent_mb(lab)
        time.sleep(0.5)
        return before == (cpu_s(pid), sent_mb(lab))
    wait_until(idle, 120, "roostd is idle", 0)


def measure(lab, node, what):
    """What the aims are about: CPU seconds of the first render, RSS and MB received."""
    print(f"{what}:")
    pid, cpu, wall = start_anew(lab, node)
    print(f"    first render after {wall:.2f} s, {cpu:.2f} s of CPU; {sent_mb(lab):.2f} MB received")
    wait_until(lambda: (status(node).get("configuration") or {}).get("applying") is False
               and metric(node, "roost_source_synced") == 1, 120, "it is applied", 0.2)
    settle(lab, pid)
    rss = memory_mb(pid, "VmRSS")
    print(f"    applied: {cpu_s(pid):.2f} s of CPU; RSS {rss:.1f} MB, "
          f"at most {memory_mb(pid, 'VmHWM'):.1f} MB; {len(node.sessions())} sessions in BIRD")
    for _ in range(2):
        beat(lab, node, pid)
    return cpu, rss, sent_mb(lab)


def missed(mesh, many, few):
    """Which aims are not reached; a client is to be the same among many nodes and few."""
    return [text for is_missed, text in (
        (mesh[0] >= FIRST_RENDER_CPU_S, f"the first render of a mesh takes {mesh[0]:.2f} s of CPU, "
                                        f"not less than {FIRST_RENDER_CPU_S} s"),
        (mesh[1] >= MESH_RSS_MB, f"a mesh takes {mesh[1]:.1f} MB, not less than {MESH_RSS_MB} MB"),
        (many[1] > few[1] + CLIENT_RSS_MB, f"a client takes {many[1]:.1f} MB among {NODES} nodes, "
                                           f"{few[1]:.1f} MB among {FEW}"),
        (many[2] > few[2] + CLIENT_RECEIVED_MB, f"a client receives {many[2]:.2f} MB among {NODES} nodes, "
                                                f"{few[2]:.2f} MB among {FEW}")) if is_missed]


def main():
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.stdout.reconfigure(line_buffering=True)
    with BenchLab(f"b{os.getpid()}", nodes=1) as lab:
        node = lab.node("node1")
        set_nodes(lab.api, NODES)
        size = sum(len(stored.raw) for stored in lab.api.resources["nodes"].objects.values())
        print(f"{NODES} Nodes of {size / NODES / 1024:.1f} KB, {size / (1 << 20):.0f} MB in all")
        mesh = measure(lab, node, f"mesh of {NODES}")
        lab.topology = "reflector"
        lab.write_config(lab.config())
        clients = []
        for count in (NODES, FEW):
            set_nodes(lab.api, count)
            clients.append(measure(lab, node, f"client of 2 reflectors, {count} nodes"))
    return "\n".join(f"aim missed: {text}" for text in missed(mesh, *clients)) or 0


if __name__ == "__main__":
    sys.exit(main())
