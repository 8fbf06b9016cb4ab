# SPDX-License-Identifier: GPL-2.0-or-later
"""A cluster node: BIRD, roostd and the CNI plugin on one lab machine."""

import os
import signal
import time
from dataclasses import asdict, dataclass

from . import addresses
from .base import write_file
from .cni import Runtime
from .machine import PATH, Machine

# roostd runs as its unit runs it, without root and with the one capability it needs for
# the NAT rules.  In the lab it is `nobody`: a user `roost` would have to be made on a
# machine the lab must not change.
ROOSTD_USER, ROOSTD_GROUP = "nobody", "bird"
CAPABILITIES = [f"--{which}=-all,+net_admin" for which in ("bounding-set", "inh-caps", "ambient-caps")]

CNI_CONFLIST = "10-roost.conflist"
SBIN, BIN, CNI_BIN, TEMPLATES = (f"/run/lab/{x}" for x in ("sbin", "bin", "cni-bin", "templates"))


@dataclass
class Programs:
    """What is under test, as paths on the real host."""
    roostd: str
    roostctl: str
    plugin: str
    templates: str = None       # None: where roostd was built to look

    def as_dict(self):
        return asdict(self)


class Node(Machine):
    from_state = {
        "/etc/roost": "etc/roost",
        "/etc/cni/net.d": "etc/cni/net.d",
        "/var/lib/roost": "var/lib/roost",
    }
    dirs = {
        "/etc/cni/net.d": f"{ROOSTD_USER}:{ROOSTD_GROUP}:0755",
        "/var/lib/roost": f"{ROOSTD_USER}:{ROOSTD_GROUP}:0755",
        # As contrib/systemd/tmpfiles.d has them, but for its ACL.
        "/run/roost": f"root:{ROOSTD_GROUP}:3775",
        "/run/roost/ipam": "root:root:0755",
        "/etc/roost/bird.d": "root:root:0755",
        "/run/bird": "bird:bird:0750",
        "/etc/bird": "bird:bird:0750",
    }

    def __init__(self, lab_name, name, programs, rack=1):
        super().__init__(lab_name, name)
        self.programs = programs
        self.addresses = addresses.of_node(name, rack)
        self.cni = Runtime(self, os.path.basename(programs.plugin),
                           [CNI_BIN, "/opt/cni/bin", "/usr/lib/cni"])

    def from_host(self):
        folders = {SBIN: os.path.dirname(self.programs.roostd),
                   BIN: os.path.dirname(self.programs.roostctl),
                   CNI_BIN: os.path.dirname(self.programs.plugin)}
        if self.programs.templates:
            folders[TEMPLATES] = self.programs.templates
        return folders

    def search_path(self):
        return f"{SBIN}:{BIN}:{PATH}"

    def services(self):
        roostd = f"{SBIN}/{os.path.basename(self.programs.roostd)}"
        return {
            "bird": {"argv": [
                "bird", "-f", "-R", "-c", "/var/lib/roost/bird/bird.conf", "-u", "bird",
                "-g", "bird", "-s", "/run/bird/bird.ctl", "-P", "/run/bird/bird.pid"]},
            "roostd": {"argv": [
                "setpriv", f"--reuid={ROOSTD_USER}", f"--regid={ROOSTD_GROUP}", "--clear-groups",
                "--no-new-privs", *CAPABILITIES, roostd, "-c", "/etc/roost/roost.yaml",
                "--node", self.name],
                "env": self.own_environment(),
                "umask": "0027"},
        }

    def own_environment(self):
        """What makes this node's programs find their templates and know its name."""
        templates = {"ROOST_TEMPLATES": TEMPLATES} if self.programs.templates else {}
        return {"NODE_NAME": self.name, **templates}

    def environment(self, **more):
        return super().environment(**{**self.own_environment(), **more})

    # -- the daemons under test ------------------------------------------------

    def roostctl(self, *argv, check=False, **options):
        """Runs roostctl; the exit code carries meaning, so it is not checked unless asked."""
        program = f"{BIN}/{os.path.basename(self.programs.roostctl)}"
        return self.exec([program, *argv], check=check, **options)

    def kill_roostd(self, sig=signal.SIGKILL):
        return self.kill_service("roostd", sig)

    def stop_roostd(self, sig=signal.SIGTERM):
        self.stop_service("roostd", sig)

    def start_roostd(self):
        return self.start_service("roostd")

    def kill_bird(self, sig=signal.SIGKILL):
        return self.kill_service("bird", sig)

    def stop_bird(self, sig=signal.SIGTERM):
        self.stop_service("bird", sig)

    def restart_bird(self):
        """As `systemctl restart bird` with Roost's unit: BIRD leaves its routes in the
        kernel and its neighbours keep theirs."""
        self.stop_bird(signal.SIGKILL)
        self.start_bird()

    def start_bird(self):
        return self.start_service("bird")

    def has_conflist(self):
        """roostd writes it when it has a confirmed configuration."""
        return os.path.exists(self.path("etc/cni/net.d", CNI_CONFLIST))

    # -- the one file ----------------------------------------------------------

    @property
    def config_path(self):
        return self.path("etc/roost/roost.yaml")

    def read_config(self):
        with open(self.config_path, encoding="utf-8") as stream:
            return stream.read()

    def write_config(self, text, how="rename"):
        """Replaces roost.yaml the way an editor or mv does ("rename"), the way `cat >`
        does ("inplace") or the way the kubelet updates a ConfigMap ("configmap")."""
        {"rename": self._write_by_rename,
         "inplace": self._write_in_place,
         "configmap": self._write_as_configmap}[how](text)

    def _write_by_rename(self, text):
        write_file(self.config_path, text)

    def _write_in_place(self, text):
        with open(self.config_path, "w", encoding="utf-8") as stream:
            stream.write(text)

    def _write_as_configmap(self, text):
        """roost.yaml -> ..data/roost.yaml, ..data -> a folder per version; only ..data moves."""
        folder = os.path.dirname(self.config_path)
        version = f"..{time.time_ns()}"
        os.mkdir(os.path.join(folder, version))
        write_file(os.path.join(folder, version, "roost.yaml"), text)
        data = os.path.join(folder, "..data")
        before = os.readlink(data) if os.path.islink(data) else None
        _symlink(version, data)
        if not os.path.islink(self.config_path):
            _symlink("..data/roost.yaml", self.config_path)
        if before:
            os.unlink(os.path.join(folder, before, "roost.yaml"))
            os.rmdir(os.path.join(folder, before))


def _symlink(target, path):
    os.symlink(target, path + "_tmp")
    os.replace(path + "_tmp", path)
