# SPDX-License-Identifier: GPL-2.0-or-later
"""contrib/kubernetes/roost.yaml on a lab node: podman does there what the kubelet would.

    pod = Pod(node, install_tree(folder), Manifest(), environment, secrets)
    pod.start()

Only what the manifest says is done: users, capabilities, mounts, environment, probes,
preStop.  In the image's place is a root whose /usr is this machine's, with what
`make install DESTDIR=` brings over it, so nothing has to be fetched.
"""

import os
import resource
import shutil
import subprocess

import yaml

from runtimes import CONTAINERS_CONF, STORAGE_CONF

from roostlab import LabError, run, wait_until
from roostlab.base import write_file
from roostlab.programs import SOURCE_ROOT, build_folder

MANIFEST = os.path.join(SOURCE_ROOT, "contrib/kubernetes/roost.yaml")
SECONDS = 60
HARD_FILES = resource.getrlimit(resource.RLIMIT_NOFILE)[1]      # a runtime's soft limit is 1024

MOUNTS = """
    set -e
    mount -t tmpfs -o mode=1777 tmpfs /dev/shm
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    mkdir -p /run/rt
    echo $$ >/run/rt/pid
    exec sleep infinity
"""


class Manifest:
    """The objects of the file, by kind and name."""

    def __init__(self, text=None):
        if text is None:
            with open(MANIFEST, encoding="utf-8") as stream:
                text = stream.read()
        self.text = text
        self.objects = [data for data in yaml.safe_load_all(text) if data]

    def get(self, kind, name="roost", namespace=None):
        found = [data for data in self.objects
                 if data["kind"] == kind and data["metadata"]["name"] == name
                 and namespace in (None, data["metadata"].get("namespace"))]
        if len(found) != 1:
            raise LabError(f"{len(found)} {kind} {name} in the manifest")
        return found[0]

    @property
    def config(self):
        return self.get("ConfigMap")["data"]["roost.yaml"]

    @property
    def pod(self):
        return self.get("DaemonSet")["spec"]["template"]["spec"]

    def container(self, name):
        return next(c for c in self.pod["initContainers"] + self.pod["containers"] if c["name"] == name)


def grants(manifest):
    """{(verb, resource)} of all roles."""
    return {(verb, resource) for kind in ("ClusterRole", "Role") for rule in manifest.get(kind)["rules"]
            for resource in rule["resources"] for verb in rule["verbs"]}


def install_tree(folder):
    """What `make install` brings, below `folder`."""
    run(["make", "-C", build_folder(), "-s", "install", f"DESTDIR={folder}", "MAKEFLAGS="], timeout=120)
    return folder


def make_rootfs(folder, tree):
    """A root as the image has it: Debian's programs, and `tree` over them.  /usr is mounted."""
    for name in ("usr", "etc", "proc", "sys", "dev", "run", "tmp", "var"):
        os.makedirs(os.path.join(folder, name))
    for name in ("bin", "sbin", "lib", "lib64"):
        if os.path.islink(f"/{name}"):
            os.symlink(f"usr/{name}", os.path.join(folder, name))
    write_file(os.path.join(folder, "etc/passwd"), "root:x:0:0::/:/bin/sh\n")
    write_file(os.path.join(folder, "etc/group"), "root:x:0:\n")
    shutil.copytree(os.path.join(tree, "opt"), os.path.join(folder, "opt"))


