# SPDX-License-Identifier: GPL-2.0-or-later
"""The Debian packages: built, installed, upgraded and purged in a Debian of their own.

A folder made by debootstrap, in a tmpfs, a network, a mount and a PID namespace that end
with the process that holds them.  There is no systemd in it; SYSTEMCTL stands in for it
as far as maintainer scripts ask, and starts what the installed units say.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys

import pytest

TREE = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, os.path.join(TREE, "contrib/lab"))

from roostlab import wait_until  # noqa: E402  (the path had to be set first)

BINARIES = ["roost", "roost-cni"]

ROOST_YAML = """
cluster: {name: home, asNumber: 64512, podCIDRs: [10.244.0.0/16], topology: none}
nodes: [{name: node1, addresses: [192.168.1.11], podCIDRs: [10.244.1.0/24]}]
peers: [{name: tor, address: 192.168.1.1, asNumber: 65001}]
"""

ROUTER_CONF = """
log stderr all;
router id 192.168.1.1;
debug protocols {states};
protocol device {}
protocol bgp node1 {
	local 192.168.1.1 as 65001;
	neighbor 192.168.1.11 as 64512;
	ipv4 { import all; export none; };
}
"""

# What is asked is noted; start and stop do what the unit says, without its sandbox.
SYSTEMCTL = r"""#!/bin/bash
echo "$*" >>/run/systemctl.log
args=()
for arg; do [[ $arg == -* ]] || args+=("$arg"); done
unit=${args[1]-}; name=${unit%.service}
is_active() { [ -e "/run/test-$name.pid" ] && kill -0 "$(cat "/run/test-$name.pid")" 2>/dev/null; }
stop() {
	is_active || return 0
	kill "$(cat "/run/test-$name.pid")"
	while is_active; do sleep 0.05; done
}
start() {
	command=$(cat "/lib/systemd/system/$unit" "/lib/systemd/system/$unit.d/"*.conf 2>/dev/null |
		sed -n 's/^ExecStart=//p' | tail -n 1)
	if [ "$name" = roostd ]; then
		set -a; . /etc/default/roost; set +a
		mkdir -p /var/lib/roost && chown roost:bird /var/lib/roost
		command="setpriv --reuid=roost --regid=bird --groups=$(getent group roost | cut -d: -f3) \
			--no-new-privs --bounding-set=-all,+net_admin --inh-caps=-all,+net_admin \
			--ambient-caps=-all,+net_admin $command"
		umask 0027
	fi
	setsid $command >>"/run/test-$name.log" 2>&1 &
	echo $! >"/run/test-$name.pid"
}
case ${args[0]} in
is-enabled) [ -e "/etc/systemd/system/multi-user.target.wants/$unit" ] && echo enabled ;;
is-active) is_active ;;
start) is_active || start ;;
stop) stop ;;
restart) stop; start ;;
esac
"""


def run(argv, timeout=120, **options):
    options = {"check": True, "capture_output": True, "text": True, **options}
    try:
        return subprocess.run(argv, timeout=timeout, stdin=subprocess.DEVNULL, **options)
    except subprocess.CalledProcessError as error:
        raise AssertionError(f"{argv}: {error.stdout}{error.stderr}") from None


def mirror():
    """Where this machine gets the packages of its own release from, and its name."""
    with open("/etc/os-release", encoding="utf-8") as stream:
        release = dict(line.rstrip().split("=", 1) for line in stream if "=" in line)
    codename = release.get("VERSION_CODENAME")
    rows = run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME) $(ORIGIN)",
                "Created-By: Packages"]).stdout.splitlines()
    for row in rows:
        uri, name, origin = (row.split(" ", 2) + ["", ""])[:3]
        if name == codename and origin == "Debian":
            return codename, uri
    pytest.skip("apt of this machine knows no Debian to make a chroot of")


class Debian:
    """The chroot and its namespaces."""

    def __init__(self, folder):
        self.root = f"{folder}/root"
        os.mkdir(self.root)
        # All of it ends with this process, and that with pytest.  No exec: somebody has to
        # reap what dies in there.
        self.holder = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--net", "--pid", "--fork",
             "--kill-child", "--mount-proc", "sh", "-c",
             f"mount -t tmpfs -o mode=0755 tmpfs {self.root} && echo ready && sleep infinity; :"],
            stdout=subprocess.PIPE, text=True)
        assert self.holder.stdout.readline() == "ready\n"
        with open(f"/proc/{self.holder.pid}/task/{self.holder.pid}/children", encoding="ascii") as stream:
            self.pid = stream.read().split()[0]
        self.router = None

    def outside(self, *argv, **options):
        """A program of this machine, in the namespaces."""
        return run(["nsenter", f"--target={self.pid}", "--mount", "--net", "--pid", "--", *argv], **options)

    def __call__(self, *argv, **options):
        return self.outside("chroot", self.root, *argv, env={
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive", "HOME": "/root"}, **options)

    def path(self, name):
        """A file of the chroot as this machine sees it."""
        return f"/proc/{self.pid}/root{self.root}/{name}"

    def read(self, name):
        with open(self.path(name), encoding="utf-8", errors="replace") as stream:
            return stream.read()

    def write(self, name, text, mode=0o644):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w", encoding="utf-8") as stream:
            stream.write(text)
        os.chmod(self.path(name), mode)

    def has(self, name):
        return os.path.lexists(self.path(name))

    def install(self, *debs):
        for deb in debs:
            shutil.copy(deb, self.path("tmp"))
        self("dpkg", "--install", *(f"/tmp/{os.path.basename(deb)}" for deb in debs))

    def status(self):
        done = self("roostctl", "-o", "json", "status", check=False)
        return json.loads(done.stdout) if done.stdout else {}

    def asked(self):
        """What maintainer scripts asked of systemd since the last time."""
        log = self.read("run/systemctl.log") if self.has("run/systemctl.log") else ""
        self.write("run/systemctl.log", "")
        return log

    def start_router(self, folder):
        """A BIRD of this machine's, one link away."""
        net = ["unshare", "--net", "sh", "-c", "ip link set lo up; echo ready; exec sleep infinity"]
        holder = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "nsenter", f"--target={self.pid}", "--net", "--", *net],
            stdout=subprocess.PIPE, text=True)
        assert holder.stdout.readline() == "ready\n"
        here = ["nsenter", f"--target={holder.pid}", "--net", "--"]
        run([*here, "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0",
             "netns", self.pid])
        for where, address in ((here, "192.168.1.1/24"),
                               (["nsenter", f"--target={self.pid}", "--net", "--"], "192.168.1.11/24")):
            run([*where, "ip", "address", "add", address, "dev", "eth0"])
            run([*where, "ip", "link", "set", "eth0", "up"])
            run([*where, "ip", "link", "set", "lo", "up"])
        conf, self.router_socket = f"{folder}/router.conf", f"{folder}/router.ctl"
        with open(conf, "w", encoding="ascii") as stream:
            stream.write(ROUTER_CONF)
        self.router_log = f"{folder}/router.log"
        with open(self.router_log, "wb") as log:
            bird = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *here, "bird", "-f", "-c", conf,
                                     "-s", self.router_socket], stdout=log, stderr=log)
        self.router = (bird, holder)

    def router_says(self, command):
        return run(["birdc", "-s", self.router_socket, *command.split()]).stdout

    def session_is_up(self):
        return "Established" in self.router_says("show protocols node1")

    def end(self):
        for process in (*(self.router or ()), self.holder):
            process.send_signal(signal.SIGKILL)
            process.wait()


