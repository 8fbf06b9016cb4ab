# SPDX-License-Identifier: GPL-2.0-or-later
"""A lab whose nodes take the cluster from an API server (apiserver.py) on their segment.

    lab = make_kube_lab(nodes=3, tor="bird", pods=1)
    lab.api.put("nodes", relabelled(lab.api.get("nodes", "node2"), rack="b"))

roost.yaml says `kubernetes:` where other labs' have `nodes:`; the API server has a Node for
each node of the lab, by TLS and with a token, until the test changes that.
"""

import os
import signal

import kubefiles
import kubeobjects
from apiserver import ApiServer
from cluster import metric, status

from roostlab import Lab, wait_until
from roostlab.base import state_dir, write_file

API = {4: "192.168.1.240", 6: "fd00:1::240"}
API_PORT = 6443
KUBECONFIG, TOKEN_FILE, CA_FILE = (f"/etc/roost/{name}" for name in ("kubeconfig", "token", "ca.crt"))
TOKEN = "a-token"
USER = "system:serviceaccount:kube-system:roost"
REFLECTOR = {"roost/reflector": "true"}


class KubeLab(Lab):
    # Silence of a watch; short, and the server's bookmarks more frequent than that.
    watch_timeout_s = 10
    bookmark_s = 2

    def __init__(self, name, **options):
        super().__init__(name, **options)
        self.topology = "mesh"
        self.kubernetes = {"kubeconfig": KUBECONFIG, "watchTimeout": self.watch_timeout_s}
        self.extra = "agent: {maxWithdraw: 100%}\n"     # a test of the brake says so
        self.api = self.pki = None

    # -- up and down -----------------------------------------------------------

    def up(self, *args, **options):
        try:
            return super().up(*args, **options)
        except BaseException:
            self._stop_api()
            raise

    def down(self):
        self._stop_api()
        super().down()

    def _stop_api(self):
        if self.api:
            self.api.stop()

    def _build_switch(self, bridges=("br0",)):
        super()._build_switch(bridges)
        self._connect("api", API)
        self.pki = kubefiles.Pki(state_dir(self.name, "pki"))
        self.api = ApiServer(self._netns("api"), API[4], API_PORT, self.pki.server_context([API[4]]))
        self.api.bookmark_s = self.bookmark_s
        self.api.tokens = {TOKEN: USER}
        for node in self.nodes.values():
            self.api.put("nodes", self.node_object(node))
        self.api.start()

    def _build_node(self, node, config):
        os.makedirs(node.path("etc/roost"))
        write_file(node.path(TOKEN_FILE.lstrip("/")), TOKEN + "\n")
        with open(self.pki.ca, encoding="ascii") as stream:
            write_file(node.path(CA_FILE.lstrip("/")), stream.read())
        self.write_kubeconfig(node)
        super()._build_node(node, config)

    def write_kubeconfig(self, node, user=None, url=None, **cluster):
        cluster = cluster or {"certificate_authority": CA_FILE}
        user = {"tokenFile": TOKEN_FILE} if user is None else user
        write_file(node.path(KUBECONFIG.lstrip("/")), kubefiles.kubeconfig(url or self.api.url, user, **cluster))

    @property
    def api_folder(self):
        """For files of what runs beside the API server."""
        return self.pki.folder

    # -- what there is -----------------------------------------------------------

    def node_object(self, node, **options):
        """The Node of a lab's node; the higher its number, the younger."""
        return kubeobjects.node(
            node.name, [node.addresses.address[family] for family in self.families],
            [node.addresses.pods[family] for family in self.families],
            created=f"2026-11-22T22:41:{node.addresses.number % 60:02}Z", **options)

    def put_node(self, name, **options):
        """The lab's node as it is, with other options."""
        self.api.put("nodes", self.node_object(self.nodes[name], **options))

    def label(self, name, **labels):
        self.api.put("nodes", kubeobjects.relabelled(self.api.get("nodes", name), **labels))

    def add_node(self, name, config=None):
        """With its Node: here the others learn of it."""
        node = super().add_node(name, config)
        self.put_node(name)
        return node

    def config(self, nodes=None, extra=""):
        """roost.yaml; which nodes there are is not for it to say."""
        head, rest = super().config([], self.extra + extra).split("nodes: []\n")
        options = ", ".join(f"{key}: {value}" for key, value in self.kubernetes.items())
        return head.replace("topology: mesh", f"topology: {self.topology}") + \
            f"kubernetes: {{{options}}}\n" + rest

    def recover(self):
        """The API server is well again, and nobody waits until it is time for the next try."""
        self.api.start()
        self.api.calm()
        self.api.denied.clear()
        self.api.tokens = {TOKEN: USER}
        for node in self.nodes.values():
            if not synced(node):
                restart(node)

    def only_our_nodes(self):
        """The API server knows these and no others, whatever a failed test left there."""
        known = set(self.api.resources["nodes"].objects)
        for name in known - set(self.nodes):
            self.api.delete("nodes", name)
        for name in set(self.nodes) - known:
            self.put_node(name)

    def relist(self):
        """All watches are cut, and what they knew is too old to go on from."""
        self.api.compact()
        self.api.drop_connections()


# -- looking at a node -----------------------------------------------------------

def problems(node):
    """All that `roostctl status` complains of, as one text."""
    now = status(node)
    return "\n".join([*now.get("problems", []), (now.get("source") or {}).get("error") or ""])


def wait_problem(node, *words, timeout=30):
    """Until the node complains of something with all these words in it."""
    def found():
        return any(all(word in line for word in words) for line in problems(node).splitlines())
    wait_until(found, timeout, lambda: f"{node.name} says {words}: {problems(node)}", 0.1)


def without_ballast(node):
    """Restarts roostd so that a sanitizer keeps little of what was freed."""
    node.change_service("roostd", env={
        **node.own_environment(),
        "ASAN_OPTIONS": f"{os.environ.get('ASAN_OPTIONS', '')}:quarantine_size_mb=1"})
    restart(node)


def restart(node):
    starts = node.service_status()["roostd"]["starts"]
    node.kill_roostd(signal.SIGKILL)
    wait_until(lambda: node.service_status()["roostd"]["starts"] > starts and status(node), 20,
               f"roostd of {node.name} is back")


def synced(node):
    return metric(node, "roost_source_synced") == 1

