# SPDX-License-Identifier: GPL-2.0-or-later
"""roostd as contrib/systemd/roostd.service has it: what it tells systemd, and what the
sandbox leaves it."""

import os
import re
import shutil
import socket
import subprocess

import pytest

from cluster import roostd_log, status, wait_healthy
from roostlab import wait_until

TREE = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
UNIT = os.path.join(TREE, "contrib/systemd/roostd.service.in")


@pytest.fixture(scope="module")
def node(make_lab):
    lab = make_lab(nodes=1, tor=None, pods=0)
    node = lab.nodes["node1"]
    node.write_config(lab.config(extra="cni: {masquerade: {enabled: true}}\n"))
    wait_healthy(node)
    return node


def restart(node, **changes):
    """roostd with another environment or command line."""
    node.stop_roostd()
    node.change_service("roostd", **changes)
    node.start_roostd()


def service(node):
    return node.services()["roostd"]


def test_systemd_hears_that_it_is_ready_how_it_goes_and_that_the_loop_turns(node):
    path = node.path("notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(path)
        os.chmod(path, 0o777)
        systemd.settimeout(20)
        def hear(wanted):
            while True:
                message = systemd.recv(4096).decode()
                if re.fullmatch(wanted, message):
                    return
        restart(node, env={**service(node)["env"], "WATCHDOG_USEC": "200000",
                           "NOTIFY_SOCKET": "/run/lab/state/notify"})
        hear("READY=1")
        assert status(node)     # ready: roostctl is answered
        hear(r"STATUS=generation \d+ runs")
        hear("WATCHDOG=1")
        hear("WATCHDOG=1")
        node.write_config(node.read_config() + "nonsense: 1\n")
        hear(r"STATUS=generation \d+ runs; refused: .*unknown key.*")
        node.write_config(node.read_config().replace("nonsense: 1\n", ""))
        hear(r"STATUS=generation \d+ runs")
        node.stop_roostd()
        hear("STOPPING=1")
    os.unlink(path)
    restart(node, env=service(node)["env"])
    wait_healthy(node)


def metrics_are_served(node):
    return node.exec(["curl", "-sS", "--max-time", "5", "http://127.0.0.1:9472/metrics"],
                     check=False).stdout.startswith("# TYPE")


def test_a_metrics_address_that_was_taken_is_served_once_it_is_free(node):
    node.stop_roostd()
    taker = subprocess.Popen(node.inside(["/usr/bin/python3", "-c",
        "import socket; s = socket.create_server(('127.0.0.1', 9472)); print('there', flush=True); input()"]),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with taker:
        taker.stdout.readline()
        node.start_roostd()
        wait_healthy(node)
        wait_until(lambda: "127.0.0.1:9472: Address already in use" in roostd_log(node), 20,
                   "roostd says that the address is taken")
        taker.communicate(b"\n")
    wait_until(lambda: metrics_are_served(node), 20, "metrics are served")
    said = roostd_log(node)
    assert said.count("Address already in use") == 1, said
    assert "listening on 127.0.0.1:9472 now" in said


# ---------------------------------------------------------------- the sandbox

def known_sets():
    """{"@file-system": {...}} as systemd has them, and "@known", all it has heard of."""
    sets, name = {}, None
    out = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager"], check=True,
                         capture_output=True, text=True).stdout
    for line in out.splitlines():
        word = line.strip()
        if line.startswith("@"):
            name = word
            sets[name] = set()
        elif name and word and not word.startswith("#"):
            sets[name].add(word)

    def flat(word):
        return set().union(*map(flat, sets[word])) if word in sets else {word}
    return {name: flat(name) for name in sets}


def allowed_by_the_unit():
    """As systemd.exec(5): the first SystemCallFilter= allows, "~" takes away again."""
    sets, allowed = known_sets(), set()
    with open(UNIT, encoding="utf-8") as stream:
        lines = re.findall(r"^SystemCallFilter=(~?)(.*)", stream.read(), re.M)
    for minus, words in lines:
        for word in words.split():
            calls = sets.get(word, {word})
            allowed = allowed - calls if minus else allowed | calls
    return allowed | sets["@default"]


@pytest.mark.plain      # a sanitizer makes calls of its own
def test_roostd_makes_no_system_call_that_its_unit_forbids(node):
    for program in ("strace", "systemd-analyze"):
        if not shutil.which(program):
            pytest.skip(f"needs {program}")
    trace = node.path("trace")
    restart(node, argv=["strace", "-D", "-f", "-qq", "-o", "/run/lab/state/trace", *service(node)["argv"]])
    wait_healthy(node)
    node.roostctl("routes", check=True)
    assert metrics_are_served(node)
    good = node.read_config()
    node.write_config(good.replace('"10.244.1.0/24"', '"10.244.1.0/24", "10.244.11.0/24"'))
    for argv in (["apply"], ["rollback"], ["apply"], ["history"]):
        node.roostctl(*argv, check=True)
    for what in ("drain", "undrain"):
        node.exec(["curl", "-sS", "--unix-socket", "/run/roost/roostd.sock", "-X", "POST", "-d", "",
                   f"http://roostd/v1/{what}"])
    node.write_config(good + "nonsense: 1\n")
    wait_until(lambda: status(node)["source"]["error"], 20, "a bad file")
    node.write_config(good)
    node.roostctl("apply", check=True)
    node.exec(["nft", "delete", "table", "inet", "roost"])      # written anew: libnftables' calls
    wait_until(lambda: "roost" in node.exec(["nft", "list", "tables"]).stdout, 20, "the table is back")
    node.stop_roostd()
    restart(node, argv=service(node)["argv"])
    with open(trace, encoding="utf-8", errors="replace") as stream:
        text = stream.read()
    # What comes before roostd is setpriv's.
    roostd = text[text.index('execve("/run/lab/sbin/roostd"'):]
    calls = set(re.findall(r"^\d+ +(\w+)\(", roostd, re.M))
    assert {"inotify_add_watch", "accept4", "sendmsg"} <= calls, calls
    assert calls - allowed_by_the_unit() == set()
    wait_healthy(node)
