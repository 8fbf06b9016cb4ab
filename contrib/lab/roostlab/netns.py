# SPDX-License-Identifier: GPL-2.0-or-later
"""Network namespaces and what is plugged between them, by way of `ip`.

Links are made with both ends inside their namespaces from the start: the real
host never holds an interface of the lab, so none can be left on it.
"""

import os

from .base import NETNS_DIR, LabError, lab_of_netns, netns_path, run


def add(netns):
    run(["ip", "netns", "add", netns])


def delete(netns):
    """Deletes a namespace; one that is already gone is fine."""
    done = run(["ip", "netns", "del", netns], check=False)
    if done.returncode != 0 and os.path.exists(netns_path(netns)):
        raise LabError(done.stderr.strip())


def all_of(lab):
    """Names of a lab's namespaces, sorted."""
    try:
        names = os.listdir(NETNS_DIR)
    except FileNotFoundError:
        return []
    return sorted(name for name in names if lab_of_netns(name) == lab)


def ip(netns, *commands):
    """Runs `ip` commands inside a namespace, all of them in one process."""
    run(["ip", "-n", netns, "-batch", "-"], input="\n".join(commands) + "\n")


def inside(netns, argv):
    """The argv that runs a command with this namespace's network and nothing else changed."""
    return ["nsenter", f"--net={netns_path(netns)}", "--", *argv]


def sysctl(netns, settings):
    """Writes {"net/…": value} below /proc/sys, which shows the writer's own namespace."""
    script = "\n".join(f"echo {value} > /proc/sys/{key}" for key, value in settings.items())
    run(inside(netns, ["sh", "-e", "-c", script]))
