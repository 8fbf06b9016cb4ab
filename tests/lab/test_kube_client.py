# SPDX-License-Identifier: GPL-2.0-or-later
"""The API server refuses, stumbles, falls silent or talks nonsense: each is said clearly,
none of it reaches BIRD, and all of it is over as soon as the server is well again.
"""

import itertools
import json
import os
import select
import shutil
import socket
import ssl
import subprocess
import threading

import pytest
from apiserver import (body_of, cut, encode, error_event, expired, hang, in_netns, listen, listed_version,
                       raw, recorded, slow, status as refuse, stream, unavailable)
from cluster import memory_mb, metric, roostd_log, running_id, since, status, table, wait_healthy
from kubefiles import Pki, data_of
from kubelab import (CA_FILE, TOKEN, USER, API, problems, restart, synced, wait_problem, without_ballast)
from kubeobjects import node as make_node

from roostlab import netns, wait_until
from roostlab.base import netns_name, run, write_file

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def lab(make_kube_lab):
    lab = make_kube_lab(nodes=2, tor=None)
    lab.kubernetes["watchTimeout"] = 5
    lab.tired = False
    lab.write_config(lab.config())
    for node in lab.nodes.values():
        wait_healthy(node)
    without_ballast(lab.node("node1"))
    wait_healthy(lab.node("node1"))
    return lab


@pytest.fixture
def node1(lab):
    """Its server has to answer it alone: node2 is there for the session and the route."""
    node = lab.node("node1")
    if lab.tired:
        restart(node)       # or it waits longer after each test's failures
    lab.tired = True
    wait_healthy(node)
    before = running_id(node), since(node), node.routes()
    assert before[0] and before[1]
    yield node
    if "other" in lab.api.resources["nodes"].objects:
        lab.api.delete("nodes", "other")
    lab.recover()
    wait_healthy(node)
    assert (running_id(node), since(node), node.routes()) == before


@pytest.fixture
def quick(lab):
    """For a test that restarts roostd itself."""
    lab.tired = False


def mine(lab, **match):
    return lab.api.seen(client="192.168.1.11", **match)


def hits(lab, **match):
    return len(mine(lab, **match))


def tell(lab):
    """A change that every node acts upon."""
    number = next(_numbers)
    lab.api.put("nodes", make_node("other", [f"192.168.1.{100 + number}"], ["10.244.100.0/24"]))
    return f"192.168.1.{100 + number}"


def wait_told(lab, node, timeout=40):
    """The watch works: a Node that comes is seen, and taken away again."""
    address = tell(lab)
    wait_until(lambda: address in str(table(node, "nodes")), timeout,
               lambda: f"{node.name} has heard of {address}: {problems(node)}", 0.1)
    lab.api.delete("nodes", "other")
    wait_until(lambda: "other:v4" not in node.sessions(), timeout, "and that it is gone", 0.1)


# -- as it should be ------------------------------------------------------------------

def test_lists_come_in_pages_and_the_watch_goes_on_from_them(lab, node1):
    lab.api.page = 1
    try:
        restart(node1)
        wait_healthy(node1)
        first, second = mine(lab, verb="list")[-2:]
        assert int(first.query["limit"]) > 0 and "continue" not in first.query
        assert second.query["continue"]
        wait_until(lambda: hits(lab, verb="watch", time=lambda at: at > second.time), 20, "it watches")
        asked = mine(lab, verb="watch")[-1].query
        assert asked["resourceVersion"] == listed_version(second.query["continue"])
        assert int(asked["timeoutSeconds"]) > 60
        assert asked["allowWatchBookmarks"] in ("1", "true") and "sendInitialEvents" not in asked
        wait_told(lab, node1)
    finally:
        lab.api.page = None


def test_a_continue_token_that_is_too_old_begins_a_new_list(lab, node1):
    lab.api.page = 1
    try:
        gone = lab.api.on(expired(), verb="list", client="192.168.1.11",
                          query=lambda query: "continue" in query)
        restart(node1)
        wait_until(lambda: gone.hits, 20, "the second page is refused")
        wait_healthy(node1)
        assert synced(node1)
    finally:
        lab.api.page = None