def debootstrap(debian):
    codename, uri = mirror()
    proxy = run(["apt-config", "shell", "http_proxy", "Acquire::http::Proxy"]).stdout
    proxy = re.findall(r"http_proxy='(.*)'", proxy)
    return subprocess.Popen(
        ["nsenter", f"--target={debian.pid}", "--mount", "--pid", "--", "debootstrap",
         "--variant=minbase", "--include=systemd-standalone-sysusers,systemd-standalone-tmpfiles",
         codename, debian.root, uri],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, **({"http_proxy": proxy[0]} if proxy else {})})


def fetch_dependencies(debian, debs, folder):
    """With this machine's apt and its lists; what the packages need is what it says."""
    os.makedirs(f"{folder}/archives/partial")
    argv = ["apt-get", "--download-only", "--yes", "--no-install-recommends",
            "-o", f"Dir::State::status={debian.root}/var/lib/dpkg/status",
            "-o", f"Dir::State::extended_states={folder}/extended_states",
            "-o", f"Dir::Cache::archives={folder}/archives", "-o", "APT::Sandbox::User=root",
            "install", *debs]
    argv = ["nsenter", f"--target={debian.pid}", "--mount", "--", *argv]     # this machine's network
    if run(argv, check=False).returncode != 0:
        run(["apt-get", "update"])
        run(argv)
    return [entry.path for entry in os.scandir(f"{folder}/archives") if entry.name.endswith(".deb")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(tmp_path_factory.mktemp("deb"))


@pytest.fixture(scope="module")
def built(folder):
    """{package: file}, built while debootstrap works, and the chroot."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    for program in ("debootstrap", "dpkg-buildpackage", "dh"):
        if not shutil.which(program):
            pytest.skip(f"needs {program}")
    debian = Debian(folder)
    try:
        bootstrap = debootstrap(debian)
        run([f"{TREE}/contrib/deb", f"{folder}/deb"], timeout=600)
        said, _ = bootstrap.communicate(timeout=600)
        assert bootstrap.returncode == 0, said[-3000:]
        debs = {name.split("_")[0]: f"{folder}/deb/{name}"
                for name in os.listdir(f"{folder}/deb") if name.endswith(".deb")}
        debian.write("usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)
        debian("mount", "-t", "proc", "proc", "/proc")
        debian.install(*fetch_dependencies(debian, [debs[name] for name in BINARIES], folder))
        yield debs, debian
    finally:
        debian.end()


@pytest.fixture(scope="module")
def debs(built):
    return built[0]


@pytest.fixture(scope="module")
def debian(built):
    return built[1]


def newer(deb, folder):
    """The same package as the next version."""
    tree = f"{folder}/newer"
    shutil.rmtree(tree, ignore_errors=True)
    run(["dpkg-deb", "--raw-extract", deb, tree])
    control = f"{tree}/DEBIAN/control"
    with open(control, encoding="utf-8") as stream:
        text = stream.read()
    with open(control, "w", encoding="utf-8") as stream:
        stream.write(re.sub(r"^Version: (.*)", r"Version: \1+next", text, flags=re.M))
    out = f"{folder}/{os.path.basename(deb).split('_')[0]}_next.deb"
    run(["dpkg-deb", "--build", "-Znone", tree, out])
    return out


def test_lintian_has_nothing_to_say(debs, folder):
    if not shutil.which("lintian"):
        pytest.skip("needs lintian")
    # Who builds may call the distribution what they like.
    said = run(["lintian", "--fail-on", "error,warning", "--allow-root", *debs.values()],
               check=False)
    assert said.returncode == 0, said.stdout
    with open(f"{TREE}/contrib/debian/changelog", encoding="utf-8") as stream:
        version = re.match(r"roost \((.*?)\)", stream.read()).group(1)
    with open(f"{TREE}/configure.ac", encoding="utf-8") as stream:
        assert f"AC_INIT([roost], [{version}]" in stream.read()


def test_they_install_where_there_is_no_systemd(debs, debian):
    debian.install(*(debs[name] for name in BINARIES))
    # The user, its groups and the folders.
    assert ":/var/lib/roost:" in debian("getent", "passwd", "roost").stdout
    assert debian("getent", "group", "roost", "bird").stdout.count("\n") == 2
    modes = debian("stat", "-c", "%U:%G:%a %n", "/run/roost", "/run/roost/ipam", "/etc/cni/net.d",
                   "/etc/roost/bird.d").stdout
    assert modes == ("root:roost:3775 /run/roost\nroot:root:755 /run/roost/ipam\n"
                     "roost:root:755 /etc/cni/net.d\nroot:root:755 /etc/roost/bird.d\n")
    # Into roostd's folder only roostd writes, not who may ask it; also after an upgrade.
    may_write = ("sh", "-c", "touch /run/roost/try && rm /run/roost/try")
    for _ in range(2):
        debian("setpriv", "--reuid=roost", "--regid=bird", "--clear-groups", *may_write)
        asker = debian("setpriv", "--reuid=nobody", "--regid=roost", "--clear-groups", *may_write, check=False)
        assert asker.returncode != 0 and "Permission denied" in asker.stderr
        debian("systemd-tmpfiles", "--create", "roost.conf")
    # It starts at the next boot, and BIRD with what it writes.
    assert debian.has("etc/systemd/system/multi-user.target.wants/roostd.service")
    assert debian.has("lib/systemd/system/bird.service.d/roost.conf")
    assert debian("roostctl", "--version").stdout.startswith("roostctl ")
    debian("roostctl", "check", "/usr/share/doc/roost/examples/roost.yaml")
    # The plugin needs nothing of the system it is on.
    done = debian("env", "CNI_COMMAND=VERSION", "sh", "-c",
                  """echo '{"cniVersion": "1.1.0"}' | /usr/lib/cni/roost""")
    assert "1.1.0" in json.loads(done.stdout)["supportedVersions"]
    manual = debian("dpkg", "--listfiles", *BINARIES).stdout
    for page in ("man8/roostd.8.gz", "man8/roostctl.8.gz", "man5/roost.yaml.5.gz", "man8/roost.8.gz",
                 "bash-completion/completions/roostctl"):
        assert page in manual


def test_an_upgrade_of_roostd_is_no_event_for_bgp(debs, debian, folder):
    debian.start_router(folder)
    debian.write("usr/bin/systemctl", SYSTEMCTL, 0o755)
    debian.write("usr/sbin/policy-rc.d", "#!/bin/sh\nexit 0\n", 0o755)
    os.makedirs(debian.path("run/systemd/system"))
    debian.write("etc/roost/roost.yaml", ROOST_YAML)
    debian.write("etc/default/roost", "NODE_NAME=node1\n")
    debian.outside("sysctl", "-qw", "net.ipv4.ip_forward=1")
    debian("install", "-d", "-o", "bird", "-g", "bird", "-m", "0750", "/run/bird")
    for unit in ("roostd.service", "bird.service"):
        debian("systemctl", "start", unit, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
               capture_output=False)
    wait_until(debian.session_is_up, 30, "the session with the router is up")
    wait_until(lambda: debian.status().get("health") == "healthy", 30, "the node is healthy")
    before = debian.router_says("show protocols node1")
    events = open(debian.router_log, encoding="utf-8").read()
    reconfigured = debian.read("run/test-bird.log").count("Reconfigur")
    pids = [debian.read(f"run/test-{name}.pid") for name in ("roostd", "bird")]
    debian.asked()

    debian.install(*(newer(debs[name], folder) for name in BINARIES))

    asked = debian.asked()
    assert re.search(r"restart roostd\.service", asked), asked
    assert not re.search(r"(start|stop|reload) .*bird", asked), asked
    assert [debian.read(f"run/test-{name}.pid") == pid
            for name, pid in zip(("roostd", "bird"), pids)] == [False, True]
    wait_until(lambda: debian.status().get("health") == "healthy", 30, "the new roostd is content")
    assert debian("dpkg-query", "-W", "-f", "${Version}", "roost").stdout.endswith("+next")
    # Not a session, not a route, not even a look at its configuration.
    assert debian.router_says("show protocols node1") == before
    assert open(debian.router_log, encoding="utf-8").read() == events
    assert debian.read("run/test-bird.log").count("Reconfigur") == reconfigured
    assert "10.244.1.0/24" in debian.router_says("show route")
    assert debian.read("etc/default/roost") == "NODE_NAME=node1\n"


def test_a_purge_leaves_what_the_operator_wrote_and_nothing_else(debian):
    assert debian.has("var/lib/roost/bird/bird.conf")
    assert debian.has("etc/cni/net.d/10-roost.conflist")
    debian("dpkg", "--remove", *BINARIES)
    assert "stop roostd.service" in debian.asked()
    for kept in ("etc/default/roost", "var/lib/roost/bird/bird.conf"):
        assert debian.has(kept)
    debian("dpkg", "--purge", *BINARIES)
    left = debian("find", "/", "-xdev", "-name", "*roost*", "-not", "-path", "/proc/*", "-not", "-path",
                  "/tmp/*", "-not", "-path", "/run/test-*").stdout.split()
    assert sorted(left) == ["/etc/roost", "/etc/roost/roost.yaml"]
    assert debian("getent", "passwd", "roost", check=False).returncode != 0
    assert debian("getent", "group", "roost", check=False).returncode != 0
