"""What the tests of roostd ask of a node, in one place."""

import json
import os

from roostlab import wait_until


def status(node):
    """`roostctl -o json status`, {} while roostd is away."""
    out = node.roostctl("-o", "json", "status").stdout
    return json.loads(out) if out else {}


def table(node, command):
    return json.loads(node.roostctl("-o", "json", command).stdout)


def running_id(node):
    """The configuration BIRD runs, as BIRD says it; "" when it is none of ours."""
    out = node.birdc("eval ROOST_CONFIG", check=False).strip()
    return out if len(out) == 16 else ""


def since(node):
    """{session: when it came up}, of those that are up."""
    return {name: row["since"] for name, row in node.sessions().items()
            if row["info"] == "Established"}


def bird_log(node):
    with open(node.path("bird.log"), encoding="utf-8", errors="replace") as stream:
        return stream.read()


def roostd_log(node):
    with open(node.path("roostd.log"), encoding="utf-8", errors="replace") as stream:
        return stream.read()


def bgp_events(node):
    """How many state changes of BGP sessions BIRD has logged."""
    return sum(":v4: State" in line or ":v6: State" in line or ":peer: State" in line
               for line in bird_log(node).splitlines())


def loads(node):
    """How often roostd has read its file, from /metrics; 0 while it is away."""
    return metric(node, "roost_loads_total")


def metric(node, name):
    """0 if there is none of this name."""
    def asked():
        nonlocal answer     # roostd may have begun only now, and does not listen yet
        answer = node.exec(["curl", "-sS", "--max-time", "5", "http://127.0.0.1:9472/metrics"], check=False)
        return answer.returncode == 0
    answer = None
    wait_until(asked, 20, lambda: f"{node.name} serves its metrics: {answer.stderr}", 0.1)
    for line in answer.stdout.splitlines():
        if line.startswith((name + " ", name + "{")):
            return float(line.split()[-1])
    return 0


def wait_healthy(node, timeout=30):
    wait_until(lambda: status(node).get("health") == "healthy", timeout,
               lambda: f"{node.name} is healthy: {status(node).get('problems')}")


def wait_running(lab, count):
    """Until every node runs a configuration with `count` nodes, and its routes."""
    def done(node):
        now = status(node)
        return (now.get("routes", {}).get("expected") == count
                and now["routes"]["ok"] == count and now["health"] == "healthy")
    for node in lab.nodes.values():
        wait_until(lambda: done(node), 30, f"{node.name} has the routes of {count} nodes")


# -- a process of a node ------------------------------------------------------------

def cpu_s(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stream:
        fields = stream.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid, which="VmRSS"):
    with open(f"/proc/{pid}/status", encoding="ascii") as stream:
        return next(int(line.split()[1]) for line in stream if line.startswith(which)) / 1024