def test_a_watch_that_is_too_old_is_one_new_list(lab, node1):
    lists, listed = metric(node1, "roost_source_lists_total"), hits(lab, verb="list")
    lab.relist()
    wait_until(lambda: hits(lab, verb="list") == listed + 1, 30, "node1 lists anew")
    wait_told(lab, node1)
    assert metric(node1, "roost_source_lists_total") == lists + 1
    # The same said as a status, and not as an event.
    lab.api.on(expired(), verb="watch", client="192.168.1.11")
    lab.api.drop_connections("192.168.1.11")
    wait_until(lambda: hits(lab, verb="list") == listed + 2, 30, "node1 lists anew")
    wait_told(lab, node1)


def test_a_watch_that_ends_is_opened_where_it_stopped(lab, node1):
    listed = hits(lab, verb="list")
    lab.api.on(stream(lab.api.resources["nodes"].bookmark(lab.api.version), then_open=False),
               verb="watch", client="192.168.1.11", times=2)
    lab.api.drop_connections("192.168.1.11")
    wait_told(lab, node1)
    assert hits(lab, verb="list") == listed and "cannot" not in problems(node1)


# -- refused ---------------------------------------------------------------------------

def test_a_rotated_token_is_read_again(lab, node1):
    lab.api.tokens = {"b-token": USER}
    lab.api.drop_connections("192.168.1.11")
    wait_until(lambda: mine(lab, user=None), 20, "the old token is refused")
    try:
        write_file(node1.path("etc/roost/token"), "b-token\n")
        wait_told(lab, node1)
    finally:
        write_file(node1.path("etc/roost/token"), TOKEN + "\n")


def test_credentials_that_are_not_accepted_are_told_without_quoting_them(lab, quick, node1):
    write_file(node1.path("etc/roost/token"), "s3cret-token\n")
    restart(node1)
    wait_problem(node1, "credentials")
    assert "s3cret" not in problems(node1) + roostd_log(node1)
    write_file(node1.path("etc/roost/token"), TOKEN + "\n")
    wait_healthy(node1, 60)


@pytest.mark.parametrize("verb", ["list", "watch"])
def test_the_permission_that_is_missing_is_named(lab, quick, node1, verb):
    lab.api.deny(verb, "nodes")
    restart(node1)
    wait_problem(node1, f"not permitted to {verb} nodes", f'User "{USER}" cannot {verb} resource "nodes"')


def test_a_server_that_asks_for_time_is_given_it(lab, quick, node1):
    rules = [lab.api.on(unavailable(code, retry_after=2), verb="list", client="192.168.1.11")
             for code in (429, 503)]
    restart(node1)
    wait_healthy(node1, 60)
    assert all(rule.hits for rule in rules)
    times = [request.time for request in mine(lab, verb="list")][-3:]
    assert all(b - a >= 2 for a, b in zip(times, times[1:]))


def test_failures_are_tried_again_after_a_growing_while(lab, quick, node1):
    rule = lab.api.on(unavailable(500), verb="list", client="192.168.1.11", times=4)
    restart(node1)
    wait_until(lambda: rule.hits == 4, 60, "it has tried four times", 0.1)
    wait_healthy(node1, 60)
    times = [request.time for request in mine(lab, verb="list")][-5:]
    assert times[4] - times[3] > 1.5, "the first pause is of 0.5 s at most"


# -- silent, cut, slow -------------------------------------------------------------------

def test_a_watch_that_goes_silent_is_noticed_and_opened_again(lab, node1):
    wait_told(lab, node1)
    watched = hits(lab, verb="watch")
    lab.api.hush()
    address = tell(lab)
    wait_until(lambda: address in str(table(node1, "nodes")), 20, "node1 has heard of it all the same", 0.1)
    assert hits(lab, verb="watch") > watched


