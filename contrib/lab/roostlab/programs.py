# SPDX-License-Identifier: GPL-2.0-or-later
"""Finds what the lab runs: the programs under test, and the tools it needs itself."""

import os
import shutil

from .base import LabError
from .node import Programs

# contrib/lab/roostlab -> the root of the source tree, when run from one.
SOURCE_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__)))))

# tool -> Debian package that brings it
TOOLS = {"ip": "iproute2", "bird": "bird2", "birdc": "bird2", "nsenter": "util-linux",
         "unshare": "util-linux", "setpriv": "util-linux", "ping": "iputils-ping"}
FRR_TOOL = "/usr/lib/frr/bgpd"

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def in_source_tree():
    return os.path.exists(os.path.join(SOURCE_ROOT, "configure.ac"))


def build_folder():
    """ROOST_BUILDDIR, else where the source tree this file lies in is built: in the
    tree itself when it was configured there, else in build/.  None when installed."""
    if os.environ.get("ROOST_BUILDDIR") or not in_source_tree():
        return os.environ.get("ROOST_BUILDDIR")
    in_tree = os.path.exists(os.path.join(SOURCE_ROOT, "config.status"))
    return SOURCE_ROOT if in_tree else os.path.join(SOURCE_ROOT, "build")


def find_programs(sbindir=None, plugin=None):
    """Where roostd, roostctl and the plugin are.

    In this order: what the caller says, the environment (ROOSTD, ROOSTCTL,
    ROOST_PLUGIN), the build tree (see build_folder()), where `make install` puts
    them.
    """
    build = build_folder()
    bindir = sbindir and os.path.join(os.path.dirname(os.path.abspath(sbindir)), "bin")
    path = os.pathsep.join(filter(None, [build, SEARCH_PATH, os.environ.get("PATH")]))

    def below(folder, name):
        return folder and os.path.join(folder, name)

    def find(name, variable, candidates):
        for candidate in filter(None, candidates):
            if os.path.isfile(candidate) and os.access(candidate, os.X_OK):
                return os.path.realpath(candidate)
        raise LabError(f"{name} is not there: build it (contrib/quickstart does), or set {variable}")

    def explicit(variable):
        value = os.environ.get(variable)
        if value and not os.path.isfile(value):
            raise LabError(f"{variable}={value}: no such file")
        return value

    return Programs(
        roostd=find("roostd", "ROOSTD", [
            below(sbindir, "roostd"), explicit("ROOSTD"), shutil.which("roostd", path=path)]),
        roostctl=find("roostctl", "ROOSTCTL", [
            below(sbindir, "roostctl"), below(bindir, "roostctl"), explicit("ROOSTCTL"),
            shutil.which("roostctl", path=path)]),
        plugin=find("the CNI plugin roost", "ROOST_PLUGIN", [
            plugin, explicit("ROOST_PLUGIN"), below(build, "roost"), "/opt/cni/bin/roost",
            "/usr/lib/cni/roost"]),
        templates=find_templates())


def find_templates():
    """ROOST_TEMPLATES, else the source tree's; None leaves it to roostd's built-in path."""
    from_tree = os.path.join(SOURCE_ROOT, "bird-templates")
    return os.environ.get("ROOST_TEMPLATES") or (
        os.path.realpath(from_tree) if in_source_tree() and os.path.isdir(from_tree) else None)


def check_tools(tor):
    """Fails with the name of the package to install when a tool is missing."""
    missing = {package for tool, package in TOOLS.items()
               if not shutil.which(tool, path=SEARCH_PATH)}
    if tor == "frr" and not os.path.exists(FRR_TOOL):
        missing.add("frr")
    if missing:
        raise LabError(f"needs {', '.join(sorted(missing))}: "
                       f"apt-get install {' '.join(sorted(missing))}")
