# SPDX-License-Identifier: GPL-2.0-or-later
"""The first process of a lab machine: makes its file tree, then keeps its daemons running.

Started by machine.py as PID 1 of a fresh mount and PID namespace, inside the
machine's network namespace, with one argument: the machine's state directory.
That directory holds `machine.json` (what to mount) and `services.json` (what to
run; read again at each start of a service, so a test may change a command line).

It stands in for systemd: a service that exits is started again after a short
delay, like Restart=always.  Over the socket `pid1.sock` a client sends one JSON
line and gets one back: {"do": "status" | "start" | "stop" | "kill", "service":
NAME, "signal": N}.  `stop` also keeps the service from being started again.

Why not a shell loop per service: a test must be able to say "do not restart" and
"kill now" without a race, and PID 1 has to reap orphans anyway.

This file imports nothing of the lab: it runs isolated and stays small.
"""

import ctypes
import grp
import json
import os
import pwd
import resource
import selectors
import signal
import socket
import sys
import time

RESTART_DELAY_S = 0.1           # systemd's default RestartSec
MOUNTED_STATE = "/run/lab/state"  # the state directory as the machine sees it

MS_NOSUID, MS_NODEV, MS_BIND, MS_REC = 2, 4, 4096, 16384
_libc = ctypes.CDLL(None, use_errno=True)


def mount(source, target, kind=None, flags=0, data=None):
    """mount(2).  Not mount(8): that resolves /proc/self/fd/N to a path, and the
    path may by then be covered by another mount."""
    def raw(text):
        return None if text is None else text.encode()
    if _libc.mount(raw(source), raw(target), raw(kind), ctypes.c_ulong(flags), raw(data)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"mount {source} on {target}: {os.strerror(number)}")


def bind(source_fd, target, recursive=False):
    os.makedirs(target, exist_ok=True)
    mount(f"/proc/self/fd/{source_fd}", target, None, MS_BIND | (MS_REC if recursive else 0))
    os.close(source_fd)


def overlay(path):
    """Makes a folder of the real host private: what is written stays in this machine."""
    upper, work = (f"/run/lab/overlay{path}/{part}" for part in ("upper", "work"))
    os.makedirs(upper)
    os.makedirs(work)
    mount("overlay", path, "overlay", 0, f"lowerdir={path},upperdir={upper},workdir={work}")


def make_file_tree(state, machine):
    """Gives this machine its own /run, /etc and /var; see machine.py for what machine.json says."""
    def open_path(path):
        return os.open(path, os.O_PATH | os.O_DIRECTORY)
    # Whatever lies below the real /run must be held before our own /run covers it.
    state_fd = open_path(state)
    netns_fd = open_path("/run/netns")
    outside = {target: open_path(source) for target, source in machine["from_host"].items()}

    mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755")
    bind(netns_fd, "/run/netns", recursive=True)
    bind(state_fd, MOUNTED_STATE)
    for target, source_fd in outside.items():
        bind(source_fd, target)
    overlay("/etc")
    overlay("/var")
    for target, source in machine["from_state"].items():
        bind(open_path(f"{MOUNTED_STATE}/{source}"), target)
    # A /sys mounted in this network namespace shows this machine's interfaces.
    mount("sysfs", "/sys", "sysfs")


def own(path, owner):
    """mkdir, chown and chmod; owner reads "user:group:mode"."""
    user, group, mode = owner.split(":")
    os.makedirs(path, exist_ok=True)
    os.chown(path, pwd.getpwnam(user).pw_uid, grp.getgrnam(group).gr_gid)
    os.chmod(path, int(mode, 8))


def set_sysctls(settings):
    for key, value in settings.items():
        with open(f"/proc/sys/{key}", "w", encoding="ascii") as stream:
            stream.write(value)