def test_a_server_that_takes_a_watch_and_never_answers_is_told(lab, quick, node1):
    rule = lab.api.on(hang(), verb="watch", client="192.168.1.11", times=None)
    restart(node1)
    wait_problem(node1, "watch nodes", "nothing heard for 5 s")
    wait_until(lambda: rule.hits >= 2, 20, "it tries again")
    assert not synced(node1)


def test_a_version_that_the_server_does_not_take_is_given_up(lab, node1):
    listed = hits(lab, verb="list")
    lab.api.on(refuse(400, "BadRequest", "Invalid value: resourceVersion"), verb="watch", client="192.168.1.11")
    lab.api.drop_connections("192.168.1.11")
    wait_until(lambda: hits(lab, verb="list") > listed, 20, "it lists anew")
    wait_told(lab, node1)


@pytest.mark.parametrize("after", [1, 180, 700])
def test_a_list_that_is_cut_is_read_again_and_never_taken_for_all(lab, quick, node1, after):
    rule = lab.api.on(cut(after), verb="list", client="192.168.1.11")
    restart(node1)
    wait_until(lambda: rule.hits, 20, "the list is cut")
    wait_healthy(node1)
    assert synced(node1)


def test_events_that_are_cut_anywhere_are_all_seen_in_the_end(lab, quick, node1):
    for after in (100, 250, 400, 900):
        lab.api.on(cut(after), verb="watch", client="192.168.1.11")
    restart(node1)
    wait_told(lab, node1, 60)
    wait_told(lab, node1, 60)


def test_answers_that_come_a_byte_at_a_time_are_understood(lab, quick, node1):
    lab.api.on(slow(1), client="192.168.1.11", times=2)
    restart(node1)
    wait_healthy(node1)
    wait_told(lab, node1)


# -- TLS -----------------------------------------------------------------------------------

def with_tls(lab, context):
    lab.api.stop()
    lab.api.tls = context
    lab.api.start()


@pytest.fixture
def own_tls(lab):
    before = lab.api.tls
    yield
    with_tls(lab, before)
    lab.write_kubeconfig(lab.node("node1"))
    restart(lab.node("node1"))


def test_a_server_of_another_ca_is_refused_and_why_is_said(lab, node1, own_tls, tmp_path):
    with_tls(lab, Pki(str(tmp_path), "impostor").server_context([API[4]]))
    wait_problem(node1, "certificate")
    assert lab.api.handshake_failures


def test_a_certificate_for_another_name_or_of_the_past_is_refused(lab, quick, node1, own_tls):
    with_tls(lab, lab.pki.server_context(["192.168.1.99"]))
    wait_problem(node1, API[4])
    with_tls(lab, lab.pki.server_context([API[4]], expired=True))
    restart(node1)
    wait_problem(node1, "expired")


def test_client_certificates_work_and_are_missed(lab, node1, own_tls):
    with_tls(lab, lab.pki.server_context([API[4]], clients=ssl.CERT_REQUIRED))
    wait_problem(node1, API[4])
    assert lab.api.handshake_failures
    certificate, key = lab.pki.issue("client", "/O=system:nodes/CN=node1-by-certificate")
    lab.api.tokens["unused"] = "nobody"
    lab.write_kubeconfig(node1, {"client-certificate-data": data_of(certificate),
                                 "client-key-data": data_of(key)},
                         certificate_authority_data=data_of(lab.pki.ca))
    wait_told(lab, node1)
    assert mine(lab)[-1].user == "node1-by-certificate"


