# SPDX-License-Identifier: GPL-2.0-or-later
"""roostctl for people: help, completion, pictures, and a view that is kept up to date."""

import fcntl
import json
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import termios
import time
import xml.etree.ElementTree as xml

import pytest
from cluster import wait_healthy

from roostlab import wait_until
from roostlab.programs import find_programs

HERE = os.path.dirname(os.path.abspath(__file__))
COMPLETION = os.path.join(HERE, "../../contrib/completion")


@pytest.fixture(scope="module")
def lab2(make_lab):
    lab = make_lab(nodes=2, tor="bird")
    for node in lab.nodes.values():
        wait_healthy(node)
    return lab


class Terminal:
    """A program on a terminal of 24 lines and 100 columns."""

    def __init__(self, argv, env):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, env=env,
                                        start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.text = ""

    def read(self, pattern, timeout=20):
        """Until all that came since the last read has this in it; returns the match."""
        end = time.monotonic() + timeout
        while not (match := re.search(pattern, self.text, re.S)):
            assert time.monotonic() < end, f"no {pattern!r} in {self.text[-2000:]!r}"
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    self.text += os.read(self.master, 65536).decode(errors="replace")
                except OSError:
                    end = 0             # it has ended
        self.text = self.text[match.end():]
        return match

    def type(self, keys):
        os.write(self.master, keys.encode())

    def wait(self):
        return self.process.wait(20)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def terminal():
    """terminal(argv, env): a Terminal that is closed afterwards."""
    opened = []

    def make(argv, **env):
        opened.append(Terminal(argv, {**os.environ, "TERM": "xterm", **env}))
        return opened[-1]
    yield make
    for one in opened:
        one.close()


def on_node(node, *argv):
    return node.inside(["/run/lab/bin/roostctl", *argv])


# -- kept up to date -----------------------------------------------------------

def test_watch_draws_again_and_marks_what_changed(lab2, terminal):
    node, other = lab2.node("node1"), lab2.node("node2")
    screen = terminal(on_node(node, "peers", "--watch", "--interval", "1"))
    screen.read(r"\x1b\[\?1049h.*?roostctl peers.*? every 1 s.*?node2:v4[^\n]*\x1b\[32mEstablished")
    other.stop_bird()
    marked = screen.read(r"node2:v4[^\n]*\x1b\[7m[^\n]*\n", 30).group()
    assert "\x1b[7m" in marked and "\x1b[K" in marked
    other.start_bird()
    screen.read("node2:v4[^\n]*Established", 60)
    screen.type("q")
    assert screen.wait() == 0
    screen.read(r"\x1b\[\?25h\x1b\[\?1049l")
    assert termios.tcgetattr(screen.slave) == screen.before, "the terminal is as it was"
    wait_healthy(node, 60)


def test_watch_ends_on_ctrl_c_and_goes_on_without_roostd(terminal):
    screen = terminal([find_programs().roostctl, "-s", "/run/roost/none.sock", "-w",
                       "--interval", "1"])
    screen.read("no answer from roostd.*no answer from roostd")
    screen.type("\x03")
    assert screen.wait() == 0


@pytest.mark.parametrize("how", ["NO_COLOR", "--no-color"])
def test_no_colour_when_it_is_not_wanted(lab2, terminal, how):
    argv = on_node(lab2.node("node1"), "peers", *([how] if how[0] == "-" else []))
    plain = terminal(argv, **({} if how[0] == "-" else {how: "1"}))
    assert plain.wait() == 0
    assert "\x1b" not in plain.read("node2:v4.*Established.*tor:peer").group()
    coloured = terminal(on_node(lab2.node("node1"), "peers"))
    coloured.read(r"\x1b\[32m")


def test_watch_into_a_pipe_is_one_document_after_another(lab2):
    process = subprocess.Popen(on_node(lab2.node("node1"), "-o", "json", "nodes", "-w",
                                       "--interval", "1"), stdout=subprocess.PIPE, text=True)
    decoder, text, documents = json.JSONDecoder(), "", []
    while len(documents) < 2:
        text += process.stdout.readline()
        try:
            document, end = decoder.raw_decode(text.lstrip())
        except ValueError:
            continue
        documents.append(document)
        text = text.lstrip()[end:]
    process.stdout.close()
    process.kill()
    process.wait()
    assert [row["name"] for row in documents[1]] == ["node1", "node2"]


