# SPDX-License-Identifier: GPL-2.0-or-later
"""Container runtimes of Debian on a lab node: podman, `ctr run --cni`, containerd's CRI.

They run in a `Box`: the node's network and PID namespace, and a mount namespace of
their own below the node's.  /etc, /var and /run are the node's and private already;
the box adds what a runtime needs beyond that, and nothing of it is seen outside:

    /sys/fs/cgroup  cgroup2.  crun does not start without one; no cgroup is made in it.
    /run/netns      empty.  The node's is the real host's, and runtimes make files there.
    /dev/shm        empty, for podman's locks.
    /opt/cni/bin    links to the plugins.  `ctr` looks nowhere else.

Runtimes and containers are processes of the node: whatever a test forgets dies with it.
There is no registry: the one image is a busybox in a tar made here.
"""

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import tarfile

from cniharness import read_leases
from roostlab import LabError, run, wait_until

NETWORK = "roost"                   # the name roostd gives its network
NET_D = "/etc/cni/net.d"            # the list that roostd wrote
CHAIN_D = "/run/rt/chain.d"         # the same with portmap and bandwidth after it
ROUTED_D = "/run/rt/routed.d"       # the same again, and mode: routed
PLUGINS = "/usr/lib/cni"
IMAGE = "localhost/busybox:1"
WEB_SERVER = ("/bin/httpd", "-f", "-p", "80", "-h", "/www")
GREETING = "hello from a container\n"
SECONDS = 30                        # no command of a runtime takes that long

# Without CAP_SYS_RESOURCE no limit can be raised, and without a cgroup controller none
# of a cgroup set.
CONTAINERS_CONF = """\
[containers]
cgroups = "disabled"
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
apparmor_profile = "unconfined"
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
runtime = "crun"
tmp_dir = "/run/rt/libpod"
"""
CNI_CONF = """\
[network]
network_backend = "cni"
cni_plugin_dirs = ["/opt/cni/bin"]
network_config_dir = "{net_d}"
default_network = "roost"
"""

STORAGE_CONF = """\
[storage]
driver = "vfs"
graphroot = "/run/rt/graph"
runroot = "/run/rt/storage"
"""

CONTAINERD_TOML = f"""\
version = 2
root = "/run/rt/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{IMAGE}"
disable_cgroup = true
disable_apparmor = true
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/opt/cni/bin"
conf_dir = "{CHAIN_D}"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
BinaryName = "/run/rt/crun"
"""

# containerd cannot tell crun to leave cgroups alone, and its own runc cannot do it at all.
CRUN = '#!/bin/sh\nexec crun --cgroup-manager=disabled "$@"\n'

# 1 MB/s and enough burst that no test waits for it.
BANDWIDTH = {"type": "bandwidth", "capabilities": {"bandwidth": True},
             "ingressRate": 8000000, "ingressBurst": 8000000,
             "egressRate": 8000000, "egressBurst": 8000000}
PORTMAP = {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True}


def missing(*programs):
    """What of these is not installed, as words; "" when all is there."""
    def found(program):
        return os.path.exists(program) if "/" in program else shutil.which(program)
    return ", ".join(program for program in programs if not found(program))


# -- the image -----------------------------------------------------------------

def _add(tar, name, data=None, mode=0o755, link=None):
    entry = tarfile.TarInfo(name)
    entry.mode = mode
    if link:
        entry.type, entry.linkname = tarfile.SYMTYPE, link
    elif data is None:
        entry.type = tarfile.DIRTYPE
    else:
        entry.size = len(data)
    tar.addfile(entry, None if data is None else io.BytesIO(data))


