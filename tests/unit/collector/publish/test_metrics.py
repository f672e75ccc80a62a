"""Tests of services/collector/publish/metrics.py."""

import msgspec

from services.collector.publish import metrics
from tests.unit.collector.books_factory import good_run, judged

MADE = judged(good_run())


def test_a_summary_becomes_metrics() -> None:
    """Totals, verdict, causes, quantiles and clients are told."""
    text = metrics.expose(MADE).decode()

    for line in (
        "streamgauge_received 120.0",
        'streamgauge_verdict{verdict="PASS"} 1.0',
        'streamgauge_verdict{verdict="FAIL"} 0.0',
        'streamgauge_missing{cause="never_sent"} 0.0',
        'streamgauge_client_received{client="client-1"} 60.0',
    ):
        assert line in text.splitlines()
    assert 'streamgauge_latency_seconds{quantile="0.99"} 0.001' in text


def test_no_run_has_no_metrics() -> None:
    """Before the first run there is nothing to tell."""
    assert b"" == metrics.expose(None)


def test_labels_are_bounded() -> None:
    """Beyond 200 clients the rest is one."""
    client = MADE.clients[0]
    many = [msgspec.structs.replace(client, client=f"c{number}") for number in range(500)]
    lines = metrics.expose(msgspec.structs.replace(MADE, clients=many)).decode().splitlines()

    assert 201 == len([line for line in lines if line.startswith("streamgauge_client_received{")])
    assert 'streamgauge_client_received{client="other"} 18000.0' in lines
