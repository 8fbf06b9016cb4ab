# SPDX-License-Identifier: GPL-2.0-or-later
"""Removes a lab, whatever is left of it.

No list is consulted: a lab's namespaces are known by name, its processes by being
in them or by their command line, its files by their directory.  So it takes down
a lab that is whole, half built, half removed, or whose owner was killed.
"""

import fcntl
import os
import shutil
import signal
import time

from . import base, netns
from .base import LabError, LabTimeout, STATE_ROOT, state_dir, wait_until


class Lock:
    """Only one roost-lab builds or removes a lab at a time; the kernel frees it on any death.

    The commands roost-lab runs inherit it.  If roost-lab is killed while an `ip
    netns add` is still at work, whoever comes next waits for that too.
    """

    def __init__(self, lab):
        self.lab = lab
        self.path = state_dir(lab) + ".lock"
        self._fd = None

    def acquire(self, timeout=10):
        try:
            self._fd = wait_until(self._try, timeout, "")
        except LabTimeout:
            raise LabError(f"another roost-lab is at work on lab '{self.lab}'") from None
        base.inherited_fds.append(self._fd)

    def _try(self):
        try:
            os.makedirs(STATE_ROOT, exist_ok=True)
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:   # the last lab has just taken the folder with it
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The one before us may have removed the file between our open and flock.
            if os.fstat(fd).st_ino == os.stat(self.path).st_ino:
                return fd
        except (BlockingIOError, FileNotFoundError):
            pass
        os.close(fd)
        return None

    def release(self, remove=False):
        base.inherited_fds.remove(self._fd)
        if remove:
            os.unlink(self.path)
            try:
                os.rmdir(STATE_ROOT)
            except OSError:         # other labs live in it
                pass
        os.close(self._fd)
        self._fd = None

    def __enter__(self):
        self.acquire()
        return self

    def __exit__(self, *_):
        # A lab without a state directory is gone, and its lock goes with it.
        self.release(remove=not os.path.exists(state_dir(self.lab)))


def exists(lab):
    """True when anything of the lab is there."""
    return os.path.exists(state_dir(lab)) or bool(netns.all_of(lab))


def labs():
    """Names of the labs that have a state directory or a namespace."""
    names = set()
    if os.path.isdir(STATE_ROOT):
        names.update(name for name in os.listdir(STATE_ROOT)
                     if os.path.isdir(os.path.join(STATE_ROOT, name)))
    if os.path.isdir(base.NETNS_DIR):
        names.update(filter(None, map(base.lab_of_netns, os.listdir(base.NETNS_DIR))))
    return sorted(names)


def sweep(lab):
    """Removes everything of a lab; the caller holds its Lock.  Does it again until nothing is left."""
    end = time.monotonic() + 30
    while exists(lab) or processes_of(lab):
        if time.monotonic() > end:
            raise LabError(f"lab '{lab}' does not go away: namespaces {netns.all_of(lab)}, "
                           f"processes {sorted(processes_of(lab))}")
        kill_processes(lab)
        for name in netns.all_of(lab):
            netns.delete(name)
        shutil.rmtree(state_dir(lab), ignore_errors=True)


def kill_processes(lab):
    for pid in processes_of(lab):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    wait_until(lambda: not processes_of(lab), 10,
               lambda: f"processes of lab '{lab}' are gone: {sorted(processes_of(lab))}")


def processes_of(lab):
    """PIDs of the processes in a lab's namespaces, or about to enter them.

    Not the caller's own ancestry: who calls `down` from a shell inside a lab
    machine still wants to see it end.
    """
    namespaces = {_identity(base.netns_path(name)) for name in netns.all_of(lab)} - {None}
    marker = state_dir(lab) + "/"
    found = set()
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        if _identity(f"/proc/{pid}/ns/net") in namespaces or _is_first_process(pid, marker):
            found.add(pid)
    return found - _ancestry() if found else found


def _identity(path):
    try:
        stat = os.stat(path)
        return stat.st_dev, stat.st_ino
    except OSError:
        return None


def _is_first_process(pid, marker):
    """True for pid1.py of this lab and the commands that lead to it, in their namespaces or not yet."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as stream:
            argv = stream.read().decode(errors="replace").split("\0")
    except OSError:
        return False
    return any(arg.endswith("/pid1.py") for arg in argv) and any(
        arg.startswith(marker) for arg in argv)


def _ancestry():
    pids, pid = set(), os.getpid()
    while pid > 0:
        pids.add(pid)
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stream:
                pid = int(stream.read().rsplit(")", 1)[1].split()[1])
        except OSError:
            break
    return pids
