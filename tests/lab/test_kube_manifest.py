# SPDX-License-Identifier: GPL-2.0-or-later
"""contrib/kubernetes is what Kubernetes, roostd and Debian take; test_kube_pod.py runs it."""

import os
import re
import shutil
import subprocess
import threading

import pytest
from kubepod import Manifest, grants, install_tree

from roostlab.base import run
from roostlab.programs import SOURCE_ROOT, build_folder

pytestmark = pytest.mark.plain

DOCKERFILE = "contrib/kubernetes/Dockerfile"


@pytest.fixture(scope="module")
def manifest():
    return Manifest()


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return install_tree(str(tmp_path_factory.mktemp("install")))


def read(name):
    with open(os.path.join(SOURCE_ROOT, name), encoding="utf-8") as stream:
        return stream.read()


def test_config_is_good(manifest, tmp_path):
    path = tmp_path / "roost.yaml"
    path.write_text(manifest.config)
    assert "kubernetes: {}" in manifest.config
    run([os.path.join(build_folder(), "roostctl"), "check", str(path)])


def test_permissions_are_these_and_no_more(manifest):
    """That roostd uses each of them, test_kube_pod.py shows."""
    assert grants(manifest) == {
        ("list", "nodes"), ("watch", "nodes"), ("list", "services"), ("watch", "services"),
        ("list", "endpointslices"), ("watch", "endpointslices"), ("create", "events")}
    account = manifest.get("ServiceAccount")["metadata"]
    assert manifest.pod["serviceAccountName"] == account["name"]
    for kind, role in (("ClusterRoleBinding", "ClusterRole"), ("RoleBinding", "Role")):
        binding = manifest.get(kind)
        assert binding["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": "roost"}
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "roost",
                                        "namespace": account["namespace"]}]
    # Events of Nodes are in this namespace, and only there may they be written.
    assert manifest.get("Role")["metadata"]["namespace"] == "default"


def test_permission_that_clouds_may_need_is_there_to_be_uncommented(manifest):
    """For all nodes it would let root on one of them move the traffic of any."""
    rule = re.search(r"(?:^  #[- ].*\n)+(?=---)", manifest.text, re.M)[0]
    whole = Manifest(manifest.text.replace(rule, re.sub(r"^  #([- ] \S)", r"  \1", rule, flags=re.M)))
    assert grants(whole) - grants(manifest) == {("patch", "nodes/status")}


def test_only_roostd_has_the_token_and_only_root_reads_it_and_the_passwords(manifest):
    assert manifest.pod["automountServiceAccountToken"] is False
    projected = {v["name"]: v["projected"] for v in manifest.pod["volumes"] if "projected" in v}
    assert {name: volume["defaultMode"] for name, volume in projected.items()} == {
        "config": 0o400, "account": 0o400}
    mounts = {c["name"]: {m["name"]: m["mountPath"] for m in c["volumeMounts"] if m["name"] in projected}
              for c in manifest.pod["initContainers"] + manifest.pod["containers"]}
    assert mounts == {"install-plugin": {}, "bird": {}, "roostd": {
        "config": "/etc/roost", "account": "/var/run/secrets/kubernetes.io/serviceaccount"}}
    token, authority = projected["account"]["sources"]
    assert token["serviceAccountToken"]["path"] == "token"
    assert authority["configMap"] == {"name": "kube-root-ca.crt",
                                      "items": [{"key": "ca.crt", "path": "ca.crt"}]}


def test_containers_have_no_more_rights_than_they_need(manifest):
    added = {}
    for container in manifest.pod["initContainers"] + manifest.pod["containers"]:
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False and security["readOnlyRootFilesystem"] is True
        assert security["capabilities"]["drop"] == ["ALL"] and "privileged" not in security
        added[container["name"]] = security["capabilities"].get("add", [])
    assert added == {"install-plugin": ["DAC_OVERRIDE"], "bird": ["NET_ADMIN", "NET_BIND_SERVICE", "NET_RAW"],
                     "roostd": ["NET_ADMIN"]}
    assert manifest.pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    # BIRD, which reads what strangers send, writes nothing but its socket.
    writable = [m["mountPath"] for m in manifest.container("bird")["volumeMounts"] if not m.get("readOnly")]
    assert writable == ["/run/bird"]


def test_pod_runs_on_every_node_before_there_is_a_network(manifest):
    assert manifest.pod["hostNetwork"] is True
    assert manifest.pod["tolerations"] == [{"operator": "Exists"}]
    assert manifest.pod["priorityClassName"] == "system-node-critical"
    daemonset = manifest.get("DaemonSet")["spec"]
    assert daemonset["selector"]["matchLabels"].items() <= daemonset["template"]["metadata"]["labels"].items()
    volumes = {volume["name"] for volume in manifest.pod["volumes"]}
    for container in manifest.pod["initContainers"] + manifest.pod["containers"]:
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes


def test_image_is_the_one_that_the_dockerfile_makes(manifest):
    version = re.search(r"AC_INIT\(\[roost\], \[([^]]+)\]", read("configure.ac"))[1]
    text = read(DOCKERFILE)
    images = {c["image"] for c in manifest.pod["initContainers"] + manifest.pod["containers"]}
    assert images == {f"localhost/roost:{version}"} and f"-t localhost/roost:{version} " in text
    assert set(re.findall(r"^FROM (\S+)", text, re.M)) == {"debian:bookworm-slim"}


def stages():
    """The words of the Dockerfile's two stages, that builds and that is the image."""
    _, building, image = re.split(r"^FROM ", read(DOCKERFILE), flags=re.M)
    return set(building.split()), set(image.split())


def owner(pattern):
    """The Debian package that has this file."""
    return run(["dpkg", "-S", pattern]).stdout.split(":")[0]


def test_image_is_built_with_what_configure_asks_for():
    building, _ = stages()
    modules = re.findall(r"PKG_CHECK_MODULES(?:_STATIC)?\(\[(\w+)\], \[(.*?)\]", read("configure.ac"))
    wanted = {word for name, words in modules for word in re.sub(r">= \S+", "", words).split()
              if name != "CHECK"}       # for the tests
    assert len(wanted) > 8
    for module in wanted:
        assert owner(f"*/pkgconfig/{module}.pc") in building, module
    # autoreconf and the manual pages; and nothing that a build by hand does not take.
    every = re.search(r'^BUILD_PACKAGES="(.*?)"', read("contrib/common.sh"), re.M | re.S)[1].split()
    assert set(every) - {"check"} <= building


def test_image_has_the_libraries_of_the_programs(tree):
    """The Debian packages of all that the programs are linked with, or load, are in the Dockerfile."""
    packages = stages()[1] | {"libc6"}
    loaded = re.search(r'^#define LIBRARY "(.*)"', read("src/kube/curl.c"), re.M)[1]
    assert owner(f"*/{loaded}") in packages
    for program in ("sbin/roostd", "bin/roostctl"):
        path = os.path.join(tree, "usr/local", program)
        for line in run(["ldd", path]).stdout.splitlines():
            name = line.split()[0]
            if f"[{name}]" not in run(["readelf", "-d", path]).stdout:
                continue        # what a library of ours needs comes with its package
            assert owner(f"*/{name}") in packages, f"{program} needs {name}"
    assert os.path.exists(os.path.join(tree, "opt/cni/bin/roost"))
    assert os.path.isdir(os.path.join(tree, "usr/local/share/roost/bird-templates"))


def install_script(manifest, plugin, folder):
    """The init container's, with other folders."""
    shell, option, script = manifest.container("install-plugin")["command"]
    places = {"/host/opt/cni/bin": str(folder), "/opt/cni/bin/roost": plugin}
    return [shell, option, re.sub("|".join(places), lambda match: places[match[0]], script)]


def test_plugin_is_replaced_while_it_runs(manifest, tree, tmp_path):
    new, folder = os.path.join(tree, "opt/cni/bin/roost"), tmp_path / "bin"
    installed = folder / "roost"
    folder.mkdir()
    shutil.copy(new, installed)
    with open(installed, "ab") as stream:
        stream.write(b"an older one")
    version = {"CNI_COMMAND": "VERSION", "PATH": os.environ["PATH"]}
    # One that runs all the time: it waits for its stdin.
    running = subprocess.Popen([installed], env=version, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    failures, runs, stop = [], [], threading.Event()

    def call():
        while not stop.is_set():
            try:
                done = subprocess.run([installed], env=version, input=b'{"cniVersion": "1.0.0"}',
                                      stdout=subprocess.PIPE, check=True)
                runs.append(done)
            except (OSError, subprocess.SubprocessError) as error:
                failures.append(error)
    caller = threading.Thread(target=call)
    caller.start()
    try:
        for _ in range(20):
            run(install_script(manifest, new, folder))
    finally:
        stop.set()
        caller.join()
    assert not failures and len(runs) > 20
    with open(new, "rb") as wanted:
        assert installed.read_bytes() == wanted.read()
    assert os.listdir(folder) == ["roost"] and os.access(installed, os.X_OK)
    out, _ = running.communicate(b'{"cniVersion": "1.0.0"}', timeout=10)
    assert running.returncode == 0 and b"supportedVersions" in out