def test_certificates_and_tokens_in_files_may_come_late_and_be_replaced(lab, node1, own_tls):
    # A folder that nobody watches; and watches that end at once, all on one connection.
    folder = node1.path("root/run/pki")
    first, second = (lab.pki.issue(name, f"/CN={name}") for name in ("first", "second"))
    lab.api.on(stream(then_open=False), verb="watch", client="192.168.1.11", times=None)
    lab.write_kubeconfig(node1, {"client-certificate": "/run/pki/client.crt", "client-key": "/run/pki/client.key"})
    wait_problem(node1, "/run/pki/client.crt", "No such file")
    put_pair(folder, first)
    wait_until(lambda: mine(lab)[-1].user == "first", 40, "they are found", 0.1)
    wait_until(lambda: hits(lab, user="first", verb="watch") >= 2, 20, "it watches, again and again", 0.1)
    connections = lab.api.clients["192.168.1.11"].connections
    wait_until(lambda: hits(lab, user="first", verb="watch") >= 4, 20, "it watches, again and again", 0.1)
    assert lab.api.clients["192.168.1.11"].connections == connections
    put_pair(folder, second)
    wait_until(lambda: mine(lab)[-1].user == "second", 20, "the new one is used", 0.1)
    lab.api.calm()
    wait_told(lab, node1)


def put_pair(folder, pair):
    os.makedirs(folder, exist_ok=True)
    for source, name in zip(pair, ("client.crt", "client.key")):
        with open(source, encoding="ascii") as stream_:
            write_file(os.path.join(folder, name), stream_.read())


def test_verification_can_be_turned_off_and_that_is_warned_of(lab, node1, own_tls, tmp_path):
    with_tls(lab, Pki(str(tmp_path), "impostor").server_context([API[4]]))
    lab.write_kubeconfig(node1, insecure_skip_tls_verify=True)
    wait_told(lab, node1)
    assert "insecure-skip-tls-verify" in roostd_log(node1) + str(status(node1)["warnings"])


def test_a_kubeconfig_that_cannot_be_used_is_one_clear_error(lab, node1):
    try:
        write_file(node1.path("etc/roost/kubeconfig"), "clusters: [\n")
        wait_problem(node1, "kubeconfig:")
        lab.write_kubeconfig(node1, {"exec": "{command: aws}"}, certificate_authority=CA_FILE)
        wait_problem(node1, "exec")
    finally:
        lab.write_kubeconfig(node1)
    wait_told(lab, node1)


# -- HTTP/2 ----------------------------------------------------------------------------------

@pytest.fixture
def http2(lab, node1, tmp_path):
    """What a proxy that speaks HTTP/2 has logged, and node1 asks by it alone."""
    if not shutil.which("nghttpx"):
        pytest.skip("needs nghttpx (apt-get install nghttp2-proxy)")
    certificate, key = lab.pki.issue("front", "/CN=kube-apiserver", [API[4]])
    log = tmp_path / "access"
    front = subprocess.Popen(netns.inside(beside_api(lab), [
        "nghttpx", "--conf=/dev/null", f"--frontend={API[4]},6444", f"--backend={API[4]},6443;;tls",
        "--insecure", "--no-ocsp", "--workers=1", "--log-level=ERROR", f"--accesslog-file={log}", key, certificate]))
    try:
        wait_until(lambda: run(netns.inside(beside_api(lab), ["ss", "-Hltn", "sport = :6444"])).stdout, 10,
                   "nghttpx listens")
        lab.write_kubeconfig(node1, url=f"https://{API[4]}:6444")
        wait_told(lab, node1)
        yield log.read_text
    finally:
        front.terminate()
        front.wait()
        lab.write_kubeconfig(node1)


def beside_api(lab):
    return netns_name(lab.name, "api")


def test_http2_is_spoken_where_the_server_does(http2):
    wait_until(lambda: "/api/v1/nodes?limit" in http2(), 10, "nghttpx has logged the list")
    assert "HTTP/2" in http2() and "HTTP/1" not in http2()


def test_a_connection_that_is_dead_and_not_closed_is_asked_by_no_more(lab, node1, http2):
    found = run(netns.inside(beside_api(lab), ["ss", "-Htn", "state", "established", "sport = :6444"])).stdout
    ports = ", ".join(line.split()[-1].rpartition(":")[2] for line in found.splitlines())
    run(netns.inside(beside_api(lab), ["nft", f"""table inet dead {{
        chain in {{ type filter hook input priority 0; tcp sport {{ {ports} }} drop; }}
        chain out {{ type filter hook output priority 0; tcp dport {{ {ports} }} drop; }}
    }}"""]))
    try:
        wait_told(lab, node1)
        wait_told(lab, node1)
        assert "HTTP/1" not in http2()
    finally:
        run(netns.inside(beside_api(lab), ["nft", "delete table inet dead"]))


