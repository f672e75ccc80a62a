"""Tests of what the server tells Prometheus."""

from __future__ import annotations

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from services.server.metrics import ServerMetrics
from services.server.stream import Stream
from tests.unit.server.stand import StoppedClock, admitted, feed, new_run, refuse


def samples(stream: Stream) -> dict[str, float]:
    """Return every sample by its name, and label if it has one."""
    families = text_string_to_metric_families(ServerMetrics(stream).text())
    found = {}
    for family in families:
        assert family.documentation
        for sample in family.samples:
            found[sample.name + sample.labels.get("state", "")] = sample.value
    return found


def test_metrics_follow_the_state(tmp_path: Path) -> None:
    """The text parses as Prometheus' format, and every value is that of the state."""
    clock = StoppedClock()
    run = new_run(tmp_path, clock, rate=100)
    run.pace(100)
    stream = Stream(run, clock)
    admitted(stream, "client-1")
    admitted(stream, "client-2", after=50)
    admitted(stream, observe=True)
    clock.pass_seconds(0.095)
    stream.turn(0)
    _, blocked = admitted(stream, "client-3")
    blocked.blocked = True

    assert {
        "streamgauge_run_info": 1,
        "streamgauge_run_statewaiting": 0,
        "streamgauge_run_staterunning": 1,
        "streamgauge_run_statepaused": 0,
        "streamgauge_run_stateended": 0,
        "streamgauge_clients": 3,
        "streamgauge_observers": 1,
        "streamgauge_head_records": 10,
        "streamgauge_total_records": 6000,
        "streamgauge_lag_records": 10,
        "streamgauge_lateness_seconds": run.lateness.percentile(99) / 1e9 if run.lateness.count else 0,  # type: ignore[operator]
        "streamgauge_ledger_writable": 1,
        "streamgauge_sent_records_total": 20,
        "streamgauge_sent_bytes_total": 2 * len(feed().lines(1, 10)),
        "streamgauge_ledger_lines_total": run.ledger.lines,
    } == samples(stream)


def test_a_refusing_ledger_shows(tmp_path: Path) -> None:
    """A ledger that cannot be written is seen in the metrics."""
    clock = StoppedClock()
    stream = Stream(new_run(tmp_path, clock), clock)
    refuse(stream.run).full = True
    stream.run.pace(1)

    assert 0 == samples(stream)["streamgauge_ledger_writable"]


def test_the_run_is_named(tmp_path: Path) -> None:
    """Run and feed are labels of an info metric and of no other."""
    clock = StoppedClock()
    stream = Stream(new_run(tmp_path, clock), clock)
    text = ServerMetrics(stream).text()

    assert 1 == text.count(f'run="{stream.run.name}"')
    assert 1 == text.count(f'feed="{feed().identity}"')
