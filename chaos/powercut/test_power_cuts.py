"""A thousand power cuts of real client processes: what was receipted is on the disk, and the books close."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from chaos.powercut.campaign import assert_nothing_lost, campaign, conclude
from chaos.tally import Tally

pytestmark = pytest.mark.slow


def test_a_receipt_survives_every_power_cut(
    tmp_path: Path, seed: int, tally: Tally, capsys: pytest.CaptureFixture[str]
) -> None:
    """With FSYNC=block no receipted message is missing after any power cut, and every record stands exactly once."""
    began, quota = time.monotonic(), 1000
    found = campaign(tmp_path, seed, "block", quota)
    conclude(found, tally, began, capsys)
    assert_nothing_lost(found)
    # Else the worst was not tried: a block that was lost, and one behind it that was not.
    assert quota / 50 <= sum(cut.left.overtaken for cut in found.cuts)


def test_a_receipt_survives_power_cuts_between_syncs(
    tmp_path: Path, seed: int, tally: Tally, capsys: pytest.CaptureFixture[str]
) -> None:
    """With FSYNC=interval receipts follow the sync: what a power cut takes was not receipted, and comes again."""
    began, quota = time.monotonic(), 150
    found = campaign(tmp_path, seed, "interval", quota)
    conclude(found, tally, began, capsys)
    assert_nothing_lost(found)
    assert any(cut.left.lost for cut in found.cuts)


def test_what_is_lost_without_a_sync_is_named(
    tmp_path: Path, seed: int, tally: Tally, capsys: pytest.CaptureFixture[str]
) -> None:
    """With FSYNC=none a power cut may take what was receipted: it comes again, or the summary names it."""
    began, quota = time.monotonic(), 60
    found = campaign(tmp_path, seed, "none", quota)
    conclude(found, tally, began, capsys)
    assert (0, 0, True) == (found.unexplained, found.twice, found.is_true), [made.reasons for made in found.summaries]
    for made in found.summaries:
        assert "FAIL" == made.verdict or not made.totals.missing
    # Else this level would promise more than it says.
    assert found.lacking
