"""Asserts that a figure is known: summaries of external feeds lack some figures, those of our own feed have all."""

from __future__ import annotations

from typing import TypeVar

Value = TypeVar("Value")


def known(value: Value | None) -> Value:
    """Return a figure; fail the test if it is null."""
    assert value is not None, "a figure is null although the run has a ledger"
    return value
