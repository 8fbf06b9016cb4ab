# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls the CNI plugin the way a container runtime does, in namespaces of its own.

A host and its pods are network namespaces held by a file descriptor of this
process: they have no name that could clash, and nothing is left behind however the
tests end.  Python enters one for the time of a call (setns), so that a child is
started there without a helper in between.
"""

import contextlib
import ctypes
import dataclasses
import ipaddress
import json
import os
import shutil
import socket
import struct
import subprocess
import tempfile

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000
_OWN = "/proc/thread-self/ns/net"

RTF_LOCAL = 0x80000000  # of linux/ipv6_route.h

CALL_SECONDS = 60       # more than the plugin's own deadline: only a hang takes that long

VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")


def find_plugin():
    """$ROOST_PLUGIN, else `roost` in $ROOST_BUILDDIR, else in the source tree."""
    if "ROOST_PLUGIN" in os.environ:
        return os.environ["ROOST_PLUGIN"]
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    return os.path.abspath(os.path.join(os.environ.get("ROOST_BUILDDIR", source), "roost"))


def is_sanitized(binary):
    """Whether the binary was built with AddressSanitizer, which is slow under strace."""
    with open(binary, "rb") as file:
        return b"__asan_init" in file.read()


def _check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class Namespace:
    """A network namespace; `path` is what goes into CNI_NETNS."""

    def __init__(self):
        before = os.open(_OWN, os.O_RDONLY)
        try:
            _check(_libc.unshare(_CLONE_NEWNET))
            self.fd = os.open(_OWN, os.O_RDONLY)
        finally:
            _check(_libc.setns(before, _CLONE_NEWNET))
            os.close(before)

    @property
    def path(self):
        return f"/proc/{os.getpid()}/fd/{self.fd}"

    def close(self):
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    @contextlib.contextmanager
    def entered(self):
        before = os.open(_OWN, os.O_RDONLY)
        try:
            _check(_libc.setns(self.fd, _CLONE_NEWNET))
            yield
        finally:
            _check(_libc.setns(before, _CLONE_NEWNET))
            os.close(before)

    def run(self, *argv, check=True):
        with self.entered():
            return subprocess.run(argv, check=check, capture_output=True, text=True,
                                  timeout=CALL_SECONDS)

    def ip(self, *argv):
        """`ip -j -d ARGV` as data."""
        return json.loads(self.run("ip", "-j", "-d", *argv).stdout or "[]")

    def links(self):
        return {link["ifname"]: link for link in self.ip("link", "show") if link}

    def addresses(self, ifname):
        """{"10.0.0.2/24": the address's data} of one link."""
        return {f"{a['local']}/{a['prefixlen']}": a
                for link in self.ip("address", "show", "dev", ifname) for a in link["addr_info"]}

    def routes(self):
        """{"default", "10.0.0.0/24" ...: gateway or None} of both families."""
        return {r["dst"]: r.get("gateway")
                for family in ("-4", "-6") for r in self.ip(family, "route", "show")
                if r["type"] == "unicast"}

    def local_ipv6(self):
        """What the kernel takes for its own when it comes in, read at once."""
        with self.entered(), open("/proc/thread-self/net/ipv6_route") as file:
            rows = [line.split() for line in file]
        return {str(ipaddress.IPv6Address(bytes.fromhex(row[0])))
                for row in rows if int(row[8], 16) & RTF_LOCAL}

    def sysctl(self, name):
        with self.entered(), open("/proc/sys/" + name) as file:
            return file.read().strip()

    def set_sysctl(self, name, value):
        with self.entered(), open("/proc/sys/" + name, "w") as file:
            file.write(value)

    def udp(self, address, port=0):
        """A UDP socket that lives in here."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with self.entered():
            sock = socket.socket(family, socket.SOCK_DGRAM)
            sock.bind((address, port))
        sock.settimeout(2)
        return sock


def one_packet_arrives(sender, from_address, receiver, to_address):
    """Sends one packet, once, and says whether it came."""
    with sender.udp(from_address) as out, receiver.udp(to_address) as into:
        out.sendto(b"roost", into.getsockname()[:2])
        try:
            return into.recv(16) == b"roost"
        except socket.timeout:
            return False


@dataclasses.dataclass
class Reply:
    code: int           # exit status; negative: the signal
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def error(self):
        """The CNI error code of a failure."""
        assert self.code == 1, self
        return self.json["code"]


@dataclasses.dataclass
class Lease:
    state: str
    container: str
    ifname: str
    addresses: tuple


def read_leases(path):
    """All slots of a store file, as cni/lease.c writes them."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return []
    assert len(data) % 256 == 0, f"{path}: {len(data)} bytes"
    leases = []
    for at in range(256, len(data), 256):
        state, count, ifname, container = struct.unpack_from("8xBB16s152s", data, at)
        addresses = []
        for i in range(count):
            family, raw = struct.unpack_from("B16s", data, at + 178 + 17 * i)
            size = 4 if family == socket.AF_INET else 16
            addresses.append(str(ipaddress.ip_address(raw[:size])))
        leases.append(Lease({1: "held", 2: "freed"}[state], container.rstrip(b"\0").decode(),
                            ifname.rstrip(b"\0").decode(), tuple(addresses)))
    return leases


class Host:
    """A node: a namespace, a folder for its files, and pods."""

    mode = "bridge"     # of conf(); a test may set it

    def __init__(self, plugin=None):
        self.plugin = plugin or find_plugin()
        self.folder = tempfile.mkdtemp(prefix="roost-cni-")
        self.data_dir = os.path.join(self.folder, "ipam")
        self.namespace = Namespace()
        self.pods = []

    def close(self):
        for namespace in self.pods + [self.namespace]:
            namespace.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def pod(self):
        self.pods.append(Namespace())
        return self.pods[-1]

    def conf(self, version="1.1.0", subnets=("10.244.1.0/24", "fd00:10:244:1::/64"), ipam=None,
             **more):
        """A configuration; `more` are its keys, `ipam` keys of its ipam."""
        settings = {"type": "roost", "dataDir": self.data_dir}
        if subnets:
            settings["ranges"] = [[{"subnet": subnet}] for subnet in subnets]
        settings.update(ipam or {})
        return {"cniVersion": version, "name": "pods", "type": "roost", "mtu": 1500,
                "bridge": "roost0", "mode": self.mode, "ipam": settings, **more}

    def start(self, command, container="c1", netns="", conf=None, ifname="eth0", args=None,
              env=None, stdin=None, stdout=subprocess.PIPE, prefix=(), plugin=None):
        """Starts the plugin and has given it its input; finish() waits for it."""
        plugin = plugin or self.plugin
        environment = {"CNI_COMMAND": command, "CNI_CONTAINERID": container, "CNI_IFNAME": ifname,
                       "CNI_NETNS": netns.path if isinstance(netns, Namespace) else netns,
                       "CNI_PATH": os.path.dirname(plugin), "PATH": os.environ["PATH"],
                       "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "detect_leaks=1")}
        if args is not None:
            environment["CNI_ARGS"] = args
        environment.update(env or {})
        environment = {key: value for key, value in environment.items() if value is not None}
        if stdin is None:
            stdin = json.dumps(conf if conf is not None else self.conf())
        with tempfile.TemporaryFile() as file, self.namespace.entered():
            file.write(stdin if isinstance(stdin, bytes) else stdin.encode())
            file.seek(0)
            return subprocess.Popen([*prefix, plugin], stdin=file, stdout=stdout,
                                    stderr=subprocess.PIPE, env=environment)

    @staticmethod
    def finish(process):
        try:
            out, err = process.communicate(timeout=CALL_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        reply = Reply(process.returncode, (out or b"").decode(), err.decode(errors="replace"))
        assert "Sanitizer" not in reply.err and "runtime error" not in reply.err, reply.err
        return reply

    def call(self, *positional, **named):
        return self.finish(self.start(*positional, **named))

    def add(self, container="c1", netns=None, **named):
        """ADD that has to succeed, in a pod of its own unless one is given; the result."""
        reply = self.call("ADD", container, netns or self.pod(), **named)
        assert reply.code == 0, reply
        return reply.json

    def delete(self, container="c1", netns="", **named):
        """DEL that has to succeed and to say nothing on stdout."""
        reply = self.call("DEL", container, netns, **named)
        assert (reply.code, reply.out) == (0, ""), reply

    def leases(self, network="pods"):
        return read_leases(os.path.join(self.data_dir, network, "leases"))

    def held(self, network="pods"):
        """{container: addresses} of what is taken."""
        return {lease.container: lease.addresses for lease in self.leases(network)
                if lease.state == "held"}

    def veths(self):
        return sorted(name for name in self.namespace.links() if name.startswith("rst"))

    def assert_nothing_left(self):
        assert self.held() == {}
        assert self.veths() == []
