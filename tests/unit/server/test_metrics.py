"""Tests of the server's Prometheus metrics."""

from __future__ import annotations

import inspect
from operator import itemgetter
from pathlib import Path
from typing import get_args

import pytest
from prometheus_client.parser import text_string_to_metric_families

from services.contract import ledger
from services.contract.wire import State
from services.server.connections.refusals import RefusalCause
from services.server.metrics import ServerMetrics
from services.server.streaming.stream import Stream
from tests.unit.server.fakes import StoppedClock, admitted, feed, new_run, replace_disk


def samples(metrics: ServerMetrics) -> dict[str, float]:
    """Return the samples of this project by name and label; of a histogram its count and sum."""
    found = {}
    for family in text_string_to_metric_families(metrics.text()):
        assert family.documentation
        for sample in family.samples:
            if sample.name.startswith("streamgauge_") and not sample.name.endswith("_bucket"):
                labels = "" if sample.name.endswith("_info") else "".join(sample.labels.values())
                found[sample.name.removeprefix("streamgauge_") + (labels and f":{labels}")] = sample.value
    return found


def buckets(metrics: ServerMetrics, name: str) -> dict[str, float]:
    """Return the buckets of a histogram by their bound."""
    families = {family.name: family for family in text_string_to_metric_families(metrics.text())}
    return {sample.labels["le"]: sample.value for sample in families[name].samples if sample.name.endswith("_bucket")}


def test_metrics_follow_the_state(tmp_path: Path) -> None:
    """The text is in Prometheus' format, and every value is that of the state."""
    clock = StoppedClock()
    run = new_run(tmp_path, clock, rate=100)
    run.set_rate(100)
    stream = Stream(run, clock)
    admitted(stream, "client-1")
    admitted(stream, "client-2", after=50)
    admitted(stream, observe=True)
    clock.pass_seconds(0.095)
    stream.serve_all(0)
    _, blocked = admitted(stream, "client-3")
    blocked.is_blocked, blocked.buffered = True, 700
    found = samples(ServerMetrics(stream))
    took, late = found.pop("ledger_sync_duration_seconds_sum"), found.pop("lateness_seconds_sum")

    assert {
        "run_info": 1,
        "server_info": 1,
        **{f"run_state:{state}": float(state == "running") for state in get_args(State)},
        "run_records": 6000,
        "paced_records_per_second": 100,
        "due_records_total": 10,
        "lateness_seconds_count": 1,
        "clients": 3,
        "observers": 1,
        **{f"refusals_total:{cause}": 0 for cause in get_args(RefusalCause)},
        "lag_records": 10,
        "buffered_bytes": 700,
        "sent_records_total": 20,
        "sent_bytes_total": 2 * len(feed().lines(1, 10)),
        "receipts_total:matched": 0,
        "receipts_total:mismatched": 0,
        **{f"gone_clients:{cause}": 0 for cause in get_args(ledger.Cause)},
        "subscriptions_total": 3,
        "ledger_lines_total": run.ledger.line_count,
        "ledger_writable": 1,
        "ledger_waiting_lines": 0,
        "ledger_sync_duration_seconds_count": 1,
        "event_loop_lag_seconds_count": 0,
        "event_loop_lag_seconds_sum": 0,
    } == found
    assert 0 < took < 10
    assert 0.085 == pytest.approx(late, rel=0.004)


def test_queries_write_nothing(tmp_path: Path) -> None:
    """A scrape and the reading of every property leave ledger and state unchanged, even when a stage is due."""
    clock = StoppedClock()
    run = new_run(tmp_path, clock, rate="10:2s,1000:1s,pause:1s,5")
    stream = Stream(run, clock)
    subscription, _ = admitted(stream)
    run.start()
    clock.pass_seconds(2.5)
    queried = (run, run.recorded, run.schedule, run.recorded.progress, run.ledger, subscription, stream)
    before = run.ledger.path.read_bytes(), list(run.schedule.segments), repr(run.recorded.clients)
    for item in queried:
        for name, member in inspect.getmembers(type(item)):
            if isinstance(member, property):
                getattr(item, name)
    run.status()
    run.welcome()
    ServerMetrics(stream).text()

    assert before == (run.ledger.path.read_bytes(), run.schedule.segments, repr(run.recorded.clients))
    assert run.advance() > 20
    assert len(before[1]) + 1 == len(run.schedule.segments)


def test_a_paused_run_has_rate_0(tmp_path: Path) -> None:
    """During a pause the rate is 0."""
    clock = StoppedClock()
    stream = Stream(new_run(tmp_path, clock, rate=100), clock)
    stream.run.set_rate(100)
    stream.run.set_rate(None)

    assert (0, 1) == itemgetter("paced_records_per_second", "run_state:paused")(samples(ServerMetrics(stream)))


def test_receipts_and_ended_subscriptions_are_counted(tmp_path: Path) -> None:
    """A receipt counts once, by its digest, and a client that left by its cause."""
    clock = StoppedClock()
    stream = Stream(new_run(tmp_path, clock), clock)
    session, _ = admitted(stream)
    for block, match in ((1, True), (2, True), (2, True), (3, False)):
        stream.run.append(
            ledger.ReceiptEntry(
                at=stream.run.at(), client="client-1", session=1, fence=1, block=block, first=block, last=block,
                count=1, digest="x00000000", match=match,
            )
        )  # fmt: skip
    session.cause = "slow"
    session.leave()
    found = samples(ServerMetrics(stream))

    assert (2, 1) == itemgetter("receipts_total:matched", "receipts_total:mismatched")(found)
    assert (0, 1, 0) == itemgetter("clients", "gone_clients:slow", "gone_clients:bye")(found)


def test_event_loop_lag(tmp_path: Path) -> None:
    """The lag of the event loop is a histogram with bounds from 50 µs on."""
    clock = StoppedClock()
    metrics = ServerMetrics(Stream(new_run(tmp_path, clock), clock))
    for seconds in (-0.000001, 0.00003, 0.0004, 30):
        metrics.add_loop_lag(seconds)
    found = buckets(metrics, "streamgauge_event_loop_lag_seconds")

    assert ["5e-05", "0.0001"] == list(found)[:2]
    assert (2, 2, 3, 3, 4) == itemgetter("5e-05", "0.0002", "0.0005", "20", "+Inf")(found)


def test_the_process_is_measured(tmp_path: Path) -> None:
    """Processor time and memory have the names that Prometheus' clients use."""
    clock = StoppedClock()
    text = ServerMetrics(Stream(new_run(tmp_path, clock), clock)).text()

    assert {"process_cpu_seconds_total", "process_resident_memory_bytes"} <= {
        line.split()[0] for line in text.splitlines()
    }


def test_an_unwritable_ledger(tmp_path: Path) -> None:
    """A ledger that cannot be written is visible in the metrics."""
    clock = StoppedClock()
    stream = Stream(new_run(tmp_path, clock), clock)
    replace_disk(stream.run).is_full = True
    stream.run.set_rate(1)

    assert (0, 1) == itemgetter("ledger_writable", "ledger_waiting_lines")(samples(ServerMetrics(stream)))


def test_the_run_is_named(tmp_path: Path) -> None:
    """Run and feed are labels of one info metric only."""
    clock = StoppedClock()
    stream = Stream(new_run(tmp_path, clock), clock)
    text = ServerMetrics(stream).text()

    assert 1 == text.count(f'run="{stream.run.name}"')
    assert 1 == text.count(f'feed="{feed().identity}"')
