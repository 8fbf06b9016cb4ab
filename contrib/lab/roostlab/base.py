# SPDX-License-Identifier: GPL-2.0-or-later
"""What every part of the lab stands on: running commands, waiting, names, errors.

Names carry the whole truth about who owns what.  Everything a lab makes outside
a namespace is a network namespace `rl-NAME` (default lab) or `rl-LAB.NAME`, the
directory /run/roost-lab/LAB and its lock.  `down` finds its prey by these names
alone, so it works after any crash and needs no list that could be stale.
"""

import os
import re
import shlex
import signal
import subprocess
import time

DEFAULT_LAB = "lab"
STATE_ROOT = "/run/roost-lab"
NETNS_DIR = "/run/netns"

_LAB_NAME = re.compile(r"[a-z0-9]{1,16}")
# A machine's name is also its port's name on the switch: the kernel allows 15 bytes.
_HOST_NAME = re.compile(r"[a-z][a-z0-9-]{0,14}")
_POD_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_NETNS = re.compile(r"rl-(?:([a-z0-9]+)\.)?([a-z0-9][a-z0-9-]*)")

# Passed on to every command run() starts: the lab's lock, so that whoever waits
# for the lock also waits for commands that outlived a killed roost-lab.
inherited_fds = []


class LabError(Exception):
    """One line that tells a person what went wrong."""


class LabTimeout(LabError):
    """A condition did not come true in time."""


def check_lab_name(name):
    if not _LAB_NAME.fullmatch(name):
        raise LabError(f"'{name}' is no lab name: 1 to 16 of a-z and 0-9")
    return name


def check_host_name(name):
    if not _HOST_NAME.fullmatch(name):
        raise LabError(f"'{name}' is no node name: a letter, then up to 14 of a-z, 0-9 and -")
    return name


def check_pod_name(name):
    if not _POD_NAME.fullmatch(name):
        raise LabError(f"'{name}' is no pod name: 1 to 63 of a-z, 0-9 and -")
    return name


def netns_name(lab, name):
    """The name `ip netns` knows a machine or a pod by."""
    return f"rl-{name}" if lab == DEFAULT_LAB else f"rl-{lab}.{name}"


def lab_of_netns(netns):
    """The lab a namespace belongs to, or None when it is not a lab's."""
    match = _NETNS.fullmatch(netns)
    return (match.group(1) or DEFAULT_LAB) if match else None


def netns_path(netns):
    return f"{NETNS_DIR}/{netns}"


def state_dir(lab, *parts):
    return os.path.join(STATE_ROOT, lab, *parts)


def _kill_group(process):
    # The command may have forked into a PID namespace (nsenter does): killing the
    # group reaches it, killing the process would only orphan it.
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def run(argv, *, input=None, check=True, timeout=60, env=None, binary=False):
    """Runs a command to its end and returns a CompletedProcess, text unless `binary`.

    A failing command is a LabError that quotes it, unless check=False.  A command
    that outlives its time is killed with everything it started.
    """
    process = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, text=not binary,
        start_new_session=True, pass_fds=tuple(inherited_fds))
    try:
        out, err = process.communicate(input, timeout)
    except subprocess.TimeoutExpired:
        _kill_group(process)
        process.communicate()
        raise LabTimeout(f"{shlex.join(argv)}: not done after {timeout} s") from None
    except BaseException:
        _kill_group(process)
        process.communicate()
        raise
    done = subprocess.CompletedProcess(argv, process.returncode, out, err)
    if check and done.returncode != 0:
        raise LabError(_failure(done))
    return done


def _failure(done):
    def text(stream):
        return (stream.decode(errors="replace") if isinstance(stream, bytes) else stream).strip()
    said = text(done.stderr) or text(done.stdout) or "no output"
    return f"{shlex.join(done.args)}: exit {done.returncode}: {said}"


def wait_until(condition, timeout, what, interval=0.03):
    """Calls condition() until it returns something true, and returns that.

    `what` completes the sentence "... is still not true: WHAT"; a callable is
    asked at the end, so that it can say what was seen instead.
    """
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            raise LabTimeout(f"after {timeout:g} s still not true: "
                             f"{what() if callable(what) else what}")
        time.sleep(interval)


def write_file(path, text, mode=0o644):
    """Replaces a file in one step, so that no reader ever sees half of it."""
    temporary = f"{path}.new.{os.getpid()}"
    with open(temporary, "w", encoding="utf-8") as stream:
        stream.write(text)
    os.chmod(temporary, mode)
    os.replace(temporary, path)


def tail(path, lines=15):
    """The last lines of a log (None: all of it), [] when there is no log."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read().splitlines()[-(lines or 0):]
    except FileNotFoundError:
        return []
