"""RATE=0 sends as fast as the clients read; records without a due time have no latency."""

from __future__ import annotations

from pathlib import Path

from tests.integration.processes import play


def test_flat_out_passes_without_a_latency(tmp_path: Path) -> None:
    """With RATE=0 every record arrives, faster than at the default rate; latency is null and transit is measured."""
    code, run = play(tmp_path, CLIENTS=3, RECORDS=20_000, RATE=0, BLOCK_SIZES=1000)
    assert 0 == code, run.text
    summary = run.volumes.summary()
    assert summary is not None
    assert (60_000, 60_000, 0) == (summary.totals.expected, summary.totals.received, summary.totals.residual)
    assert (None, None) == (summary.latency_ns.p50, summary.latency_ns.max)
    assert summary.transit_ns.p50 is not None
    assert all(client.latency_ns.p99 is None for client in summary.clients)
    assert summary.totals.messages_per_second is not None
    assert 3000 < summary.totals.messages_per_second
