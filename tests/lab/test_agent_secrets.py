# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a password or a token of the operator's ends up: in the configuration that BIRD's
group reads, and nowhere else that anybody looks."""

import json
import os

import pytest

from cluster import roostd_log, status, wait_healthy
from roostlab import wait_until
from test_agent_limits import METRICS, SOCKET, endpoints

MARK = "sEcReT"                 # in all of them, and in nothing else
INLINE, FILE, OTHER, SNIPPET, TOKEN = (f"{MARK}-{x}" for x in ("inline", "file", "other", "snippet", "token"))
PASSWORD_FILE = "/etc/roost/tor.password"
KUBECONFIG = f"""
apiVersion: v1
kind: Config
clusters: [{{name: c, cluster: {{server: "http://127.0.0.1:1"}}}}]
users: [{{name: u, user: {{token: {TOKEN}}}}}]
contexts: [{{name: x, context: {{cluster: c, user: u}}}}]
current-context: x
"""


def put(node, path, text, mode="0640"):
    """As an operator would: readable by the group that roostd is in."""
    node.exec(["sh", "-c", f"umask 077; cat > {path}.new; chgrp bird {path}.new; "
                           f"chmod {mode} {path}.new; mv {path}.new {path}"], input=text)


def config(lab, *, inline=INLINE, more=""):
    text = lab.config().replace("    asNumber: 65001\n",
                                f"    asNumber: 65001\n    passwordFile: {PASSWORD_FILE}\n")
    assert PASSWORD_FILE in text
    return text + f"session: {{password: {inline}}}\nbird: {{confirmTimeout: 5}}\n" + more


def settle(node):
    """A turn; its outcome."""
    out = node.roostctl("-o", "json", "apply").stdout
    return json.loads(out)["outcome"] if out else None


def everything_shown(node):
    """{where: text} of all that the programs print, serve and log."""
    shown = {}
    for argv in (["status"], ["nodes"], ["peers"], ["routes"], ["pods"], ["plan"], ["render"], ["check"],
                 ["explain", "10.244.2.2"], ["apply"], ["cleanup"]):
        for output in ("table", "json"):
            done = node.roostctl("-o", output, *argv)
            shown[f"roostctl -o {output} {argv[0]}"] = done.stdout + done.stderr
    for path, method, local in endpoints():
        if method != "GET":
            continue
        path += "?address=10.244.2.2" if path.endswith("explain") else ""
        shown[f"unix {path}"] = node.exec(["curl", "-sS", "--unix-socket", SOCKET,
                                           f"http://roost{path}"]).stdout
        if not local:
            shown[f"tcp {path}"] = node.exec(["curl", "-sS", METRICS + path]).stdout
    for name in ("roostd.log", "bird.log"):
        with open(node.path(name), encoding="utf-8", errors="replace") as stream:
            shown[name] = stream.read()
    return shown


def process_list(node):
    """The command lines and environments of all processes of the node."""
    return node.exec(["sh", "-c", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ | tr '\\0' '\\n'"],
                     check=False).stdout


def assert_hidden(node):
    for where, text in everything_shown(node).items():
        assert MARK not in text, where
    assert MARK not in process_list(node)
    found = node.exec(["grep", "-rlaE", MARK, "/var/lib/roost", "/run/roost", "/run/bird", "/etc/cni"],
                      check=False).stdout.split()
    for path in found:
        mode, group = node.exec(["stat", "-c", "%a %G", path]).stdout.split()
        assert path.startswith("/var/lib/roost/bird/") and (mode, group) == ("640", "bird"), path
    return found


@pytest.fixture(scope="module")
def lab(make_lab):
    lab = make_lab(nodes=2, tor="bird", pods=0)
    for node in lab.nodes.values():
        wait_healthy(node)
    return lab


def test_no_password_is_shown_logged_or_left_whatever_becomes_of_it(lab):
    node, others = lab.node("node1"), [lab.tor, lab.node("node2")]
    plain = node.read_config()
    # Confirmed, since nothing is lost by it; and then another one.
    for other in others:
        other.exec(["birdc", "disable", "all"])
    wait_until(lambda: "Established" not in str(node.sessions()), 20, "the sessions are down")
    put(node, PASSWORD_FILE, FILE + "\n")
    put(node, "/etc/roost/roost.yaml", config(lab))
    assert settle(node) in ("confirmed", "unchanged")
    put(node, PASSWORD_FILE, OTHER + "\n")
    assert settle(node) in ("confirmed", "unchanged")
    assert "warning" not in node.roostctl("status").stdout
    assert len(assert_hidden(node)) >= 2
    # Refused by BIRD, whose message may quote the line.
    put(node, "/etc/roost/bird.d/10-mine.conf", f'protocol bgp x {{ password "{SNIPPET}" oops; }}\n')
    assert settle(node) == "refused"
    assert assert_hidden(node)
    node.exec(["rm", "/etc/roost/bird.d/10-mine.conf"])
    # The neighbours know nothing of it: rolled back, and kept as rejected/.
    node.write_config(plain)
    for other in others:
        other.exec(["birdc", "enable", "all"])
    wait_healthy(node)
    put(node, "/etc/roost/roost.yaml", config(lab))
    assert settle(node) == "rolled back"
    assert assert_hidden(node)


@pytest.mark.parametrize("bad", [
    f"[{INLINE}]", f"{{a: {INLINE}}}", f'"{INLINE}\\"x"', f"{INLINE * 10}", f'"{INLINE}\\u00e4"',
    f"{INLINE}, pasword: {INLINE}"])
def test_an_error_about_a_password_does_not_quote_it(lab, bad):
    node = lab.node("node1")
    put(node, "/etc/roost/roost.yaml", config(lab, inline=bad))
    wait_until(lambda: "password" in (status(node)["source"].get("error") or "")
               or "pasword" in (status(node)["source"].get("error") or ""), 20, "it is refused")
    shown = [roostd_log(node), str(status(node))]
    for command in ("status", "check"):
        done = node.roostctl(command)
        shown.append(done.stdout + done.stderr)
    assert MARK not in "".join(shown)


def test_an_error_in_the_passwords_file_does_not_quote_it(lab):
    node = lab.node("node1")
    put(node, "/etc/roost/roost.yaml", config(lab))
    put(node, PASSWORD_FILE, f"{FILE}\n{OTHER}\n")
    wait_until(lambda: PASSWORD_FILE in (status(node)["source"].get("error") or ""), 20, "it is refused")
    assert_hidden(node)


def test_a_token_for_the_api_server_is_shown_nowhere(lab):
    node = lab.node("node1")
    put(node, PASSWORD_FILE, FILE + "\n")
    put(node, "/etc/roost/kubeconfig", KUBECONFIG)
    lines = config(lab).split("nodes:\n")[0] + "kubernetes: {kubeconfig: /etc/roost/kubeconfig}\n"
    put(node, "/etc/roost/roost.yaml", lines)
    wait_until(lambda: "127.0.0.1:1" in roostd_log(node), 20, "the API server does not answer")
    assert_hidden(node)


def test_what_everybody_may_read_is_warned_of(lab):
    node = lab.node("node1")
    put(node, "/etc/roost/roost.yaml", config(lab), mode="0644")
    put(node, PASSWORD_FILE, FILE + "\n", mode="0644")
    def warnings():
        return " ".join(status(node).get("warnings", []))
    wait_until(lambda: "roost.yaml: has a password in it" in warnings(), 20, "the file is named")
    wait_until(lambda: f"{PASSWORD_FILE}: has a password in it" in warnings(), 20, "so is the other")
    settle(node)        # what is being applied while a file is read keeps its warnings
    node.exec(["chmod", "0640", "/etc/roost/roost.yaml", PASSWORD_FILE])
    wait_until(lambda: "has a password" not in warnings(), 20, "chmod is enough")
    assert os.path.exists(node.config_path)
