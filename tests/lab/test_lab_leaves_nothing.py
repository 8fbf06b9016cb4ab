# SPDX-License-Identifier: GPL-2.0-or-later
"""roost-lab never leaves anything behind, however it ends."""

import os
import signal
import subprocess

import pytest
from conftest import LAB_FOLDER

from roostlab import wait_until
from roostlab.base import STATE_ROOT

ROOST_LAB = os.path.join(LAB_FOLDER, "roost-lab")
# Whatever `roost-lab up` starts inherits this variable, so that survivors can be
# found without asking the code under test.
MARK = "ROOST_LAB_TEST"


def environment(lab_name):
    return {**os.environ, MARK: lab_name}


def roost_lab(command, lab_name, *argv):
    return subprocess.run([ROOST_LAB, command, "--name", lab_name, *argv], text=True,
                          capture_output=True, check=False, env=environment(lab_name))


def start_up(lab_name, *argv, **more):
    return subprocess.Popen([ROOST_LAB, "up", "--name", lab_name, *argv], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            env={**environment(lab_name), **more})


def marked_processes(lab_name):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as stream:
                if f"{MARK}={lab_name}".encode() in stream.read().split(b"\0"):
                    found.append(int(pid))
        except OSError:
            pass
    return found


def host_files():
    """Names where a careless lab would leave something.  /run/netns is `ip netns`'s own."""
    folders = ["/etc", "/etc/cni/net.d", "/etc/bird", "/etc/frr", "/run", "/run/bird", "/run/roost",
               "/var/lib", "/var/lib/cni", "/var/tmp", "/opt"]
    return {folder: sorted(set(os.listdir(folder)) - {"netns", os.path.basename(STATE_ROOT)})
            for folder in folders if os.path.isdir(folder)}


def links():
    out = subprocess.run(["ip", "-o", "link"], text=True, capture_output=True, check=True).stdout
    return sorted(line.split(":")[1].strip() for line in out.splitlines())


def leftovers(lab_name):
    """Everything that bears the lab's name."""
    found = [f"process {pid}" for pid in marked_processes(lab_name)]
    for folder in ("/run/netns", STATE_ROOT):
        if os.path.isdir(folder):
            found += [os.path.join(folder, name) for name in os.listdir(folder)
                      if lab_name in name]
    with open("/proc/self/mountinfo", encoding="utf-8") as stream:
        found += [f"mount {line.split()[4]}" for line in stream if lab_name in line]
    return found


@pytest.fixture
def nothing_left(lab_name):
    """Yields a lab's name; afterwards the machine must look as before."""
    before = host_files(), links()
    yield lab_name
    assert leftovers(lab_name) == []
    assert (host_files(), links()) == before


def test_up_ping_status_down_leaves_nothing(nothing_left):
    done = roost_lab("up", nothing_left, "--nodes", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert marked_processes(nothing_left), "the marker works"
    assert roost_lab("ping", nothing_left).returncode == 0
    assert roost_lab("status", nothing_left).returncode == 0
    done = roost_lab("down", nothing_left)
    assert (done.returncode, done.stderr) == (0, "")


# Lines of `up` after which it is killed; the work they announce is then under way.
MOMENTS = ["switch:", "tor:", "node1:", "node3:", "waiting for each node", "waiting for BGP",
           "waiting for routes", "node1-pod1:", "lab '"]


@pytest.mark.parametrize("moment", MOMENTS)
def test_kill_9_of_up_then_down_leaves_nothing(nothing_left, moment):
    up = start_up(nothing_left)
    for line in up.stdout:
        if line.startswith(moment):
            break
    up.kill()
    up.wait()
    done = roost_lab("down", nothing_left)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("delay_ms", range(20, 500, 40))
def test_kill_9_of_up_between_any_two_steps_leaves_nothing(nothing_left, delay_ms):
    up = start_up(nothing_left, "--pods", "0")
    with pytest.raises(subprocess.TimeoutExpired):
        up.wait(delay_ms / 1000)    # the moment is the stimulus here, nothing is awaited
    up.kill()
    up.wait()
    done = roost_lab("down", nothing_left)
    assert (done.returncode, done.stderr) == (0, "")


def test_up_after_a_killed_up_starts_over(nothing_left):
    up = start_up(nothing_left, "--nodes", "2")
    for line in up.stdout:
        if line.startswith("node2:"):
            break
    up.kill()
    up.wait()
    done = roost_lab("up", nothing_left, "--nodes", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert roost_lab("ping", nothing_left).returncode == 0
    assert roost_lab("down", nothing_left).returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_up_takes_itself_down(nothing_left, number):
    up = start_up(nothing_left, ROOSTD="/bin/false")     # it waits for longer than we do
    for line in up.stdout:
        if line.startswith("waiting for each node"):
            break
    up.send_signal(number)
    assert up.wait(30) == 1
    assert "roost-lab: interrupted\n" in up.stdout.read()
    assert leftovers(nothing_left) == []


def test_an_up_that_fails_says_why_and_takes_itself_down(nothing_left):
    done = subprocess.run([ROOST_LAB, "up", "--name", nothing_left, "--nodes", "1", "--timeout", "1"],
                          text=True, capture_output=True, check=False,
                          env={**environment(nothing_left), "ROOSTD": "/bin/false"})
    assert done.returncode == 1
    assert done.stderr == "roost-lab: after 1 s still not true: 10-roost.conflist is there on node1\n"
    assert "-- the end of" in done.stdout, "the logs are quoted before they are gone"
    assert leftovers(nothing_left) == []


def test_down_while_a_shell_is_in_a_pod_ends_the_shell(nothing_left):
    assert roost_lab("up", nothing_left, "--nodes", "1", "--tor", "none").returncode == 0
    shell = subprocess.Popen([ROOST_LAB, "exec", "--name", nothing_left, "node1-pod1", "--",
                              "sleep", "1000"], env=environment(nothing_left))
    # exec has become the command once it lives in the pod's namespace.
    pod_ns = os.stat(f"/run/netns/rl-{nothing_left}.node1-pod1").st_ino
    wait_until(lambda: os.stat(f"/proc/{shell.pid}/ns/net").st_ino == pod_ns, 10,
               "the command is in the pod")
    assert roost_lab("down", nothing_left).returncode == 0
    assert shell.wait(10) == -signal.SIGKILL


def test_down_twice_is_fine(nothing_left):
    for _ in range(2):
        done = roost_lab("down", nothing_left)
        assert (done.returncode, done.stdout) == (0, f"there was no lab '{nothing_left}'\n")