class Service:
    """One daemon: whether it should run, and the process that does."""

    def __init__(self, name):
        self.name = name
        self.wanted = True
        self.pid = None
        self.starts = 0
        self.last_exit = None       # exit status, or -signal as subprocess has it
        self.start_at = 0.0         # monotonic; when the next start is due

    def start(self):
        with open(f"{MOUNTED_STATE}/services.json", encoding="utf-8") as stream:
            service = json.load(stream)[self.name]
        log = f"{MOUNTED_STATE}/{self.name}.log"
        self.starts += 1
        previous = os.umask(int(service.get("umask", "0022"), 8))
        try:
            self.pid = os.posix_spawnp(
                service["argv"][0], service["argv"], {**os.environ, **service.get("env", {})},
                file_actions=[(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                              (os.POSIX_SPAWN_OPEN, 1, log,
                               os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
                              (os.POSIX_SPAWN_DUP2, 1, 2)],
                setsid=True, setsigmask=[])
        finally:
            os.umask(previous)

    def exited(self, exit_code):
        self.pid = None
        self.last_exit = exit_code
        self.start_at = time.monotonic() + RESTART_DELAY_S

    def kill(self, number):
        """Signals the process and returns its PID as seen in here, 0 when there is none."""
        if self.pid is not None:
            os.kill(self.pid, number)
        return self.pid or 0


class Supervisor:
    """Keeps services running and answers the socket; never returns."""

    def __init__(self, names):
        self.services = {name: Service(name) for name in names}
        self.selector = selectors.DefaultSelector()
        self._watch_children()
        self._listen()

    def _watch_children(self):
        reader, writer = socket.socketpair()
        for end in (reader, writer):
            end.setblocking(False)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.selector.register(reader, selectors.EVENT_READ, self._reap)
        self._wakeup_writer = writer    # set_wakeup_fd does not keep it open

    def _listen(self):
        path = f"{MOUNTED_STATE}/pid1.sock"
        if os.path.exists(path):
            os.unlink(path)             # a machine that was killed left it
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        server.bind(path)
        server.listen(64)
        self.selector.register(server, selectors.EVENT_READ, self._serve)

    def run(self):
        while True:
            for key, _ in self.selector.select(self._start_due()):
                key.data(key.fileobj)

    def _start_due(self):
        """Starts what is due; returns seconds until the next start is, or None."""
        now = time.monotonic()
        idle = [s for s in self.services.values() if s.pid is None and s.wanted]
        for service in idle:
            if service.start_at <= now:
                self._start(service)
        return min((max(0, s.start_at - now) for s in idle if s.pid is None), default=None)

    @staticmethod
    def _start(service):
        try:
            service.start()
        except OSError as error:    # no such program: as bad as one that exits at once
            print(f"pid1: {service.name}: {error}", flush=True)
            service.exited(127)

    def _reap(self, reader):
        reader.recv(4096)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for service in self.services.values():
                if service.pid == pid:
                    service.exited(os.waitstatus_to_exitcode(status))

    def _serve(self, server):
        client, _ = server.accept()
        with client:
            client.settimeout(2)
            try:
                request = client.makefile("r", encoding="utf-8").readline()
                if request:
                    client.sendall((json.dumps(self._answer(json.loads(request))) + "\n").encode())
            except OSError as error:    # a client that went away is no reason to die
                print(f"pid1: {error}", flush=True)

    def _answer(self, request):
        if request["do"] == "status":
            return {name: {"pid": s.pid, "wanted": s.wanted, "starts": s.starts,
                           "last_exit": s.last_exit} for name, s in self.services.items()}
        service = self.services[request["service"]]
        if request["do"] == "start":
            service.wanted, service.start_at = True, 0.0
            self._start_due()
            return {"pid": service.pid}
        if request["do"] == "stop":
            service.wanted = False
        return {"pid": service.kill(request["signal"])}


def raise_file_limit():
    """BIRD takes a file descriptor per session; its unit raises LimitNOFILE, so do we."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    soft = 65536 if hard == resource.RLIM_INFINITY else min(65536, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def main():
    state = sys.argv[1]
    with open(f"{state}/machine.json", encoding="utf-8") as stream:
        machine = json.load(stream)
    with open(f"{state}/services.json", encoding="utf-8") as stream:
        names = list(json.load(stream))
    os.umask(0o022)
    make_file_tree(state, machine)
    for path, owner in machine["dirs"].items():
        own(path, owner)
    set_sysctls(machine["sysctls"])
    raise_file_limit()
    os.chdir("/")
    Supervisor(names).run()


if __name__ == "__main__":
    main()
