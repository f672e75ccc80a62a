"""Tests of services/collector/verdict/check_types.py."""

from __future__ import annotations

from services.collector.verdict.check_types import DAMAGE
from services.collector.verdict.checks import CHECKS, FAILING
from services.collector.verdict.consistency import HARMLESS


def test_damage_is_never_harmless() -> None:
    """Every kind of damage to a line is a fault that another check than `books closed` reports."""
    assert not DAMAGE & HARMLESS
    assert "intact" in FAILING
    assert "intact" in CHECKS
