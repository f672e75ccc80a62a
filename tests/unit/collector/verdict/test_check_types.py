"""Tests of what a run is asked by."""

from __future__ import annotations

from services.collector.reconcile.case import DAMAGE
from services.collector.reconcile.checks import CHECKS, FAILING
from services.collector.reconcile.closing import HARMLESS


def test_damage_is_never_harmless() -> None:
    """What damages a line is held against the log, by a check that fails the run."""
    assert not DAMAGE & HARMLESS
    assert "intact" in FAILING
    assert "intact" in CHECKS