class Pod:
    """The DaemonSet's pod on one node.  Its host's folders are below /run/rt/host there."""

    def __init__(self, node, tree, manifest, environment, secrets):
        """secrets: files of the ServiceAccount, {name: text}."""
        self.node, self.tree, self.manifest = node, tree, manifest
        self.environment, self.secrets = environment, secrets
        self.generation = 0
        self._holder = subprocess.Popen(
            node.inside(["unshare", "--mount", "--propagation", "private", "sh", "-c", MOUNTS]),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env=node.environment(), start_new_session=True)
        wait_until(self._is_ready, 10, "the pod's mounts are there")
        for name, text in (("containers.conf", CONTAINERS_CONF), ("storage.conf", STORAGE_CONF)):
            write_file(self.path(f"/run/rt/{name}"), text)
        os.makedirs(self.path("/run/rt/root"))
        make_rootfs(self.path("/run/rt/root"), tree)
        self.write_config(manifest.config)
        os.makedirs(self.path("/run/rt/account"))
        for name, text in self.secrets.items():
            write_file(self.path(f"/run/rt/account/{name}"), text, self._mode("account"))

    def _is_ready(self):
        if self._holder.poll() is not None:
            raise LabError("the pod's mounts: " + self._holder.stderr.read().decode().strip())
        return os.path.exists(self.path("/run/rt/pid"))

    def path(self, path):
        """A file of the node, as seen from outside."""
        return self.node.path("root" + path)

    def host(self, path):
        """A file of the host that the pod sees, as seen from outside."""
        return self.path("/run/rt/host" + path)

    def exec(self, argv, check=True, timeout=SECONDS, **env):
        with open(self.path("/run/rt/pid"), encoding="ascii") as stream:
            pid = stream.read().strip()
        return run(self.node.inside(["nsenter", f"--mount=/proc/{pid}/ns/mnt", "--", *argv]), check=check,
                   timeout=timeout, env=self.node.environment(HOME="/run/rt", TMPDIR="/run/rt", **env))

    def podman(self, *argv, check=True):
        return self.exec(["podman", *argv], check=check, CONTAINERS_CONF="/run/rt/containers.conf",
                         CONTAINERS_STORAGE_CONF="/run/rt/storage.conf")

    # -- volumes -----------------------------------------------------------------

    def write_config(self, text, **passwords):
        """As the kubelet does it: a folder of the new files, and a link that is renamed."""
        folder = self.path("/run/rt/config")
        self.generation += 1
        os.makedirs(f"{folder}/..{self.generation}")
        for name, content in {"roost.yaml": text, **passwords}.items():
            write_file(f"{folder}/..{self.generation}/{name}", content, self._mode("config"))
            if not os.path.islink(f"{folder}/{name}"):
                os.symlink(f"..data/{name}", f"{folder}/{name}")
        os.symlink(f"..{self.generation}", f"{folder}/..data_tmp")
        os.rename(f"{folder}/..data_tmp", f"{folder}/..data")

    def _volume(self, name):
        return next(v for v in self.manifest.pod["volumes"] if v["name"] == name)

    def _mode(self, name):
        return self._volume(name)["projected"].get("defaultMode", 0o644)

    def _source(self, name):
        volume = self._volume(name)
        if "projected" in volume:
            return f"/run/rt/{name}"
        assert volume["hostPath"]["type"] == "DirectoryOrCreate"
        os.makedirs(self.host(volume["hostPath"]["path"]), mode=0o755, exist_ok=True)
        return "/run/rt/host" + volume["hostPath"]["path"]

    def _mounts(self, container):
        yield "/usr:/usr:ro"
        yield f"{self.tree}/usr/local:/usr/local:ro"
        assert self.manifest.pod["automountServiceAccountToken"] is False
        for mount in container["volumeMounts"]:
            mode = ":ro" if mount.get("readOnly") else ""
            yield f"{self._source(mount['name'])}:{mount['mountPath']}{mode}"

    def _environment(self, container):
        yield from self.environment.items()
        for entry in container.get("env", []):
            assert entry["valueFrom"] == {"fieldRef": {"fieldPath": "spec.nodeName"}}
            yield entry["name"], self.node.name

    # -- containers ----------------------------------------------------------------

    def _run(self, container, *options):
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        argv = ["run", *options, "--name", container["name"], "--cgroups=disabled", "--network=host",
                f"--ulimit=nofile=1024:{HARD_FILES}", "--ulimit=nproc=1024:1024",
                "--user", str(security["runAsUser"]), "--security-opt=no-new-privileges"]
        argv += [f"--cap-drop={name}" for name in security["capabilities"]["drop"]]
        argv += [f"--cap-add={name}" for name in security["capabilities"].get("add", [])]
        if security["readOnlyRootFilesystem"]:
            argv += ["--read-only", "--read-only-tmpfs=false"]
        argv += [f"--env={name}={value}" for name, value in self._environment(container)]
        argv += [f"--volume={mount}" for mount in self._mounts(container)]
        return self.podman(*argv, "--rootfs", "/run/rt/root", *container["command"])

    def install(self):
        for container in self.manifest.pod["initContainers"]:
            self._run(container, "--rm")

    def start(self):
        self.install()
        for container in self.manifest.pod["containers"]:
            self._run(container, "-d")

    def stop(self):
        """preStop, SIGTERM, and what the grace period ends."""
        for container in self.manifest.pod["containers"]:
            hook = container.get("lifecycle", {}).get("preStop")
            if hook:    # when the container ends by it, so does the hook, and says 137
                self.podman("exec", container["name"], *hook["exec"]["command"], check=False)
        for container in self.manifest.pod["containers"]:
            self.podman("stop", "-t", str(self.manifest.pod["terminationGracePeriodSeconds"]),
                        container["name"])
        self.podman("rm", "-f", "-a", "-t", "0")

    def close(self):
        if self._holder.poll() is None:
            self.podman("rm", "-f", "-a", "-t", "0", check=False)
        self._holder.kill()
        self._holder.wait()
        self._holder.stderr.close()

    def logs(self):
        done = [self.podman("logs", container["name"], check=False)
                for container in self.manifest.pod["containers"]]
        return "\n".join(log.stdout + log.stderr for log in done)

    def state(self, name):
        return self.podman("inspect", "-f", "{{.State.Status}}", name, check=False).stdout.strip()

    def probe(self, name, kind):
        """Does it pass?  httpGet is the kubelet's, from the host's network."""
        probe = self.manifest.container(name)[kind]
        if "exec" in probe:
            return self.podman("exec", name, *probe["exec"]["command"], check=False).returncode == 0
        get = probe["httpGet"]
        return self.node.exec(["curl", "-sSf", "--max-time", str(probe["timeoutSeconds"]),
                               f"http://{get['host']}:{get['port']}{get['path']}"], check=False).returncode == 0

    def roostctl(self, *argv):
        """As `kubectl exec ds/roost -- roostctl` runs it."""
        return self.podman("exec", "roostd", "roostctl", *argv, check=False)
