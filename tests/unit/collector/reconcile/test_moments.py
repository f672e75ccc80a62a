"""Tests of services/collector/reconcile/moments.py."""

import pytest

from services.collector.reconcile.moments import bounded, moment
from services.contract.fields import MAX_INTEGER


def test_a_moment_is_read() -> None:
    """A time of a line is a moment in microseconds."""
    assert 1_795_332_600_000_001 == moment("2026-11-22T07:30:00.000001Z")


@pytest.mark.parametrize("text", ["", "yesterday", "2026-11-22T07:30:00"])
def test_what_is_no_time_is_none(text: str) -> None:
    """A text without a time, or without its zone, names no moment."""
    assert moment(text) is None


@pytest.mark.parametrize(
    ("at_us", "expected"), [(-1, 0), (7, 7), (10**300, MAX_INTEGER), (MAX_INTEGER + 1, MAX_INTEGER)]
)
def test_a_wild_clock_is_bounded(at_us: int, expected: int) -> None:
    """Whatever a clock says, every reader of JSON can take the moment."""
    assert expected == bounded(at_us)
