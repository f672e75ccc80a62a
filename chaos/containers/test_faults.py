"""Injects every kind of fault into real containers, many of them overlapping: no record may be lost."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from chaos.containers import plan
from chaos.containers.campaign import run_all
from chaos.containers.report import counts, table, totals
from chaos.tally import Tally

pytestmark = [pytest.mark.containers, pytest.mark.slow]

FAULTS, OF_EACH_KIND, OVERLAPPING = 300, 10, 0.2


@pytest.mark.skipif(os.environ.get("FAULT_TIER") == "smoke", reason="the smoke tier has a test of its own")
def test_nothing_is_lost_under_fire(
    folder: Path, engine: None, seed: int, tally: Tally, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three hundred faults of every kind are injected into three stacks, and every record is logged exactly once."""
    minutes = float(os.environ.get("SOAK") or 0)
    with capsys.disabled():
        until = time.monotonic() + 60 * minutes
        for number in count(seed):
            with note_on_error(f"seed of this plan: FAULT_SEED={number}"):
                run_plan(folder, number, tally)
            if time.monotonic() >= until:
                break
    assert FAULTS <= len(tally.faults)
    assert {} == {kind: times for kind, times in counts(tally).items() if times < OF_EACH_KIND}
    assert OVERLAPPING <= sum(fault.beside for fault in tally.faults) / len(tally.faults)


@contextlib.contextmanager
def note_on_error(note: str) -> Iterator[None]:
    """Attach a note to an exception."""
    try:
        yield
    except Exception as problem:
        problem.add_note(note)
        raise


def run_plan(folder: Path, seed: int, tally: Tally) -> None:
    """Run the full plan once, print and check the outcome, and empty the folder."""
    began = time.monotonic()
    print(f"\nseed {seed}")
    outcomes = run_all(plan.full(seed), folder, seed, tally)
    print(f"{table(tally)}\n{totals(tally, outcomes, seed, time.monotonic() - began)}")
    for outcome in outcomes:
        outcome.assert_all_delivered()
        shutil.rmtree(folder / outcome.stack_plan.name)
