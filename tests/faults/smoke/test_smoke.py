"""A few faults into one small stack of real containers."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.faults.containers import plan
from tests.faults.containers.play import play_all
from tests.faults.containers.report import table, totals
from tests.faults.tally import Tally

pytestmark = [pytest.mark.containers, pytest.mark.slow]


def test_nothing_is_lost_under_a_little_fire(folder: Path, engine: None, seed: int, tally: Tally) -> None:
    """Ten faults strike a stack of three clients, and every record is logged exactly once."""
    began = time.monotonic()
    (outcome,) = play_all(plan.smoke(seed), folder, seed, tally)
    print(f"{table(tally)}\n{totals(tally, [outcome], seed, time.monotonic() - began)}")
    outcome.assert_held()
    assert 10 == len(tally.faults)
