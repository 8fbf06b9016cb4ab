# SPDX-License-Identifier: GPL-2.0-or-later
"""/metrics: Debian's Prometheus takes it, alerts fire, and the dashboard asks for what is there."""

import json
import os
import re
import shutil
import subprocess

import pytest
from cluster import metric, wait_healthy

from roostlab import wait_until

PROMETHEUS = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../contrib/prometheus"))
METRICS = "http://127.0.0.1:9472/metrics"

pytestmark = pytest.mark.skipif(not shutil.which("prometheus"),
                                reason="needs Prometheus (apt-get install prometheus)")


@pytest.fixture(scope="module")
def lab2(make_lab):
    lab = make_lab(nodes=2, tor="bird", ipv6=True, pods=1)
    for node in lab.nodes.values():
        wait_healthy(node)
    return lab


def metrics(node, *options):
    return node.exec(["curl", "-sS", *options, METRICS]).stdout


def promtool(*argv, **options):
    return subprocess.run(["promtool", *argv], capture_output=True, text=True, check=False, **options)


def families(text):
    return set(re.findall(r"^# TYPE (\S+)", text, re.M))


def test_promtool_has_nothing_to_say(lab2):
    text = metrics(lab2.node("node1"))
    done = promtool("check", "metrics", input=text)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    assert "# EOF" not in text


def test_who_asks_for_openmetrics_gets_it(lab2):
    node = lab2.node("node1")
    asked = metrics(node, "-i", "-H", "Accept: application/openmetrics-text; version=1.0.0")
    assert "Content-Type: application/openmetrics-text; version=1.0.0" in asked
    assert "# TYPE roost_build info\n" in asked and asked.endswith("# EOF\n")
    plain = metrics(node, "-i")
    assert "Content-Type: text/plain; version=0.0.4" in plain
    assert "# TYPE roost_applies_total counter\n" in plain and "# TYPE roost_build_info gauge\n" in plain


def test_series_are_few(lab2):
    """So many for the node, and five for each of its sessions: 3 nodes' worth here."""
    text = metrics(lab2.node("node1"))
    series = [line for line in text.splitlines() if line and line[0] != "#"]
    of_sessions = [line for line in series if "session=" in line]
    assert len(of_sessions) == 4 * 4            # node2 and the router, IPv4 and IPv6
    assert len(series) - len(of_sessions) < 70
    assert not [line for line in series if "10.244." in line or "pod1" in line]


def test_pods_are_counted_and_timed(lab2):
    node = lab2.node("node1")

    def counts():
        return [metric(node, f'roost_cni_duration_seconds_count{{command="{command}"}}')
                for command in ("ADD", "DEL")]
    used, free = (metric(node, f'roost_pod_addresses_{what}{{family="ipv4"}}')
                  for what in ("used", "free"))
    assert (used, free) == (1, 252), "a /24 without its network, gateway and broadcast addresses"
    before = counts()
    pods = [lab2.add_pod("node1") for _ in range(3)]
    assert counts() == [before[0] + 3, before[1]]
    assert metric(node, 'roost_pod_addresses_used{family="ipv6"}') == 4
    for pod in pods:
        lab2.del_pod(pod)
    assert counts() == [before[0] + 3, before[1] + 3]
    assert metric(node, 'roost_pod_addresses_free{family="ipv4"}') == 252
    assert metric(node, 'roost_cni_duration_seconds_bucket{command="ADD",le="+Inf"}') == counts()[0]
    assert 0 < metric(node, 'roost_cni_duration_seconds_sum{command="ADD"}') < 60
    # A call that fails is counted elsewhere, and a counter file that is nonsense is no harm.
    failed = metric(node, 'roost_cni_failures_total{command="ADD"}')
    with pytest.raises(Exception):
        node.cni.add("broken", "/run/netns/none")
    assert metric(node, 'roost_cni_failures_total{command="ADD"}') == failed + 1
    node.exec(["truncate", "-s", "3", "/run/roost/ipam/.counters"])
    lab2.del_pod(lab2.add_pod("node1"))
    node.exec(["rm", "/run/roost/ipam/.counters"])
    lab2.del_pod(lab2.add_pod("node1"))
    assert counts() == [1, 1]