def _tar(entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for entry in entries:
            _add(tar, *entry)
    return out.getvalue()


def image():
    """A `docker save` archive of one layer: a busybox that serves a page on port 80."""
    with open("/bin/busybox", "rb") as file:
        busybox = file.read()
    folders = [(name,) for name in ("bin", "dev", "etc", "proc", "run", "sys", "tmp", "www")]
    links = [(f"bin/{name}", None, 0o777, "busybox")
             for name in ("sh", "sleep", "httpd", "ip", "ping", "true")]
    layer = _tar(folders + [("bin/busybox", busybox)] + links
                 + [("www/index.html", GREETING.encode(), 0o644)])
    config = json.dumps({
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine,
                                                                    os.uname().machine),
        "os": "linux", "config": {"Cmd": WEB_SERVER, "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
    }).encode()
    name = hashlib.sha256(config).hexdigest() + ".json"
    manifest = json.dumps([{"Config": name, "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]).encode()
    return _tar([("manifest.json", manifest, 0o644), (name, config, 0o644),
                 ("layer.tar", layer, 0o644)])


# -- where runtimes run --------------------------------------------------------

class Box:
    """The namespaces of the runtimes on one node, held by a process that does nothing."""

    MOUNTS = """
        set -e
        mount -t tmpfs -o mode=0755 tmpfs /run/netns
        mount -t tmpfs -o mode=1777 tmpfs /dev/shm
        mount -t cgroup2 cgroup2 /sys/fs/cgroup
        mount -t tmpfs -o mode=0755 tmpfs /opt
        mkdir -p /opt/cni/bin /run/rt/chain.d /run/rt/routed.d
        for plugin in "$1"/* "$2"; do ln -sf "$plugin" /opt/cni/bin/; done
        echo $$ >/run/rt/pid
        exec sleep infinity
    """

    def __init__(self, node):
        self.node = node
        # Not through node.exec(): it lives as long as the box.
        self._holder = subprocess.Popen(
            node.inside(["unshare", "--mount", "--propagation", "private", "sh", "-c",
                         self.MOUNTS, "sh", PLUGINS, node.cni.find(node.cni.plugin_name)]),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env=node.environment(), start_new_session=True)
        try:
            wait_until(self._is_ready, 10, "the runtimes' mounts are there")
            self._fill()
            self.before = self.traces()
        except BaseException:
            self.close()
            raise

    def _is_ready(self):
        if self._holder.poll() is not None:
            raise LabError("runtimes' mounts: " + self._holder.stderr.read().decode().strip())
        return os.path.exists(self.node.path("root/run/rt/pid"))

    def _fill(self):
        self.write("/run/rt/image.tar", image())
        for name, net_d in (("alone", NET_D), ("chain", CHAIN_D), ("routed", ROUTED_D)):
            self.write(f"/run/rt/{name}.conf", CONTAINERS_CONF + CNI_CONF.format(net_d=net_d))
        self.write("/run/rt/storage.conf", STORAGE_CONF)
        self.write("/run/rt/containerd.toml", CONTAINERD_TOML)
        self.write("/run/rt/crun", CRUN, 0o755)
        network = self.node.cni.network()
        # What these runtimes' libcni knows at most.
        network = {**network, "cniVersion": "1.0.0",
                   "plugins": network["plugins"] + [PORTMAP, BANDWIDTH]}
        network.pop("cniVersions", None)
        self.write(f"{CHAIN_D}/10-chain.conflist", json.dumps(network))
        ours = {**network["plugins"][0], "mode": "routed"}
        network["plugins"] = [ours, *network["plugins"][1:]]
        self.write(f"{ROUTED_D}/10-routed.conflist", json.dumps(network))

    def close(self):
        pid = self._read_pid()
        if pid:
            self.node.exec(["kill", "-9", pid], check=False)
        self._holder.kill()
        self._holder.wait()
        self._holder.stderr.close()

    def _read_pid(self):
        try:
            with open(self.node.path("root/run/rt/pid"), encoding="ascii") as file:
                return file.read().strip()
        except OSError:
            return None

    def path(self, path):
        """A file of the node, as seen from outside."""
        return self.node.path("root" + path)

    def write(self, path, data, mode=0o644):
        with open(self.path(path), "wb") as file:
            file.write(data if isinstance(data, bytes) else data.encode())
        os.chmod(self.path(path), mode)

    def inside(self, argv):
        pid = self._read_pid()
        return self.node.inside(["nsenter", f"--mount=/proc/{pid}/ns/mnt", "--", *argv])

    def environment(self, **more):
        # HOME: nothing may be written to the real one.
        return self.node.environment(HOME="/run/rt", TMPDIR="/run/rt", **more)

    def exec(self, argv, check=True, timeout=SECONDS, **env):
        return run(self.inside(argv), check=check, timeout=timeout, env=self.environment(**env))

    def start(self, argv, log, **env):
        """A process that goes on; with its log in the node's state directory."""
        with open(self.node.path(log), "ab") as file:
            return subprocess.Popen(self.inside(argv), stdin=subprocess.DEVNULL, stdout=file,
                                    stderr=file, start_new_session=True,
                                    env=self.environment(**env))

    def signal(self, pid, number=signal.SIGKILL):
        """To one process, by its PID as the node counts; it may have ended meanwhile."""
        self.node.exec(["kill", f"-{int(number)}", str(pid)], check=False)

    def shim_of(self, argument):
        """PID of the containerd-shim with exactly this argument."""
        for line in self.node.exec(["ps", "-eo", "pid=,args="]).stdout.splitlines():
            pid, *argv = line.split()
            if argument in argv[1:] and os.path.basename(argv[0]).startswith("containerd-shim"):
                return int(pid)
        raise LabError(f"no containerd-shim of {argument}")

    def leases(self):
        """{container: addresses} of what is taken on this network."""
        path = self.path(f"/run/roost/ipam/{NETWORK}/leases")
        return {lease.container: lease.addresses for lease in read_leases(path)
                if lease.state == "held"}

    def links(self):
        return sorted(link["ifname"] for link in json.loads(
            self.node.exec(["ip", "-j", "link", "show"]).stdout))

    def traces(self):
        """All that an attached container is seen by from outside it."""
        chains = [line for tool in ("iptables", "ip6tables")
                  for line in self.node.exec([tool, "-t", "nat", "-S"],
                                             check=False).stdout.splitlines() if "CNI-DN" in line]
        return {"leases": self.leases(), "links": self.links(), "published ports": chains,
                "namespaces": self.exec(["ls", "/run/netns"]).stdout.split()}

    def wait_nothing_left(self):
        wait_until(lambda: self.traces() == self.before, 10,
                   lambda: f"nothing of the container is left: {self.traces()}")


class Container:
    """A running container, by the PID of its first process as the node counts."""

    def __init__(self, box, name, pid):
        self.box, self.name, self.pid = box, name, int(pid)

    def exec(self, argv, **options):
        """A command of the host in the container's network namespace."""
        return self.box.node.exec(["nsenter", f"--net=/proc/{self.pid}/ns/net", "--", *argv],
                                  **options)

    def ip(self, *argv):
        return json.loads(self.exec(["ip", "-j", *argv]).stdout or "[]")

    def addresses(self):
        """Of eth0, IPv4 before IPv6, without the link-local one."""
        return [address["local"] for link in self.ip("address", "show", "dev", "eth0")
                for address in link["addr_info"] if address["scope"] == "global"]

    def default_gateways(self):
        return [route["gateway"] for family in ("-4", "-6")
                for route in self.ip(family, "route", "show", "default")]

    def reaches(self, address):
        return self.exec(["ping", "-n", "-c", "1", "-W", "3", address],
                         check=False).returncode == 0


# -- podman --------------------------------------------------------------------

class Podman:
    def __init__(self, box, name):
        """`name`: "alone", "chain" or "routed"."""
        self.box = box
        self.environment = {"CONTAINERS_CONF": f"/run/rt/{name}.conf",
                            "CONTAINERS_STORAGE_CONF": "/run/rt/storage.conf"}
        self("load", "-q", "-i", "/run/rt/image.tar")

    def __call__(self, *argv, check=True):
        return self.box.exec(["podman", *argv], check=check, **self.environment)

    def run(self, name, *options):
        # What containers.conf says, said again as it is to be said by hand.
        self("run", "-d", "--name", name, "--cgroups=disabled", "--ulimit=nofile=1024:1024",
             "--ulimit=nproc=1024:1024", *options, IMAGE)
        return Container(self.box, name, self.inspect(name)["State"]["Pid"])

    def inspect(self, name):
        return json.loads(self("inspect", name).stdout)[0]

    def remove_all(self):
        self("rm", "-f", "-a", "-t", "0")


# -- containerd ----------------------------------------------------------------

class Containerd:
    """containerd with its CRI plugin.  CRI uses the chain, `ctr --cni` what roostd wrote."""

    def __init__(self, box):
        self.box = box
        self._process = None
        self.start()
        for namespace in ("default", "k8s.io"):
            self.ctr("-n", namespace, "image", "import", "--snapshotter", "native",
                     "/run/rt/image.tar")

    def start(self):
        self._process = self.box.start(
            ["sh", "-c", "echo $$ >/run/rt/containerd.pid; "
             "exec containerd --config /run/rt/containerd.toml"], "containerd.log")
        wait_until(self._is_ready, 20, lambda: f"containerd answers, and said before: {self.log()}")

    def _is_ready(self):
        if self._process.poll() is not None:
            raise LabError(f"containerd has ended: {self.log()}")
        return self.ctr("version", check=False).returncode == 0

    def log(self):
        with open(self.box.node.path("containerd.log"), encoding="utf-8") as file:
            return file.read()[-2000:]

    def stop(self, number=signal.SIGTERM):
        if self._process.poll() is None:
            with open(self.box.path("/run/rt/containerd.pid"), encoding="ascii") as file:
                self.box.signal(file.read().strip(), number)
        self._process.wait(SECONDS)

    def ctr(self, *argv, check=True):
        return self.box.exec(["ctr", "--connect-timeout=2s", *argv], check=check)

    # -- ctr run --cni ---------------------------------------------------------

    def start_ctr_run(self, name):
        """`ctr run` that stays with its container; the process of ctr, and the container."""
        process = self.box.start(
            ["sh", "-c", 'echo $$ >/run/rt/ctr.pid; exec "$@"', "sh",
             "ctr", "run", "--cni", "--runc-binary", "/run/rt/crun", "--snapshotter", "native",
             IMAGE, name], "ctr.log")
        wait_until(lambda: process.poll() is not None or self._has_address(name), 15,
                   f"container {name} has a network")
        assert process.poll() is None, f"ctr run ended: {self.log()}"
        return process, Container(self.box, name, self.task(name)[0])

    def _has_address(self, name):
        return self.task(name) and f"default-{name}" in self.box.leases() and \
            self.task(name)[1] == "RUNNING"

    def task(self, name):
        """(PID, state) of a container's task, None when it has none."""
        for line in self.ctr("task", "ls").stdout.splitlines()[1:]:
            task, pid, state = line.split()
            if task == name:
                return int(pid), state
        return None

    def ctr_pid(self):
        with open(self.box.path("/run/rt/ctr.pid"), encoding="ascii") as file:
            return int(file.read())

    def remove_all(self):
        for line in self.ctr("task", "ls").stdout.splitlines()[1:]:
            name, _, state = line.split()
            if state != "STOPPED":
                self.ctr("task", "kill", "-s", "9", name, check=False)
            wait_until(lambda: (self.task(name) or (0, "STOPPED"))[1] == "STOPPED", 10,
                       f"{name} has stopped")
            self.ctr("task", "rm", name, check=False)
        for name in self.ctr("container", "ls", "-q").stdout.split():
            self.ctr("container", "rm", name)


# -- CRI -----------------------------------------------------------------------

# The kubelet's side of CRI is gRPC.  Debian has grpc for Python, but no generated code
# for CRI: the few messages needed are written here by the numbers of their fields.

def _varint(number):
    out = bytearray()
    while number > 0x7f:
        out.append(number & 0x7f | 0x80)
        number >>= 7
    return bytes(out + bytes([number]))


def encode(message):
    """{field number: int, str, {...} or a list of these} as protobuf has it."""
    out = b""
    for field, values in message.items():
        for value in values if isinstance(values, list) else [values]:
            if isinstance(value, int):
                out += _varint(field << 3) + _varint(value)
            else:
                data = encode(value) if isinstance(value, dict) else value.encode()
                out += _varint(field << 3 | 2) + _varint(len(data)) + data
    return out


def decode(data):
    """{field number: [int or bytes, ...]}"""
    message, at = {}, 0

    def varint():
        nonlocal at
        number = shift = 0
        while True:
            byte = data[at]
            at += 1
            number |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                return number
    while at < len(data):
        key = varint()
        value = varint()
        if key & 7 == 2:
            value, at = data[at:at + value], at + value
        else:
            assert key & 7 == 0, "only numbers and what has a length"
        message.setdefault(key >> 3, []).append(value)
    return message


class Cri:
    """What the kubelet asks of containerd: sandboxes, which are what has the network."""

    TCP = 0

    def __init__(self, box):
        import grpc         # pylint: disable=import-outside-toplevel  (may be missing)
        self.box = box
        # Not box.path(): that is too long for a socket's name.
        self._address = f"unix:/proc/{box.node.pid}/root/run/containerd/containerd.sock"
        self._connect = grpc.insecure_channel

    def call(self, method, request):
        # A connection for each: containerd may have been killed since the last one.
        with self._connect(self._address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            call = channel.unary_unary(f"/runtime.v1.RuntimeService/{method}")
            return decode(call(encode(request), timeout=SECONDS))

    def network_is_ready(self):
        status = decode(self.call("Status", {})[1][0])
        for condition in map(decode, status[1]):
            if condition[1] == [b"NetworkReady"]:
                return condition.get(2) == [1]
        return False

    def run(self, name, host_port=None):
        """RunPodSandbox; its id and its first process, which serves the page."""
        config = {1: {1: name, 2: f"uid-{name}", 3: "default", 4: 0}, 2: name,
                  3: f"/run/rt/log-{name}", 8: {}}
        if host_port:
            config[5] = {1: self.TCP, 2: 80, 3: host_port}
        sandbox = self.call("RunPodSandbox", {1: config})[1][0].decode()
        info = json.loads(self._status(sandbox, verbose=1)[2])
        return sandbox, Container(self.box, name, info["pid"])

    def _status(self, sandbox, verbose):
        """{1: the status, 2: the info as JSON}"""
        reply = self.call("PodSandboxStatus", {1: sandbox, 2: verbose})
        infos = {entry[1][0]: entry[2][0] for entry in map(decode, reply.get(2, []))}
        return {1: decode(reply[1][0]), 2: infos.get(b"info", b"{}").decode()}

    def addresses(self, sandbox):
        """What the kubelet writes into the pod's status."""
        network = decode(self._status(sandbox, verbose=0)[1][5][0])
        more = [decode(entry)[1][0] for entry in network.get(2, [])]
        return [address.decode() for address in network[1] + more]

    def stop(self, sandbox):
        self.call("StopPodSandbox", {1: sandbox})

    def remove(self, sandbox):
        self.call("RemovePodSandbox", {1: sandbox})

    def sandboxes(self):
        return [decode(item)[1][0].decode() for item in self.call("ListPodSandbox", {}).get(1, [])]

    def remove_all(self):
        for sandbox in self.sandboxes():
            self.stop(sandbox)
            self.remove(sandbox)