# -- a proxy ---------------------------------------------------------------------------------

class ConnectProxy:
    """An HTTP proxy beside the API server, which passes on what it is asked to CONNECT to."""

    def __init__(self, namespace):
        self.namespace, self.asked = namespace, []
        self.listener = listen(namespace, API[4], 0)
        self.url = f"http://{API[4]}:{self.listener.getsockname()[1]}"
        self.thread = threading.Thread(target=self._accept)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()

    def _accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with client:
            line = client.recv(4096).decode().splitlines()[0]
            self.asked.append(line)
            host, _, port = line.split()[1].rpartition(":")
            with in_netns(self.namespace, lambda: socket.create_connection((host, int(port)))) as server:
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                while True:
                    for ready in select.select([client, server], [], [])[0]:
                        data = ready.recv(65536)
                        if not data:
                            return
                        (server if ready is client else client).sendall(data)


@pytest.fixture
def environment(lab, node1):
    """Restarts node1's roostd with more in its environment; afterwards with what it had."""
    with open(node1.path("services.json"), encoding="utf-8") as stream_:
        before = json.load(stream_)["roostd"]["env"]

    def change(**more):
        node1.change_service("roostd", env={**before, **more})
        restart(node1)
    yield change
    change()


def test_a_proxy_of_the_environment_is_asked_unless_the_server_is_excepted(lab, node1, environment):
    with ConnectProxy(beside_api(lab)) as proxy:
        environment(HTTPS_PROXY=proxy.url)
        wait_told(lab, node1)
        assert set(proxy.asked) == {f"CONNECT {API[4]}:{lab.api.port} HTTP/1.1"}
        asked = len(proxy.asked)
        environment(HTTPS_PROXY=proxy.url, NO_PROXY=API[4])
        wait_told(lab, node1)
        assert len(proxy.asked) == asked


# -- nonsense --------------------------------------------------------------------------------

def node_list(*items, **more):
    return {"kind": "NodeList", "apiVersion": "v1", "metadata": {"resourceVersion": "2"},
            "items": list(items), **more}


def big(size):
    """A NodeList with a name of so many bytes, without having it in memory."""
    yield encode(node_list())[:-2] + b'{"metadata":{"name":"'
    for _ in range(size >> 20):
        yield b"a" * (1 << 20)
    yield b'"}}]}'


