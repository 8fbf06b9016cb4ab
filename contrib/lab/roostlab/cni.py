# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs CNI plugins the way a container runtime does.

It follows libcni: the network list that roostd wrote is read from the node's own
/etc/cni/net.d, `name` and `cniVersion` are put into each plugin's configuration,
the result of one plugin is the prevResult of the next, DEL and CHECK get the
cached result of ADD, DEL goes through the list backwards.  Plugins run as root in
the node's mount, network and PID namespaces, so that /run/roost and /proc are the
node's.  Keeping the result of ADD is the runtime's job, so it is the caller's here.
"""

import json
import os
import shlex
import subprocess

from .base import LabError, inherited_fds, run

OLDEST_WITH_CHECK = (0, 4, 0)
OLDEST_WITH_GC_AND_STATUS = (1, 1, 0)


class CniError(LabError):
    """A plugin failed: its error object, or what it said instead of one."""

    def __init__(self, plugin, command, done):
        out, err = (stream.decode(errors="replace").strip() for stream in (done.stdout, done.stderr))
        try:
            error = json.loads(out)
        except ValueError:
            error = {}
        self.exit_code = done.returncode
        self.stderr = err
        self.code = error.get("code")
        # A sanitizer's report comes after a good result: then stderr is what tells.
        self.msg = error.get("msg") or err or out or f"exit {done.returncode}, no output"
        self.details = error.get("details", "")
        super().__init__(f"{plugin} {command}: code {self.code}: {self.msg}"
                         + (f" ({self.details})" if self.details else ""))


class Runtime:
    """A container runtime's CNI side on one node.  Safe to use from many threads."""

    def __init__(self, node, plugin_name, search_path):
        self.node = node
        self.plugin_name = plugin_name      # file name of the plugin under test
        self.search_path = search_path      # CNI_PATH, as the node sees it

    # -- the network list ------------------------------------------------------

    def network(self):
        """The network list as roostd wrote it; the first file in order, as runtimes choose.
        Its cniVersion is the newest it offers, as libcni from 1.3 on settles it."""
        folder = self.node.path("etc/cni/net.d")
        names = sorted(name for name in os.listdir(folder) if name.endswith(".conflist"))
        if not names:
            raise LabError(f"{self.node.name} has no network yet: "
                           f"/etc/cni/net.d holds no .conflist (see {self.node.path('roostd.log')})")
        with open(os.path.join(folder, names[0]), encoding="utf-8") as stream:
            network = json.load(stream)
        offered = [network.get("cniVersion", "0.1.0"), *network.get("cniVersions", [])]
        return {**network, "cniVersion": max(offered, key=_as_tuple)}

    @staticmethod
    def plugin_config(network, plugin, **more):
        """One plugin's configuration as it goes to its stdin; None values are left out."""
        config = {**plugin, "name": network["name"],
                  "cniVersion": network["cniVersion"], **more}
        return {key: value for key, value in config.items() if value is not None}

    # -- what a runtime does ---------------------------------------------------

    def add(self, container_id, netns, ifname="eth0", *, args=None, runtime_config=None,
            network=None):
        """ADD through the whole list; returns the last plugin's result."""
        network = network or self.network()
        result = None
        for plugin in network["plugins"]:
            config = self.plugin_config(network, plugin, prevResult=result,
                                        runtimeConfig=runtime_config)
            result = self.invoke("ADD", config, container_id, netns, ifname, args)
        return result

    def delete(self, container_id, netns, ifname="eth0", *, result=None, args=None,
               runtime_config=None, network=None):
        """DEL through the list backwards; `result` is what ADD returned."""
        network = network or self.network()
        for plugin in reversed(network["plugins"]):
            config = self.plugin_config(network, plugin, prevResult=result,
                                        runtimeConfig=runtime_config)
            self.invoke("DEL", config, container_id, netns, ifname, args)

    def check(self, container_id, netns, ifname="eth0", *, result, args=None,
              runtime_config=None, network=None):
        network = network or self.network()
        if _as_tuple(network["cniVersion"]) < OLDEST_WITH_CHECK:
            return
        for plugin in network["plugins"]:
            config = self.plugin_config(network, plugin, prevResult=result,
                                        runtimeConfig=runtime_config)
            self.invoke("CHECK", config, container_id, netns, ifname, args)

    def collect_garbage(self, attachments, network=None):
        """GC: everything of this network that is not in [(container_id, ifname)] goes."""
        network = network or self.network()
        valid = [{"containerID": container, "ifname": ifname} for container, ifname in attachments]
        if _as_tuple(network["cniVersion"]) < OLDEST_WITH_GC_AND_STATUS:
            return
        for plugin in network["plugins"]:
            config = self.plugin_config(network, plugin, **{
                "cni.dev/valid-attachments": valid, "cni.dev/attachments": valid})
            self.invoke("GC", config)

    def status(self, network=None):
        network = network or self.network()
        if _as_tuple(network["cniVersion"]) < OLDEST_WITH_GC_AND_STATUS:
            return
        for plugin in network["plugins"]:
            self.invoke("STATUS", self.plugin_config(network, plugin))

    # -- one call of one plugin ------------------------------------------------

    def invoke(self, command, config, container_id=None, netns=None, ifname=None, args=None):
        """Runs config["type"]; returns its result or raises CniError."""
        done = self.execute(command, json.dumps(config).encode(), plugin=config["type"],
                            container_id=container_id, netns=netns, ifname=ifname, args=args)
        if done.returncode != 0:
            raise CniError(config["type"], command, done)
        return json.loads(done.stdout) if done.stdout.strip() else None

    def execute(self, command, stdin, *, plugin=None, env=None, timeout=60, **parameters):
        """Runs a plugin with exactly these bytes on stdin; returns the CompletedProcess (bytes).

        `parameters` (container_id, netns, ifname, args) become CNI_* variables
        when not None; `env` adds to or replaces the variables as they are.
        """
        return run(self.argv(plugin), input=stdin, check=False, binary=True, timeout=timeout,
                   env=self.environment(command, env, **parameters))

    def start(self, command, config, *, plugin=None, env=None, **parameters):
        """Like execute(), but returns the running process, to be killed with killpg.

        It leads a process group of its own: os.killpg(process.pid, SIGKILL) hits
        the plugin whatever it is doing.
        """
        process = subprocess.Popen(
            self.argv(plugin or config["type"]), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, start_new_session=True, pass_fds=tuple(inherited_fds),
            env=self.environment(command, env, **parameters))
        process.stdin.write(json.dumps(config).encode())
        process.stdin.close()
        return process

    def argv(self, plugin=None):
        return self.node.inside([self.find(plugin or self.plugin_name)])

    def find(self, plugin):
        """Where a plugin is, as the node sees it: the first regular file on CNI_PATH."""
        if "/" in plugin:
            raise LabError(f"plugin type {shlex.quote(plugin)} must not hold a slash")
        for folder in self.search_path:
            path = os.path.join(folder, plugin)
            if os.path.isfile(f"/proc/{self.node.pid}/root{path}"):
                return path
        raise LabError(f"plugin {plugin} is in none of {':'.join(self.search_path)}")

    def environment(self, command, env=None, *, container_id=None, netns=None, ifname=None,
                    args=None):
        """A plugin's environment: the CNI variables and little else, as kubelet's runtimes give it."""
        variables = {
            "PATH": self.node.search_path(),
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": container_id,
            "CNI_NETNS": netns,
            "CNI_IFNAME": ifname,
            "CNI_ARGS": args,
            "CNI_PATH": ":".join(self.search_path),
            **{key: value for key, value in os.environ.items() if key.endswith("SAN_OPTIONS")},
            **(env or {}),
        }
        return {key: value for key, value in variables.items() if value is not None}


def _as_tuple(version):
    return tuple(int(part) for part in version.split("."))
