"""The files of deploy/monitoring work with a real Prometheus: endpoints, alerts and queries of the dashboard."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.processes import ROOT, LocalRun, free_port
from tests.integration.programs import output_of, program
from tests.poll import poll_until

MONITORING = ROOT / "deploy" / "monitoring"
DASHBOARD: dict[str, Any] = json.loads((MONITORING / "grafana/dashboards/streamgauge.json").read_text(encoding="utf-8"))
QUESTIONS = {
    f"{panel['title']} {target['refId']}": target["expr"]
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
}
RULES = yaml.safe_load((MONITORING / "alerts.yml").read_text(encoding="utf-8"))["groups"][0]["rules"]
INTERVAL_SECONDS = 0.5
"""Scrape interval in place of five seconds, so that a run of four seconds has a rate."""


def get(address: str) -> bytes:
    """Return the body of a response."""
    with urllib.request.urlopen(address, timeout=5) as answer:
        body: bytes = answer.read()
        return body


@dataclass(frozen=True)
class Watched:
    """A run that has ended, with its services still up, and a Prometheus that scraped it from the beginning."""

    endpoints: dict[str, str]
    prometheus: str

    def ask(self, question: str) -> list[dict[str, Any]]:
        """Return the series that a query gives."""
        asked = question.replace("$__rate_interval", "1m")
        answer = json.loads(get(f"{self.prometheus}/api/v1/query?{urllib.parse.urlencode({'query': asked})}"))
        series: list[dict[str, Any]] = answer["data"]["result"]
        return series

    def ask_rules(self) -> list[dict[str, Any]]:
        """Return the state of the alerts."""
        (group,) = json.loads(get(f"{self.prometheus}/api/v1/rules"))["data"]["groups"]
        rules: list[dict[str, Any]] = group["rules"]
        return rules


def configured(folder: Path, targets: dict[str, str]) -> Path:
    """Write our configuration with other addresses, which no name server knows, and another scrape interval."""
    text = (MONITORING / "prometheus.yml").read_text(encoding="utf-8")
    text = re.sub(r"\b(scrape|evaluation)_interval: \S+", rf"\1_interval: {INTERVAL_SECONDS * 1000:.0f}ms", text)
    made = yaml.safe_load(text)
    for job in made["scrape_configs"]:
        del job["dns_sd_configs"]
        job["static_configs"] = [{"targets": [targets[job["job_name"]]]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(made), encoding="utf-8")
    (folder / "alerts.yml").write_text((MONITORING / "alerts.yml").read_text(encoding="utf-8"), encoding="utf-8")
    return folder / "prometheus.yml"


@contextmanager
def prometheus(folder: Path, targets: dict[str, str]) -> Iterator[str]:
    """Run Prometheus with our configuration; return its address once it scrapes."""
    command, port = program("prometheus", "prometheus"), free_port()
    address = f"http://127.0.0.1:{port}"
    arguments = [
        f"--config.file={configured(folder, targets)}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "prometheus.log").open("wb") as log, subprocess.Popen([command, *arguments], stderr=log) as process:
        try:
            # It begins to scrape five seconds after its start, independent of the interval.
            poll_until(lambda: len(scraped(address)) == len(targets), "Prometheus scrapes", 30)
            yield address
        finally:
            process.terminate()


def scraped(address: str) -> list[dict[str, Any]]:
    """Return the targets of a Prometheus; an empty list before it responds."""
    try:
        targets: list[dict[str, Any]] = json.loads(get(f"{address}/api/v1/targets"))["data"]["activeTargets"]
    except OSError:
        return []
    return targets


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A run of four seconds with three clients, scraped by a real Prometheus from before its start."""
    folder = tmp_path_factory.mktemp("watched")
    ports = {"PORT": free_port(), "PAGE_PORT": free_port()}
    targets = {"server": f"127.0.0.1:{ports['PORT']}", "collector": f"127.0.0.1:{ports['PAGE_PORT']}"}
    settings = {"CLIENTS": 3, "RATE": 400, "RECORDS": 1600, "KEEP": 1, "THRESHOLDS": "missing==0", **ports}
    with prometheus(folder, targets) as address, LocalRun(folder / "volumes", **settings) as run:
        found = Watched({name: f"http://{at}/metrics" for name, at in targets.items()}, address)
        run.wait_for_line("PASS", timeout=40)
        over = 'streamgauge_run_verdict{verdict="PASS"} == 1'
        poll_until(lambda: found.ask(over), "Prometheus knows the verdict", 10)
        yield found


