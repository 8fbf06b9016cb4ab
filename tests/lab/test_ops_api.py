# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/api.md says what roostd answers: every field and family, and no other."""

import ipaddress
import json
import os
import re

import pytest
from cluster import wait_healthy

from roostlab import wait_until

DOC = os.path.join(os.path.dirname(__file__), "../../docs/api.md")

TYPES = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
    "time": lambda value: re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", value),
    "address": lambda value: ipaddress.ip_address(value),
    "prefix": lambda value: ipaddress.ip_network(value),
}


def sections():
    """{"GET /v1/status": {field: type}} of the page."""
    with open(DOC, encoding="utf-8") as stream:
        parts = re.split(r"^## ", stream.read(), flags=re.M)[1:]
    return {part.split("\n", 1)[0]: dict(re.findall(r"^\| `([^`]+)` \| ([a-z]+\??)", part, re.M))
            for part in parts}


DOCUMENTED = sections()


def flatten(value, path=""):
    """Each field with its value: "steps[].ok": True; an object is one as well."""
    if isinstance(value, dict):
        if path and not path.endswith("[]"):
            yield path, value
        for key, inner in value.items():
            yield from flatten(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for inner in value:
            yield from flatten(inner, path + "[]")
    else:
        yield path, value


def compare(title, *answers):
    """Everything answered is documented with this type; everything documented is answered
    in one of these answers, unless what it is part of is null or an empty list."""
    fields, seen, nulls = DOCUMENTED[title], set(), set()
    for answer in answers:
        for path, value in flatten(answer):
            seen.add(path)
            if isinstance(value, dict) and path not in fields:
                continue                    # a mere group
            assert path in fields, f"{title}: {path} is not in docs/api.md"
            kind = fields[path]
            if value is None:
                assert kind.endswith("?"), f"{title}: {path} is null"
                nulls.add(path)
            else:
                assert TYPES[kind.rstrip("?")](value), f"{title}: {path} is {value!r}, no {kind}"
    empty = {path for answer in answers for path in empty_lists(answer)}
    missing = [path for path in fields if path not in seen and
               not any(path.startswith((f"{null}.", f"{null}[]")) for null in nulls | empty)]
    assert not missing, f"{title}: nobody answers {missing}"


def empty_lists(value, path=""):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from empty_lists(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        if not value:
            yield path
        for inner in value:
            yield from empty_lists(inner, path + "[]")


@pytest.fixture(scope="module")
def node(make_lab):
    lab = make_lab(nodes=2, tor="bird", pods=1)
    wait_healthy(lab.node("node1"))
    return lab.node("node1")


def ask(node, path, *options):
    out = node.exec(["curl", "-sS", *options, "--unix-socket", "/run/roost/roostd.sock",
                     f"http://roostd{path}"]).stdout
    return json.loads(out)


@pytest.mark.parametrize("what", ["nodes", "peers", "routes", "services", "graph", "history"])
def test_what_is_answered_is_what_is_documented(node, what):
    compare(f"GET /v1/{what}", ask(node, f"/v1/{what}"))


def test_explain_is_as_documented(node):
    compare("GET /v1/explain", ask(node, "/v1/explain?address=10.244.2.2"),
            ask(node, "/v1/explain?address=10.244.99.1"))


def test_status_is_as_documented_also_when_something_is_wrong(node):
    healthy, good = ask(node, "/v1/status"), node.read_config()
    node.exec(["sh", "-c", "echo 'protocol nonsense' >/etc/roost/bird.d/bad.conf"])
    wait_until(lambda: ask(node, "/v1/status")["configuration"]["lastRefusal"], 20, "BIRD refuses it")
    refused = ask(node, "/v1/status")
    node.exec(["rm", "/etc/roost/bird.d/bad.conf"])
    node.write_config("nonsense: [\n")
    wait_until(lambda: ask(node, "/v1/status")["source"]["error"], 20, "the file is bad")
    bad = ask(node, "/v1/status")
    node.write_config(good)
    wait_healthy(node)
    compare("GET /v1/status", healthy, refused, bad)
    assert refused["health"] == bad["health"] == "degraded"


def test_posts_are_as_documented(node):
    title = "POST /v1/apply, /v1/rollback, /v1/drain, /v1/undrain"
    compare(title, *(ask(node, f"/v1/{what}", "-X", "POST") for what in ("apply", "drain", "undrain")))


def printed(node, *argv):
    return json.loads(node.roostctl("-o", "json", *argv).stdout)


def test_what_roostctl_prints_by_itself_is_as_documented(node):
    text = node.read_config()
    with open(node.path("root") + "/run/new.yaml", "w", encoding="utf-8") as stream:
        stream.write(text + "session: {holdTime: 80}\n")
    with open(node.path("root") + "/run/bad.yaml", "w", encoding="utf-8") as stream:
        stream.write(text + "nonsense: 1\n")
    for title, *commands in (
            ("plan", ["plan"], ["plan", "/run/new.yaml"]), ("doctor", ["doctor"]), ("pods", ["pods"]),
            ("check", ["check"], ["check", "/run/bad.yaml"]), ("cleanup", ["cleanup"]),
            ("drain, undrain", ["undrain"])):
        compare(f"roostctl -o json {title}", *(printed(node, *argv) for argv in commands))
    files = printed(node, "render")
    assert "sessions.conf" in files and all(isinstance(text, str) for text in files.values())


def test_every_endpoint_is_in_the_table():
    with open(os.path.join(os.path.dirname(__file__), "../../src/agent/server.c"),
              encoding="utf-8") as stream:
        served = re.findall(r'^\t\{"(/[^"]+)", EVHTTP_REQ_(\w+), (true|false)', stream.read(), re.M)
    with open(DOC, encoding="utf-8") as stream:
        table = re.findall(r"^\| `(/[^`]+)` \| (GET|POST) \| (both|socket) \|", stream.read(), re.M)
    assert sorted(table) == sorted((path, method, "socket" if local == "true" else "both")
                                   for path, method, local in served)


def test_every_metric_is_in_the_table(node):
    text = node.exec(["curl", "-sS", "http://127.0.0.1:9472/metrics"]).stdout
    there = dict(re.findall(r"^# TYPE (\S+) (\S+)", text, re.M))
    with open(DOC, encoding="utf-8") as stream:
        rows = re.findall(r"^\| `(roost_\w+)` \| (\w+) \| ([a-z ]*)\| (Kubernetes:)?", stream.read(), re.M)
    documented = {name: kind for name, kind, _, kubernetes in rows if not kubernetes}
    assert there == documented
    for name, _, label, kubernetes in rows:
        sample = re.search(rf"^{name}(?:_bucket)?(?:\{{(\w+)=)?", text, re.M)
        assert kubernetes or (sample[1] or "") == label.strip(), name