# -- the picture ---------------------------------------------------------------

def test_graph_is_dot_with_its_sessions_coloured(lab2):
    node, other = lab2.node("node1"), lab2.node("node2")
    wait_healthy(node)
    dot = node.roostctl("graph")
    assert dot.returncode == 0
    assert re.search(r'"node1" -- "node2" \[color=darkgreen, tooltip="node2:v4: Established"\]', dot.stdout)
    assert '"node1" -- "tor" [color=darkgreen' in dot.stdout
    assert '"node2" -- "tor" [color=gray, style=dotted]' in dot.stdout
    assert '"tor" [shape=box]' in dot.stdout
    graph = json.loads(node.roostctl("-o", "json", "graph").stdout)
    assert {row["name"]: row["kind"] for row in graph["vertices"]} == {
        "node1": "node", "node2": "node", "tor": "router"}

    svg = node.roostctl("graph", "--svg")
    assert svg.returncode == 0, svg.stderr
    titles = {title.text for title in xml.fromstring(svg.stdout).iter("{http://www.w3.org/2000/svg}title")}
    assert {"node1", "node2", "tor", "node1--node2"} <= titles

    other.stop_bird()
    wait_until(lambda: '"node1" -- "node2" [color=red' in node.roostctl("graph").stdout, 30, "it is red")
    other.start_bird()
    wait_healthy(node, 60)
    none = node.exec(["sh", "-c", "PATH=/nowhere /run/lab/bin/roostctl graph --svg"], check=False)
    assert none.returncode == 1 and "apt-get install graphviz" in none.stderr


# -- help, usage ---------------------------------------------------------------

def roostctl(*argv, **options):
    return subprocess.run([find_programs().roostctl, *argv], capture_output=True, text=True,
                          check=False, **options)


def commands():
    return [line.split(":")[0] for line in roostctl("__complete").stdout.splitlines()]


def options_of(command):
    return [re.match(r"(--[a-z-]+)", line)[1]
            for line in roostctl("__complete", command).stdout.splitlines()]


def test_every_command_has_help_of_its_own_and_is_in_the_manual():
    with open(os.path.join(HERE, "../../man/roostctl.8.scd"), encoding="utf-8") as stream:
        manual = stream.read()
    usage = roostctl("--help").stdout
    for command in commands():
        done = roostctl(command, "--help")
        assert done.returncode == 0
        assert len(done.stdout.split("\n\n")[1]) > 15, f"{command} --help says nothing"
        assert re.search(rf"^  {command} ", usage, re.M)
        assert f"*{command}*" in manual, f"{command} is not in roostctl(8)"
        for option in options_of(command):
            assert option in done.stdout and f"*{option}*" in manual, f"{option} of {command}"


@pytest.mark.parametrize("argv", [["nonsense"], ["--nonsense"], ["status", "--yes"],
                                  ["explain"], ["explain", "x"], ["status", "more"],
                                  ["-o", "xml"], ["-w", "--interval", "0"], ["plan", "-w"]])
def test_wrong_usage_is_64(argv):
    done = roostctl(*argv)
    assert (done.returncode, done.stdout) == (64, "")
    assert "roostctl --help" in done.stderr


def test_wrong_usage_of_roostd_is_64_as_well():
    for argv in (["--nonsense"], ["more"]):
        done = subprocess.run([find_programs().roostd, *argv], capture_output=True, check=False)
        assert done.returncode == 64


def test_a_file_may_be_a_pipe(lab2):
    text = lab2.config()
    assert roostctl("check", "-", input=text).stdout == "-: ok, cluster lab: 2 nodes, 1 peer\n"
    bad = roostctl("check", "-", input="cluster: [\n")
    assert bad.returncode == 1 and bad.stderr.startswith("roostctl: standard input:")
    node = lab2.node("node1")
    render = node.exec(["sh", "-c", "cat /etc/roost/roost.yaml | roostctl render /dev/stdin"]).stdout
    assert "protocol bgp 'node2:v4'" in render
    plan = node.exec(["sh", "-c", "roostctl plan - </etc/roost/roost.yaml"])
    assert plan.stdout == "nothing changes\n"