def test_alert_rules_are_right_and_are_tested():
    assert promtool("check", "rules", f"{PROMETHEUS}/alerts.yaml").returncode == 0
    done = promtool("test", "rules", "alerts_test.yaml", cwd=PROMETHEUS)
    assert done.returncode == 0, done.stdout
    with open(f"{PROMETHEUS}/alerts.yaml", encoding="utf-8") as stream:
        rules = re.findall(r"- alert: (\w+)", stream.read())
    with open(f"{PROMETHEUS}/alerts_test.yaml", encoding="utf-8") as stream:
        fired = set(re.findall(r"alertname: (\w+)\n +exp_alerts", stream.read()))
    assert set(rules) == fired, "an alert that was never seen to fire"


# What is there only when nodes come from Kubernetes.
KUBERNETES = {"roost_source_age_seconds"}


def names_in(path):
    with open(path, encoding="utf-8") as stream:
        text = stream.read()
    return {re.sub("_(bucket|count|sum)$", "", name)
            for name in re.findall(r"\broost_[a-z_]+\b", text)}


def test_rules_and_dashboard_name_what_there_is(lab2):
    there = families(metrics(lab2.node("node1"))) | KUBERNETES
    assert names_in(f"{PROMETHEUS}/alerts.yaml") <= there
    assert names_in(f"{PROMETHEUS}/dashboard.json") <= there


@pytest.fixture
def prometheus(lab2):
    """Debian's Prometheus on node1, with our rules made impatient."""
    node = lab2.node("node1")
    node.exec(["mkdir", "-p", "/run/prom"])
    with open(f"{PROMETHEUS}/alerts.yaml", encoding="utf-8") as stream:
        rules = re.sub(r"for: \w+", "for: 1s", stream.read())
    node.exec(["sh", "-c", "cat >/run/prom/alerts.yaml"], input=rules)
    node.exec(["sh", "-c", "cat >/run/prom/prometheus.yml"], input="""
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [alerts.yaml]
scrape_configs:
  - job_name: roost
    static_configs: [{targets: ['127.0.0.1:9472']}]
""")
    process = subprocess.Popen(node.inside([
        "prometheus", "--config.file=/run/prom/prometheus.yml", "--storage.tsdb.path=/run/prom/data",
        "--web.listen-address=127.0.0.1:9099", "--log.level=warn"]),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def ask(what, query=""):
        out = node.exec(["curl", "-sS", "--get", f"http://127.0.0.1:9099/api/v1/{what}",
                         "--data-urlencode", f"query={query}"], check=False).stdout
        return json.loads(out).get("data", {}) if out.startswith("{") else {}
    yield ask
    process.terminate()
    process.wait(20)


def test_prometheus_scrapes_and_the_alert_for_a_session_fires(lab2, prometheus):
    node, other = lab2.node("node1"), lab2.node("node2")

    def query(expression):
        return prometheus("query", expression).get("result", [])

    def firing():
        return {(alert["labels"]["alertname"], alert["labels"].get("session"))
                for alert in prometheus("alerts").get("alerts", []) if alert["state"] == "firing"}

    wait_until(lambda: query('up{job="roost"} == 1'), 30, "Prometheus has scraped roostd")
    wait_until(lambda: len(query("roost_session_up == 1")) == 4, 20, "it knows of four sessions")
    assert firing() == set()
    with open(f"{PROMETHEUS}/dashboard.json", encoding="utf-8") as stream:
        dashboard = json.load(stream)
    for panel in dashboard["panels"]:           # each question is one that Prometheus understands
        for target in panel["targets"]:
            expression = target["expr"].replace("$instance", ".*")
            answer = prometheus("query", expression)
            assert "result" in answer, (panel["title"], expression)

    other.stop_bird()
    wait_until(lambda: {("RoostSessionDown", "node2:v4"), ("RoostSessionDown", "node2:v6")}
               <= firing(), 40, lambda: f"the alert for the sessions fires: {firing()}")
    assert ("RoostSessionDown", "tor:peer") not in firing()
    other.start_bird()
    wait_healthy(node, 60)
    wait_until(lambda: not {name for name, _ in firing()} & {"RoostSessionDown"}, 40,
               lambda: f"and is over: {firing()}")
