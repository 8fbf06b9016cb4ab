# SPDX-License-Identifier: GPL-2.0-or-later
"""A lab machine: a network, a mount and a PID namespace with daemons in it.

The PID namespace is there so that one SIGKILL to its first process takes every
process of the machine with it, whatever they forked.  The mount namespace gives
each machine the same paths and none of the others' files:

    /run        a tmpfs, as on a real host: gone at a reboot.  /run/netns in it
                is the real one, so pods made later with `ip netns add` appear.
    /etc, /var  overlays over the real ones; writes stay in the machine.
    from_state  folders of the state directory, for what people want to look at
                from outside, or change: /etc/roost, /var/lib/roost, ...
    from_host   folders of the build tree.  Bound in, because roostd runs without
                root and could not reach a checkout below a home of mode 0700.

Nothing is mounted outside these namespaces, so nothing needs unmounting.
"""

import json
import os
import signal
import socket
import struct
import subprocess
import sys

from . import netns
from .base import LabError, netns_name, run, state_dir, tail, wait_until, write_file

PID1 = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pid1.py")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Machine:
    """One machine of a lab.  Subclasses say which files and services it has."""

    # What the subclass fills in; pid1.py reads it from machine.json.
    from_state = {}     # folder in the machine -> folder below the state directory
    dirs = {}           # folder in the machine -> "user:group:mode"
    sysctls = {         # what a router's or a Kubernetes node's sysctl.d holds
        "net/ipv4/ip_forward": "1",
        "net/ipv6/conf/all/forwarding": "1",
    }

    def __init__(self, lab_name, name):
        self.lab_name = lab_name
        self.name = name
        self.netns = netns_name(lab_name, name)
        self.state = state_dir(lab_name, name)
        self._pid = None

    # -- to be overridden ------------------------------------------------------

    def services(self):
        """{name: {"argv": [...], "env": {...}, "umask": "0022"}}; argv is all it takes."""
        return {}

    def from_host(self):
        """{folder in the machine: folder of the real host}"""
        return {}

    def search_path(self):
        """PATH of commands run in the machine."""
        return PATH

    # -- life ------------------------------------------------------------------

    def path(self, *parts):
        """A file of the state directory, as seen from outside."""
        return os.path.join(self.state, *parts)

    def boot(self):
        """Starts the first process; the network namespace must exist.  See wait_booted()."""
        for source in self.from_state.values():
            os.makedirs(self.path(source), exist_ok=True)
        write_file(self.path("machine.json"), json.dumps({
            "from_state": self.from_state, "from_host": self.from_host(),
            "dirs": self.dirs, "sysctls": self.sysctls}, indent=1))
        self.write_services(self.services())
        with open(self.path("pid1.log"), "ab") as log:
            self._booting = subprocess.Popen(
                netns.inside(self.netns, [
                    "unshare", "--mount", "--propagation", "slave", "--mount-proc",
                    "--pid", "--fork", "--kill-child",
                    sys.executable, "-I", "-B", PID1, self.state]),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, "PATH": self.search_path()})
        self._pid = None

    def wait_booted(self):
        wait_until(self._has_booted, 15, f"{self.name} has booted ({self.path('pid1.log')})")
        link = self.path("root")
        if os.path.islink(link):
            os.unlink(link)
        os.symlink(f"/proc/{self.pid}/root", link)

    def _has_booted(self):
        if self._booting.poll() is not None:
            said = tail(self.path("pid1.log"), 1) or ["nothing in pid1.log"]
            raise LabError(f"{self.name} could not boot: {said[0]}")
        return self.is_up()

    def is_up(self):
        try:
            self._connect().close()
            return True
        except OSError:
            return False

    def power_off(self):
        """As if the plug was pulled: every process dies, /run is lost, the disk stays."""
        pid = self.pid
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not os.path.exists(f"/proc/{pid}"), 10, f"{self.name} is off")
        self._pid = None

    def reboot(self):
        self.power_off()
        self.boot()
        self.wait_booted()

    @property
    def pid(self):
        """The first process's PID as the real host counts."""
        if self._pid is None:
            try:
                with self._connect() as client:
                    peer = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            except OSError as error:
                raise LabError(f"{self.name} is down ({error.strerror})") from None
            self._pid = struct.unpack("iii", peer)[0]
        return self._pid

    # -- services --------------------------------------------------------------

    def _connect(self):
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.settimeout(10)
        try:
            client.connect(self.path("pid1.sock"))
        except OSError:
            client.close()
            raise
        return client

    def _ask(self, **request):
        try:
            with self._connect() as client:
                client.sendall((json.dumps(request) + "\n").encode())
                return json.loads(client.makefile("r").readline())
        except (OSError, ValueError) as error:
            raise LabError(f"{self.name}: no answer from its first process ({error})") from None

    def write_services(self, services):
        write_file(self.path("services.json"), json.dumps(services, indent=1))

    def change_service(self, name, **changes):
        """Changes argv or env of a service from its next start on."""
        with open(self.path("services.json"), encoding="utf-8") as stream:
            services = json.load(stream)
        services[name].update(changes)
        self.write_services(services)

    def service_status(self):
        """{name: {"pid" (seen inside), "wanted", "starts", "last_exit"}}"""
        return self._ask(do="status")

    def is_running(self, service):
        return self.service_status()[service]["pid"] is not None

    def start_service(self, service):
        """Starts it now and from now on keeps it running."""
        return self._ask(do="start", service=service)["pid"]

    def stop_service(self, service, sig=signal.SIGTERM):
        """Stops it, waits until it is gone, and keeps it from being started again."""
        self._ask(do="stop", service=service, signal=int(sig))
        wait_until(lambda: not self.is_running(service), 20, f"{service} on {self.name} has stopped")

    def hold_service(self, service):
        """Leaves it running, but once it ends it stays down until start_service()."""
        self._ask(do="stop", service=service, signal=0)

    def kill_service(self, service, sig=signal.SIGKILL):
        """Signals it at once; when that ends it, it is started again after 0.1 s."""
        return self._ask(do="kill", service=service, signal=int(sig))["pid"]

    def host_pid(self, service):
        """PID of a service as the real host counts (for /proc/PID/..., strace, gdb); None when down."""
        inner = self.service_status()[service]["pid"]
        for pid in filter(str.isdigit, os.listdir("/proc")):
            if inner is not None and _pid_inside(pid, self.pid) == inner:
                return int(pid)
        return None

    # -- commands --------------------------------------------------------------

    def inside(self, argv):
        """The argv that runs a command in this machine."""
        return ["nsenter", f"--target={self.pid}", "--net", "--mount", "--pid", "--", *argv]

    def environment(self, **more):
        return {**os.environ, "PATH": self.search_path(), **more}

    def exec(self, argv, *, env=None, **options):
        """Runs a command in the machine as root; options and result as of base.run()."""
        return run(self.inside(argv), env=self.environment(**(env or {})), **options)

    def birdc(self, command, check=True):
        """BIRD's answer to a command, without birdc's greeting."""
        out = self.exec(["birdc", *command.split()], check=check).stdout
        return "".join(line for line in out.splitlines(keepends=True)
                       if not (line.startswith("BIRD ") and line.rstrip().endswith("ready.")))

    def protocols(self):
        """{name: {"proto", "table", "state", "since", "info"}}; {} while BIRD is away.

        A BGP session is up when its info is "Established".
        """
        rows = {}
        for line in self.birdc("show protocols", check=False).splitlines():
            fields = line.split(None, 5)
            if len(fields) < 5 or fields[0] == "Name" or line.startswith(("BIRD ", "Unable")):
                continue
            name, proto, table, state, since = fields[:5]
            rows[name] = {"proto": proto, "table": table, "state": state, "since": since,
                          "info": fields[5].strip() if len(fields) == 6 else ""}
        return rows

    def sessions(self):
        """The BGP rows of protocols()."""
        return {name: row for name, row in self.protocols().items() if row["proto"] == "BGP"}

    def routes(self, family=4):
        """The kernel's main table as `ip -j route` has it."""
        return json.loads(self.exec(["ip", "-j", f"-{family}", "route", "show"]).stdout or "[]")

    def has_route(self, prefix, gateway, family=4):
        return any(route["dst"] == prefix and route.get("gateway") == gateway
                   for route in self.routes(family))


def _pid_inside(pid, first_process):
    """A process's PID in the namespace of `first_process`, None when it lives elsewhere."""
    try:
        if os.readlink(f"/proc/{pid}/ns/pid") != os.readlink(f"/proc/{first_process}/ns/pid"):
            return None
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as stream:
            for line in stream:
                if line.startswith("NSpid:"):
                    return int(line.split()[-1])
    except OSError:     # it ended while we looked
        pass
    return None
