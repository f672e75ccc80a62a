"""Tests of services/collector/publish/web/prometheus.py."""

from __future__ import annotations

import msgspec
import pytest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from services.collector.publish.web import prometheus
from services.collector.publish.web.self_metrics import CollectorEffort
from services.collector.results.build import build_result
from services.collector.verdict.threshold_parser import parse
from services.contract.summary import Fault, Quantiles, Summary
from tests.builders.runs import fold, good_run, judged

BOOKS = fold(good_run())
MADE = judged(good_run(), parse("missing==0"))
EFFORT = CollectorEffort(lines=7, bytes=70, caught_up_at=100.0)


def exposed(made: Summary | None = MADE, now: float = 100.5) -> dict[str, Metric]:
    """Return the metric families of a summary by their names."""
    text = prometheus.expose(made, build_result(BOOKS, final=True).durations, EFFORT, now).decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def values(families: dict[str, Metric], name: str) -> dict[str, float]:
    """Return the values of a metric by the values of its labels."""
    return {" ".join(sample.labels.values()): sample.value for sample in families[f"streamgauge_{name}"].samples}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("run_verdict", {"PASS": 1, "FAIL": 0, "INVALID": 0}),
        ("run_threshold", {"missing==0": 1}),
        ("run_clients", {"running": 0, "finished": 2, "left": 0, "lost": 0}),
        ("received_messages", {"": 120}),
        ("expected_messages", {"": 120}),
        ("residual_messages", {"": 0}),
        ("faults", {"corrupt_block": 0, "inconsistent": 0, "unreadable": 0}),
        ("client_received_messages", {"client-1": 60, "client-2": 60}),
        ("client_missing_messages", {"client-1": 0, "client-2": 0}),
        ("collector_read_lines", {"": 7}),
        ("collector_read_bytes", {"": 70}),
        ("collector_behind_seconds", {"": 0.5}),
    ],
)
def test_the_summary_is_exposed(name: str, expected: dict[str, float]) -> None:
    """The numbers of the summary, and what the collector has read, are metrics."""
    assert expected == values(exposed(), name)


def test_every_cause_is_exposed() -> None:
    """Each cause has a value, even without missing messages."""
    assert {cause: 0 for cause in MADE.missing_by_cause.__struct_fields__ if cause != "not_seen"} == values(
        exposed(), "missing_messages"
    )


def test_every_percentile_is_exposed() -> None:
    """All quantiles of a duration in the summary are exposed, in seconds."""
    shown = MADE.latency_ns
    expected = {"0": shown.min, "50": shown.p50, "90": shown.p90, "95": shown.p95, "99": shown.p99, "99.9": shown.p99_9}
    found = values(exposed(), "latency_percentile_seconds")

    assert {name: value / 1e9 for name, value in [*expected.items(), ("100", shown.max)] if value} == found


def test_durations_are_exposed_in_buckets() -> None:
    """A histogram has every message in buckets from 50 µs to 20 s, and their sum."""
    samples = exposed()["streamgauge_latency_seconds"].samples
    bounds = [sample.labels["le"] for sample in samples if "le" in sample.labels]
    found = {sample.name.rpartition("_")[2]: sample.value for sample in samples if "le" not in sample.labels}

    assert ["5e-05", "0.0001", "0.0002"] == bounds[:3]
    assert ["10", "20", "+Inf"] == bounds[-3:]
    assert 120 == found["count"]
    assert pytest.approx(0.120, rel=0.2) == found["sum"]


def test_what_was_not_measured_is_not_exposed() -> None:
    """An open run has no check results, a single client no spread, and a run without a schedule no latency."""
    shown = msgspec.structs.replace(MADE, checks=[], thresholds=[], verdict=None, spread_ns=Quantiles())
    shown = msgspec.structs.replace(shown, clients=[msgspec.structs.replace(MADE.clients[0], latency_ns=Quantiles())])
    families = exposed(shown)

    assert {"PASS": 0, "FAIL": 0, "INVALID": 0} == values(families, "run_verdict")
    for name in ("run_check", "spread_percentile_seconds", "client_latency_p99_seconds"):
        assert {} == values(families, name)


def test_a_run_without_histograms_has_no_buckets() -> None:
    """A run whose logs were not read again only has the percentiles of its summary."""
    text = prometheus.expose(MADE, None, EFFORT, 0.0)

    assert b"streamgauge_latency_percentile_seconds{" in text
    assert b"_bucket" not in text


def test_without_a_run_there_are_process_metrics_only() -> None:
    """Before the first run only metrics of the process are exposed."""
    names = {
        line.split()[2] for line in prometheus.expose(None, None, None, 0.0).decode().splitlines() if line[0] == "#"
    }

    assert "process_cpu_seconds_total" in names
    assert all(name.startswith("process_") for name in names)


def test_damage_is_counted_by_kind() -> None:
    """Faults are counted by kind."""
    faults = [Fault(file="f", line=1, kind=kind, client=None, missing=None, detail="") for kind in "aba"]

    assert {"a": 2, "b": 1}.items() <= values(exposed(msgspec.structs.replace(MADE, faults=faults)), "faults").items()


def test_labels_are_bounded() -> None:
    """Clients beyond 200 share one label: counts are added, and the highest latency is taken."""
    client = MADE.clients[0]
    late = msgspec.structs.replace(client.latency_ns, p99=10**9)
    many = [msgspec.structs.replace(client, client=f"c{number}") for number in range(500)]
    many[-1] = msgspec.structs.replace(many[-1], latency_ns=late)
    families = exposed(msgspec.structs.replace(MADE, clients=many))
    received, latency = values(families, "client_received_messages"), values(families, "client_latency_p99_seconds")

    assert 201 == len(received) == len(latency)
    assert (300 * 60, 1.0) == (received[prometheus.OTHER], latency[prometheus.OTHER])
