# SPDX-License-Identifier: GPL-2.0-or-later
"""`make install` over a plugin in use: a runtime that starts it at any moment finds a
whole one, the old or the new."""

import os
import shutil
import subprocess
import threading

import pytest

from cniharness import find_plugin

BUILD = os.path.dirname(find_plugin())


@pytest.fixture
def bin_dir(host):
    if not os.path.exists(os.path.join(BUILD, "Makefile")) or not shutil.which("make"):
        pytest.skip(f"{BUILD} is no build folder: there is nothing to install from")
    path = os.path.join(host.folder, "cni", "bin")
    install(path)
    return path


def install(path, prefix=()):
    """What `make install` does for the plugin, with the program as it was built."""
    done = subprocess.run([*prefix, "make", "-C", BUILD, "-o", "roost", "-o", "Makefile",
                           "install-exec-local", "DESTDIR=", f"cnibindir={path}"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_installed_plugin_is_only_ever_renamed_into_place(host, bin_dir):
    if not shutil.which("strace"):
        pytest.skip("needs strace (apt-get install strace)")
    before = os.stat(os.path.join(bin_dir, "roost")).st_ino
    log = os.path.join(host.folder, "strace")
    install(bin_dir, ["strace", "-f", "-qq", "-z", "-o", log, "-e",
                      "trace=open,openat,creat,link,linkat,unlink,unlinkat,rename,renameat,"
                      "renameat2,truncate,ftruncate,symlink,symlinkat"])
    name = f'"{bin_dir}/roost"'
    with open(log) as file:
        calls = [line.split(maxsplit=1)[1] for line in file if name in line]
    assert calls and all(call.startswith("rename") for call in calls), calls
    assert os.listdir(bin_dir) == ["roost"]
    assert os.stat(os.path.join(bin_dir, "roost")).st_ino != before


def test_an_add_that_runs_while_the_plugin_is_replaced_ends_well(host, bin_dir):
    """It has been started and waits for its input."""
    plugin, pod = os.path.join(bin_dir, "roost"), host.pod()
    reader, writer = os.pipe()
    with host.namespace.entered():
        process = subprocess.Popen([plugin], stdin=reader, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env={
            "CNI_COMMAND": "ADD", "CNI_CONTAINERID": "c1", "CNI_NETNS": pod.path,
            "CNI_IFNAME": "eth0"})
    os.close(reader)
    install(bin_dir)
    host.add("c2", plugin=plugin)
    os.write(writer, b'{"cniVersion": "1.1.0", "name": "pods", "ipam": {"subnet": '
                     b'"10.244.1.0/24", "dataDir": "%s"}}' % host.data_dir.encode())
    os.close(writer)
    reply = host.finish(process)
    assert reply.code == 0, reply
    assert set(host.held()) == {"c1", "c2"}


UPGRADES, AT_ONCE = 20, 4


def test_no_add_fails_while_the_plugin_is_upgraded_again_and_again(host, bin_dir):
    plugin, pods = os.path.join(bin_dir, "roost"), [host.pod() for _ in range(AT_ONCE)]
    failures = []

    def upgrade():
        try:
            for _ in range(UPGRADES):
                install(bin_dir)
        except AssertionError as error:
            failures.append(error)

    upgrades = threading.Thread(target=upgrade)
    upgrades.start()
    rounds = 0
    try:
        while upgrades.is_alive() or rounds == 0:
            for command in ("ADD", "DEL"):
                running = [host.start(command, f"c{i}", pod, plugin=plugin)
                           for i, pod in enumerate(pods)]
                replies = [host.finish(process) for process in running]
                assert [reply for reply in replies if reply.code] == []
            rounds += 1
    finally:
        upgrades.join()
    assert failures == []
    host.assert_nothing_left()