@pytest.mark.parametrize("service", ["server", "collector"])
def test_metrics_are_clean(watched: Watched, service: str) -> None:
    """``promtool check metrics`` accepts names, units, types and help."""
    assert "" == output_of(program("promtool", "prometheus"), "check", "metrics", given=get(watched.endpoints[service]))


@pytest.mark.parametrize("service", ["server", "collector"])
def test_both_are_scraped(watched: Watched, service: str) -> None:
    """Prometheus accepts every scrape and drops no sample."""
    lines = get(watched.endpoints[service]).decode().splitlines()
    samples = len([line for line in lines if not line.startswith("#")])
    # A busy machine may miss a scrape, since the interval is also the deadline.
    poll_until(lambda: watched.ask(f'up{{job="{service}"}} == 1'), f"{service} is up", 10)
    taken = f'scrape_samples_post_metric_relabeling{{job="{service}"}} == {samples}'
    poll_until(lambda: watched.ask(taken), f"all {samples} samples are taken", 10)


@pytest.mark.parametrize("title", QUESTIONS)
def test_the_dashboard_has_answers(watched: Watched, title: str) -> None:
    """Every query of the dashboard gives a series with a number after a good run."""
    series = watched.ask(QUESTIONS[title])

    assert series
    assert "NaN" not in [one["value"][1] for one in series]


def test_figures_are_the_run_s(watched: Watched) -> None:
    """Prometheus has stored the delivered records: 1,600 for each of three clients."""
    (received,) = watched.ask("streamgauge_received_messages_total")
    (counted,) = watched.ask("streamgauge_latency_seconds_count")
    (late,) = watched.ask("histogram_quantile(0.5, rate(streamgauge_latency_seconds_bucket[1m]))")

    assert ("4800", "4800") == (received["value"][1], counted["value"][1])
    assert 0 < float(late["value"][1]) < 1


@pytest.mark.parametrize("alert", [rule["alert"] for rule in RULES])
def test_a_good_run_fires_nothing(watched: Watched, alert: str) -> None:
    """Prometheus evaluates every alert without an error, and none fires."""

    def is_quiet() -> bool:
        (rule,) = [one for one in watched.ask_rules() if one["name"] == alert]
        return (rule["health"], rule["state"]) == ("ok", "inactive")

    # A scrape missed on a busy machine may have made an alert pending.
    poll_until(is_quiet, f"{alert} is quiet", 10)


def test_the_configuration_is_valid() -> None:
    """``promtool`` accepts configuration and rules, and every alert fires exactly when it should."""
    promtool = program("promtool", "prometheus")
    output_of(promtool, "check", "config", str(MONITORING / "prometheus.yml"))
    # The secrets that it names are on no machine but a node of a swarm.
    output_of(promtool, "check", "config", "--syntax-only", str(MONITORING / "prometheus-swarm.yml"))
    output_of(promtool, "test", "rules", str(MONITORING / "alerts.test.yml"))
    played = yaml.safe_load((MONITORING / "alerts.test.yml").read_text(encoding="utf-8"))["tests"]
    fired = {test["alertname"] for case in played for test in case["alert_rule_test"] if test.get("exp_alerts")}

    assert {rule["alert"] for rule in RULES} == fired