def same_name(count):
    item = encode({"metadata": {"name": "node7"}, "spec": {"podCIDR": "10.244.7.0/24"},
                   "status": {"addresses": [{"type": "InternalIP", "address": "192.168.1.17"}]}})
    yield encode(node_list())[:-2] + item
    for _ in range(count // 100):
        yield (b"," + item) * 100
    yield b"]}"


NULLS = {"metadata": None, "spec": None, "status": None}
LISTS = {
    "truncated JSON": encode(node_list(make_node("node7")))[:-30],
    "a string of 100 MB": lambda: big(100 << 20),
    "a list of pods": encode({**node_list(), "kind": "PodList"}),
    "nulls everywhere": encode(node_list(NULLS, None, {"metadata": {"name": None, "labels": None}},
                                         {"metadata": {"name": "node8"}, "spec": {"podCIDRs": [None]},
                                          "status": {"addresses": [None, {"type": None}]}})),
    "items as a map": encode(node_list(items={"a": make_node("node7")})),
    "invalid UTF-8": encode(node_list(make_node("node7"))).replace(b"node7", b"no\xff\xfede"),
    "fifty thousand of one name": lambda: same_name(50000),
    "deep nesting": b'{"kind":"NodeList","metadata":{"resourceVersion":"1"},"items":[' + b"[" * 200000,
    "a page of HTML": b"<html><body>It works!</body></html>",
    "no number as version": encode(node_list(metadata={"resourceVersion": "x'; drop"})),
    "a list without end": lambda: itertools.chain([encode(node_list())[:-2]],
                                                  itertools.repeat(b" " * (1 << 20), 100)),
}


@pytest.mark.parametrize("what", LISTS)
def test_a_list_of_nonsense_is_one_clear_error_and_changes_nothing(lab, quick, node1, what):
    answer = LISTS[what]
    before = running_id(node1), since(node1), node1.routes()

    def action(exchange):
        return body_of(answer() if callable(answer) else answer)(exchange)
    rule = lab.api.on(action, verb="list", client="192.168.1.11", times=None)
    restart(node1)
    wait_until(lambda: rule.hits and problems(node1), 30, "node1 has seen it", 0.1)
    assert (running_id(node1), since(node1), node1.routes()) == before
    assert memory_mb(node1.host_pid("roostd"), "VmHWM") < LIMIT_MB, "memory stays bounded"
    assert all(len(line) < 1000 for line in problems(node1).splitlines())
    assert status(node1)["health"] == "degraded"


LIMIT_MB = 150      # of an address sanitizer's roostd: 40 MB of it are there from the start

EVENTS = {
    "truncated JSON": b'{"type":"ADDED","object":{"kind":"Node"\n{"type"',
    "a string of 100 MB": lambda: itertools.chain(
        [b'{"type":"ADDED","object":{"metadata":{"name":"'], itertools.repeat(b"a" * (1 << 20), 100)),
    "names without end": lambda: (b"".join(
        b'{"type":"ADDED","object":{"metadata":{"name":"n%d","resourceVersion":"%d"}}}\n' % (n, n)
        for n in range(start, start + 1000)) for start in itertools.count(1000000, 1000)),
    "an unknown type": b'{"type":"EXPLODED","object":{"metadata":{"name":"x"}}}\n',
    "a Node of nulls": b'{"type":"MODIFIED","object":{"metadata":null,"spec":null,"status":null}}\n',
    "an error": error_event(500, "InternalError", "etcdserver: request timed out"),
    "an initial events error": recorded("nodes-watchlist.ndjson"),
    "invalid UTF-8": b'{"type":"ADDED","object":{"metadata":{"name":"no\xff\xfe","resourceVersion":"1"}}}\n',
}


@pytest.mark.parametrize("what", EVENTS)
def test_an_event_of_nonsense_ends_the_watch_and_changes_nothing(lab, quick, node1, what):
    before = running_id(node1), since(node1), node1.routes()
    event = EVENTS[what]
    restart(node1)      # or it would wait longer after each
    wait_healthy(node1)
    rule = lab.api.on(body_of(event()) if callable(event) else stream(event), verb="watch", client="192.168.1.11")
    lab.api.drop_connections("192.168.1.11")
    wait_until(lambda: rule.hits, 20, "node1 has got it")
    wait_told(lab, node1)
    assert (running_id(node1), since(node1), node1.routes()) == before
    assert memory_mb(node1.host_pid("roostd"), "VmHWM") < LIMIT_MB, "memory stays bounded"


@pytest.mark.parametrize("what", ["no HTTP", "an odd status", "a redirect", "a huge head"])
def test_answers_that_are_none_are_told(lab, quick, node1, what):
    rule = lab.api.on({
        "no HTTP": raw(b"SSH-2.0-OpenSSH_9.2\r\n"),
        "an odd status": refuse(418, "Teapot", "I'm a teapot"),
        "a redirect": body_of(b"", 302, headers={"Location": "http://192.168.1.99/"}),
        "a huge head": raw(b"HTTP/1.1 200 OK\r\n" + b"X-A: " + b"a" * (1 << 20) + b"\r\n\r\n"),
    }[what], verb="list", client="192.168.1.11", times=None)
    restart(node1)
    wait_until(lambda: rule.hits >= 2, 30, "node1 has tried twice", 0.1)
    wait_problem(node1, API[4])
    if what == "an odd status":
        assert "teapot" in problems(node1)
