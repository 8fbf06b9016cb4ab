# SPDX-License-Identifier: GPL-2.0-or-later
"""The tests' own API server says what a real one says, and misbehaves as it is told."""

import json
import ssl
import subprocess

import pytest
from apiserver import (ApiServer, body_of, cut, expired, forbidden, hang, matches, raw, recorded, slow, stream,
                       unavailable)
from kubefiles import Pki
from kubeobjects import endpoint_slice, heartbeat, node, relabelled, service

from roostlab import netns, wait_until
from roostlab.base import netns_name, run

NODES = "/api/v1/nodes"


@pytest.fixture
def api():
    with ApiServer() as server:
        yield server


def fill(api, count, **options):
    for n in range(1, count + 1):
        api.put("nodes", node(f"node{n}", [f"192.168.1.{10 + n}"], [f"10.244.{n}.0/24"], **options))


def curl(api, path, *options, check=True):
    return run(["curl", "-sS", "--max-time", "20", *options, api.url + path], check=check)


def ask(api, path, *options):
    """The code and the parsed body."""
    *body, code = curl(api, path, "-w", "\n%{http_code}", *options).stdout.splitlines()
    return int(code), json.loads("\n".join(body) or "null")


def names(listed):
    return [item["metadata"]["name"] for item in listed["items"]]


