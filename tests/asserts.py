"""What must be known: a figure that a summary has of every run of our own feed, and of a foreign one perhaps not."""

from __future__ import annotations

from typing import TypeVar

Value = TypeVar("Value")


def known(value: Value | None) -> Value:
    """Return a figure; one that is null fails the test."""
    assert value is not None, "a figure is null in a run whose books have both sides"
    return value