def test_pods_without_a_store_has_its_header_and_says_so(lab2):
    node = lab2.node("node1")
    node.exec(["mv", "/run/roost/ipam", "/run/roost/ipam.away"])
    done = node.roostctl("pods")
    node.exec(["mv", "/run/roost/ipam.away", "/run/roost/ipam"])
    assert done.returncode == 0
    assert done.stdout == "ADDRESSES NETWORK CONTAINER INTERFACE AGE\n"
    assert "there is no /run/roost/ipam" in done.stderr


# -- completion ----------------------------------------------------------------

BASH = r"""
source "$1/roostctl.bash"
COMP_WORDS=(roostctl "${@:2}") COMP_CWORD=$(($# - 1))
_roostctl
printf '%s\n' "${COMPREPLY[@]}"
"""


# -- the README ----------------------------------------------------------------

def everyday():
    """The commands of README.md's section of that name, without what they are for."""
    with open(os.path.join(HERE, "../../README.md"), encoding="utf-8") as stream:
        section = stream.read().split("\n## Everyday\n")[1].split("\n`roostctl -o json`")[0]
    return [line.split(" # ")[0].strip() for line in section.splitlines() if line.startswith("    ")]


def test_the_readmes_everyday_commands_run_as_they_are_written(lab2):
    node = lab2.node("node1")
    expected = {"sudo roostctl plan new.yaml": (2,), "sudo roostctl doctor": (0, 1),
                "roostctl graph --svg >bgp.svg": (0,) if shutil.which("dot") else (1,),
                "roostctl peers --watch": (124,)}       # it does not end by itself
    with open(node.path("root") + "/run/new.yaml", "w", encoding="utf-8") as stream:
        stream.write(lab2.config(extra="session: {importLimit: 3000}\n"))
    commands = everyday()
    assert len(commands) > 15 and set(expected) < set(commands)
    for command in commands:
        if command.startswith("journalctl"):
            continue            # the lab has no systemd
        run = command.replace("sudo ", "")
        if command.endswith("--watch"):
            run = f"timeout 2 {run}"
        done = node.exec(["sh", "-c", f"cd /run; PATH=/run/lab/bin:$PATH; {run}"], check=False)
        assert done.returncode in expected.get(command, (0,)), (command, done.stdout, done.stderr)
        assert done.stdout or ">" in command or "cp" in command, command
    node.write_config(lab2.config())
    node.roostctl("apply", check=True)
    wait_healthy(node)


def with_roostctl():
    return {**os.environ, "PATH": f"{os.path.dirname(find_programs().roostctl)}:{os.environ['PATH']}"}


def bash_completes(*words):
    done = subprocess.run(["bash", "-c", BASH, "bash", COMPLETION, *words], env=with_roostctl(),
                          capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_bash_completes_every_command_and_option():
    assert bash_completes("") == commands()
    assert bash_completes("und") == ["undrain"]
    for command in commands():
        assert bash_completes(command, "--") == options_of(command)
    assert bash_completes("--output", "") == ["table", "json"]
    assert bash_completes("--output", "json", "pe") == ["peers"]
    assert "roostctl.bash" in " ".join(bash_completes("check", f"{COMPLETION}/"))


@pytest.mark.skipif(not shutil.which("zsh"), reason="needs zsh (apt-get install zsh)")
def test_zsh_completes_every_command_and_option(terminal):
    zsh = terminal(["zsh", "-f", "-i"], PATH=with_roostctl()["PATH"], COLUMNS="100")
    zsh.type(f"PS1='READY> '; fpath=({COMPLETION} $fpath); autoload -U compinit; compinit -u -D; "
             "LISTMAX=0; zstyle ':completion:*' list-prompt ''; "
             "bindkey '^X' list-choices\n")
    zsh.read(r"READY> \x1b\[K")
    for typed, expected in [("roostctl ", commands()),
                            *((f"roostctl {command} --", options_of(command))
                              for command in commands())]:
        zsh.type(f"{typed}\x18")
        for word in sorted(expected):
            zsh.read(re.escape(word))
        zsh.type("\x15")            # away with the line