class Watch:
    """curl, watching."""

    def __init__(self, api, query="", options=()):
        self.api, self.before = api, api.watches()
        self.curl = subprocess.Popen(["curl", "-sSN", *options, f"{api.url}{NODES}?watch=1{query}"],
                                     stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def __enter__(self):
        wait_until(lambda: self.api.watches() > self.before, 10, "the watch is open")
        return self

    def next(self):
        return json.loads(self.curl.stdout.readline() or "null")

    def __exit__(self, *_):
        self.curl.kill()
        self.curl.wait()
        self.curl.stdout.close()


def said(event):
    return event["type"], event["object"]["metadata"].get("name")


# -- the protocol ----------------------------------------------------------------

def test_a_list_comes_in_pages_of_one_moment(api):
    fill(api, 5)
    code, first = ask(api, f"{NODES}?limit=2")
    assert (code, first["kind"], names(first)) == (200, "NodeList", ["node1", "node2"])
    assert first["metadata"]["remainingItemCount"] == 3
    api.delete("nodes", "node4")
    _, second = ask(api, f"{NODES}?limit=2&continue={first['metadata']['continue']}")
    _, third = ask(api, f"{NODES}?limit=2&continue={second['metadata']['continue']}")
    assert names(second) + names(third) == ["node3", "node4", "node5"]
    assert "continue" not in third["metadata"]
    assert {page["metadata"]["resourceVersion"] for page in (first, second, third)} == {"1005"}
    assert "kind" not in first["items"][0]      # as the recorded pages have it

    api.compact()
    code, gone = ask(api, f"{NODES}?limit=2&continue={first['metadata']['continue']}")
    assert (code, gone["code"], gone["reason"]) == (410, 410, "Expired")
    assert ask(api, f"{NODES}?limit=2&continue=nonsense")[0] == 400


def test_a_watch_goes_on_where_the_list_ended(api):
    fill(api, 2)
    version = ask(api, NODES)[1]["metadata"]["resourceVersion"]
    api.put("nodes", node("node3"))
    with Watch(api, f"&allowWatchBookmarks=true&resourceVersion={version}") as watch:
        assert said(watch.next()) == ("ADDED", "node3")
        api.put("nodes", heartbeat(api.get("nodes", "node1"), 1))
        event = watch.next()
        assert said(event) == ("MODIFIED", "node1")
        assert list(event["object"])[:2] == ["kind", "apiVersion"]
        api.delete("nodes", "node2")
        event = watch.next()
        assert said(event) == ("DELETED", "node2")
        assert event["object"]["metadata"]["resourceVersion"] == str(api.version)
        api.bookmark()
        assert watch.next()["object"]["metadata"]["resourceVersion"] == str(api.version)
    wait_until(lambda: api.watches() == 0, 10, "the server sees that curl is gone")


def test_a_watch_ends_after_its_time_with_a_bookmark(api):
    fill(api, 1)
    got = curl(api, f"{NODES}?watch=true&allowWatchBookmarks=true&timeoutSeconds=1").stdout.splitlines()
    assert [said(json.loads(line)) for line in got] == [("ADDED", "node1"), ("BOOKMARK", None)]


def test_bookmarks_and_expiry_are_worded_as_recorded(api):
    with Watch(api, f"&allowWatchBookmarks=true&resourceVersion={api.version}") as watch:
        api.version = 305
        api.bookmark()
        assert watch.next() == json.loads(recorded("nodes-watch.ndjson").splitlines()[-1])
    api.compact()
    error = json.loads(curl(api, f"{NODES}?watch=1&resourceVersion=1").stdout)
    want = json.loads(recorded("watch-expired.ndjson"))
    want["object"]["message"] = want["object"]["message"].replace("335", "306")
    assert error == want
    api.on(forbidden("roost", "list", "nodes"))
    assert ask(api, NODES) == (403, json.loads(recorded("forbidden-403.json")))
    assert ask(api, f"{NODES}/none") == (404, json.loads(recorded("notfound-404.json")))


def test_selectors_narrow_lists_and_watches(api):
    fill(api, 3)
    api.put("nodes", relabelled(api.get("nodes", "node2"), **{"roost/reflector": "true"}))
    assert names(ask(api, f"{NODES}?fieldSelector=metadata.name%3Dnode3")[1]) == ["node3"]
    assert names(ask(api, f"{NODES}?labelSelector=roost%2Freflector%3Dtrue")[1]) == ["node2"]
    assert names(ask(api, f"{NODES}?labelSelector=roost%2Freflector%21%3Dtrue")[1]) == ["node1", "node3"]
    assert ask(api, f"{NODES}?fieldSelector=spec.podCIDR%3D1")[0] == 400
    query = f"&labelSelector=roost%2Freflector%3Dtrue&resourceVersion={api.version}"
    with Watch(api, query) as watch:
        api.put("nodes", heartbeat(api.get("nodes", "node1"), 1))
        api.put("nodes", relabelled(api.get("nodes", "node1"), **{"roost/reflector": "true"}))
        api.put("nodes", relabelled(api.get("nodes", "node2"), **{"roost/reflector": None}))
        assert said(watch.next()) == ("ADDED", "node1")
        assert said(watch.next()) == ("DELETED", "node2")


def test_services_and_endpointslices_are_there_too(api):
    api.put("services", service("web", ["203.0.113.7"], policy="Local"))
    api.put("endpointslices", endpoint_slice("web", [("10.244.1.5", "node1", True)]))
    assert names(ask(api, "/api/v1/services")[1]) == ["web"]
    found = ask(api, "/apis/discovery.k8s.io/v1/endpointslices")[1]
    assert found["kind"] == "EndpointSliceList" and names(found) == ["web-abcde"]


def test_a_thousand_real_nodes_are_no_trouble(api):
    fill(api, 1000, realistic=True)
    seen, token = 0, ""
    while token is not None:
        _, page = ask(api, f"{NODES}?limit=100&continue={token}", "--compressed")
        seen += len(page["items"])
        token = page["metadata"].get("continue")
    size = len(api.resources["nodes"].objects["node77"].raw)
    assert (seen, api.count()) == (1000, 10) and 14000 < size < 20000
    assert len(ask(api, f"{NODES}?limit=100&resourceVersion=0")[1]["items"]) == 1000
    sent = api.clients["127.0.0.1"].bytes_sent
    assert 1000 * size < sent < 1000 * size * 1.5       # the pages were compressed


# -- who may what ------------------------------------------------------------------

def bearer(token):
    return "-H", f"Authorization: Bearer {token}"


def test_tokens_are_checked_and_rotate(api):
    api.tokens = {"one": "system:serviceaccount:kube-system:roost"}
    assert ask(api, NODES) == (403, json.loads(recorded("unauthenticated-401.json")))
    assert ask(api, NODES, *bearer("one"))[0] == 200
    api.tokens = {"two": "system:serviceaccount:kube-system:roost"}
    code, body = ask(api, NODES, *bearer("one"))
    assert (code, body["reason"]) == (401, "Unauthorized")
    api.deny("list", "nodes")
    assert 'User "system:serviceaccount:kube-system:roost" cannot list resource "nodes"' in \
        ask(api, NODES, *bearer("two"))[1]["message"]


def test_certificates_are_checked_both_ways(tmp_path):
    pki, other = Pki(str(tmp_path / "a")), Pki(str(tmp_path / "b"), "other")
    certificate, key = pki.issue("node1", "/O=system:nodes/CN=system:node:node1")
    with ApiServer(tls=pki.server_context(["127.0.0.1"], clients=ssl.CERT_REQUIRED)) as api:
        mine = ("--cert", certificate, "--key", key)
        assert ask(api, "/version", "--cacert", pki.ca, *mine)[0] == 200
        assert api.requests[-1].user == "system:node:node1"
        assert curl(api, NODES, "--cacert", other.ca, *mine, check=False).returncode == 60
        assert curl(api, NODES, "--cacert", pki.ca, check=False).returncode != 0
        assert len(api.handshake_failures) == 2


def test_patches_and_events_are_remembered(api):
    fill(api, 1)
    condition = {"type": "NetworkUnavailable", "status": "False", "reason": "RoutesAnnounced"}
    code, body = ask(api, f"{NODES}/node1/status", "-X", "PATCH", "-H",
                     "Content-Type: application/strategic-merge-patch+json",
                     "-d", json.dumps({"status": {"conditions": [condition]}}))
    assert code == 200 and condition in body["status"]["conditions"]
    assert len(body["status"]["conditions"]) == 5
    assert api.patches == [("node1", "status", {"status": {"conditions": [condition]}})]
    event = json.dumps({"kind": "Event", "metadata": {"name": "node1.7"}, "reason": "PodCIDROverlap"})
    post = ("/api/v1/namespaces/default/events", "-d", event)
    assert ask(api, *post)[0] == 201
    assert ask(api, *post)[1]["reason"] == "AlreadyExists"
    api.deny("create", "events")
    assert ask(api, *post)[0] == 403
    assert [event["reason"] for event in api.events()] == ["PodCIDROverlap"]


# -- misbehaviour ------------------------------------------------------------------

def test_errors_are_answered_as_often_as_asked_for(api):
    api.on(unavailable(429, retry_after=3), verb="list", times=2)
    api.on(unavailable(503), verb="list", times=1)
    api.on(expired(), verb="list", query=lambda query: "continue" in query, times=None)
    for code in (429, 429, 503, 200, 200):
        assert ask(api, NODES)[0] == code
    assert ask(api, f"{NODES}?continue=x")[0] == 410
    api.on(unavailable(429, retry_after=3))
    assert "Retry-After: 3" in curl(api, NODES, "-i").stdout
    assert api.count(verb="list") == 7


@pytest.mark.parametrize("after", [1, 17, 200, 500])
def test_a_connection_is_cut_at_any_byte(api, after):
    fill(api, 3)
    whole = curl(api, NODES, "-i").stdout
    api.on(cut(after))
    done = curl(api, NODES, "-i", check=False)
    # Not all of it, and curl shows no heads of chunks.  Cut between two lines of the head
    # it is even content.
    assert whole.startswith(done.stdout) and len(done.stdout) <= after < len(whole)


def test_answers_come_a_byte_at_a_time(api):
    fill(api, 1)
    usual = curl(api, NODES).stdout
    api.on(slow(1))
    assert curl(api, NODES).stdout == usual


def test_a_hushed_watch_stays_open_and_says_nothing(api):
    with Watch(api, "&timeoutSeconds=1") as watch:
        api.hush()
        fill(api, 1)
        with pytest.raises(subprocess.TimeoutExpired):
            watch.curl.wait(2)
        assert api.watches() == 1
    with Watch(api) as watch:
        assert said(watch.next()) == ("ADDED", "node1")


def test_no_answer_and_no_http(api):
    api.on(hang())
    assert curl(api, NODES, "-m", "1", check=False).returncode == 28
    api.on(raw(b"SSH-2.0-OpenSSH_9.2\r\n"))
    assert curl(api, NODES, check=False).returncode != 0
    api.on(body_of((b'"', *[b"a" * (1 << 20)] * 3, b'"')))
    assert len(curl(api, NODES).stdout) == (3 << 20) + 2


def test_a_server_that_is_killed_comes_back_with_what_has_changed(api):
    fill(api, 2)
    with Watch(api, f"&resourceVersion={api.version}") as watch:
        api.stop()
        assert watch.next() is None and watch.curl.wait() != 0
    assert curl(api, NODES, check=False).returncode == 7
    api.delete("nodes", "node1")
    api.start()
    assert names(ask(api, NODES)[1]) == ["node2"]


def test_after_a_restore_who_is_ahead_hears_nothing_until_it_is_reached(api):
    fill(api, 3)
    ahead = api.version
    api.restore(ahead - 2)
    api.bookmark_s = 0      # whenever it looks
    with Watch(api, f"&allowWatchBookmarks=true&resourceVersion={ahead}") as watch:
        api.delete("nodes", "node3")
        api.put("nodes", node("node4"))
        api.put("nodes", node("node5"))
        event = watch.next()
        while event["type"] == "BOOKMARK":
            assert int(event["object"]["metadata"]["resourceVersion"]) >= ahead
            event = watch.next()
        assert said(event) == ("ADDED", "node5")
    assert names(ask(api, NODES)[1]) == ["node1", "node2", "node4", "node5"]


def test_recorded_answers_are_replayed_byte_for_byte(api):
    pages = [recorded(f"nodes-page{n}.json") for n in (1, 2)]
    api.on(body_of(pages[0]), verb="list", times=None, query=lambda query: "continue" not in query)
    api.on(body_of(pages[1]), verb="list", times=None, query=lambda query: "continue" in query)
    api.on(stream(recorded("nodes-watch.ndjson"), then_open=False), verb="watch")
    assert curl(api, NODES).stdout.encode() == pages[0]
    assert curl(api, f"{NODES}?continue=x").stdout.encode() == pages[1]
    assert curl(api, f"{NODES}?watch=1").stdout.encode() == recorded("nodes-watch.ndjson")


def test_it_listens_in_a_namespace_only(lab_name):
    namespace = netns_name(lab_name, "api")
    netns.add(namespace)
    netns.ip(namespace, "link set lo up", "addr add 192.0.2.77/32 dev lo")
    with ApiServer(namespace, "192.0.2.77", 6443) as api:
        inside = run(netns.inside(namespace, ["curl", "-sS", api.url + "/version"])).stdout
        assert json.loads(inside)["minor"] == "32"
        assert matches(api.requests[0], {"client": "192.0.2.77", "verb": "get"})
