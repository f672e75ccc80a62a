"""Tests of what a run is asked by."""

from __future__ import annotations

from services.collector.verdict.check_types import DAMAGE
from services.collector.verdict.checks import CHECKS, FAILING
from services.collector.verdict.consistency import HARMLESS


def test_damage_is_never_harmless() -> None:
    """What damages a line is held against the log, by a check that fails the run."""
    assert not DAMAGE & HARMLESS
    assert "intact" in FAILING
    assert "intact" in CHECKS
