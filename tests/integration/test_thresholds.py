"""Thresholds that the operator sets contribute to the verdict."""

from __future__ import annotations

from pathlib import Path

from services.contract.summary import decode
from tests.integration.conftest import GoodRun
from tests.integration.processes import Process, play

FAIL = 99


def test_a_threshold_that_does_not_hold_fails_the_run(tmp_path: Path) -> None:
    """A threshold that is exceeded makes a complete run FAIL, with the measured value."""
    code, run = play(tmp_path, CLIENTS=2, RECORDS=500, RATE=0, THRESHOLDS="missing==0, transit.p99<1ns")
    assert FAIL == code, run.text
    summary = run.volumes.summary()
    assert summary is not None
    assert ("FAIL", 0, 0) == (summary.verdict, summary.totals.missing, summary.totals.residual)
    assert [("missing==0", True), ("transit.p99<1ns", False)] == [
        (threshold.expression, threshold.ok) for threshold in summary.thresholds
    ]
    assert summary.headline.startswith("threshold transit.p99<1ns does not hold: measured")


def test_thresholds_that_hold_pass(good_run: GoodRun) -> None:
    """Thresholds that hold do not change the verdict and show the measured value; ``verify`` evaluates them as well."""
    limits = "received==10000, duplicates{client:*}==0, rate>1, latency{client:client-3}.p(99.9)<60s, block.p95<60s"
    with Process("services.collector", "verify", "--json", str(good_run.volumes.root), THRESHOLDS=limits) as audit:
        assert 0 == audit.wait(), audit.text
    summary = decode(audit.text.encode())
    assert "PASS" == summary.verdict
    assert [True] * 5 == [threshold.ok for threshold in summary.thresholds]
    assert all(threshold.measured is not None for threshold in summary.thresholds)
