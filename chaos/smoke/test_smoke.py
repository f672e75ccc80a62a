"""A minute of faults: a few of each into real containers, and a few power cuts."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from chaos.containers import plan
from chaos.containers.campaign import play_all
from chaos.containers.report import table, totals
from chaos.powercut.campaign import assert_nothing_lost, campaign, conclude
from chaos.tally import Tally


@pytest.mark.containers
@pytest.mark.slow
def test_nothing_is_lost_under_a_little_fire(folder: Path, engine: None, seed: int, tally: Tally) -> None:
    """Ten faults strike a stack of three clients, and every record is logged exactly once."""
    began = time.monotonic()
    (outcome,) = play_all(plan.smoke(seed), folder, seed, tally)
    print(f"{table(tally)}\n{totals(tally, [outcome], seed, time.monotonic() - began)}")
    outcome.assert_held()
    assert 10 == len(tally.faults)


@pytest.mark.slow
def test_receipts_survive_a_few_power_cuts(
    tmp_path: Path, seed: int, tally: Tally, capsys: pytest.CaptureFixture[str]
) -> None:
    """Thirty power cuts of real client processes take nothing that was receipted, and the run passes."""
    began = time.monotonic()
    found = campaign(tmp_path, seed, "block", 30, total=2000)
    conclude(found, tally, began, capsys)
    assert_nothing_lost(found)
    assert 30 <= len(tally.faults)
