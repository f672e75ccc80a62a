"""A thousand power cuts of real client processes: every receipted record is on the disk, and the summary is exact."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from chaos.powercut.campaign import assert_nothing_lost, record_result, run_campaign
from chaos.tally import Tally

pytestmark = pytest.mark.slow


def test_a_receipt_survives_every_power_cut(
    tmp_path: Path, seed: int, tally: Tally, capsys: pytest.CaptureFixture[str]
) -> None:
    """With FSYNC=block no receipted message is missing after any power cut, and every record is logged exactly once."""
    began, quota = time.monotonic(), 1000
    result = run_campaign(tmp_path, seed, "block", quota)
    record_result(result, tally, began, capsys)
    assert_nothing_lost(result)
    # The worst case must have happened: a lost block in front of one that survived.
    assert quota / 50 <= sum(cut.effect.overtaken for cut in result.cuts)


def test_a_receipt_survives_power_cuts_between_syncs(
    tmp_path: Path, seed: int, tally: Tally, capsys: pytest.CaptureFixture[str]
) -> None:
    """With FSYNC=interval receipts follow the sync: records lost in a power cut had no receipt, and are sent again."""
    began, quota = time.monotonic(), 150
    result = run_campaign(tmp_path, seed, "interval", quota)
    record_result(result, tally, began, capsys)
    assert_nothing_lost(result)
    assert any(cut.effect.lost for cut in result.cuts)


def test_what_is_lost_without_a_sync_is_named(
    tmp_path: Path, seed: int, tally: Tally, capsys: pytest.CaptureFixture[str]
) -> None:
    """With FSYNC=none a power cut may lose receipted records: they are sent again, or the summary names them."""
    began, quota = time.monotonic(), 60
    result = run_campaign(tmp_path, seed, "none", quota)
    record_result(result, tally, began, capsys)
    reasons = [summary.reasons for summary in result.summaries]
    assert (0, 0, True) == (result.unexplained, result.twice, result.is_equal), reasons
    for summary in result.summaries:
        assert "FAIL" == summary.verdict or not summary.totals.missing
    # Some receipted records must have been lost, or this test would not have tried what FSYNC=none allows.
    assert result.receipted_lost
