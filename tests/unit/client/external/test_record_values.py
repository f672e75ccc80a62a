"""Tests of reading a sender's time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.client.external.record_values import UNITS, epoch_ns

NS = 1_795_332_600_123_456_000


@pytest.mark.parametrize(
    "value",
    [
        NS,
        NS // 1000,
        str(NS // 1000),
        "2026-11-22T07:30:00.123456Z",
        "2026-11-22T08:30:00.123456+01:00",
    ],
)
def test_usual_forms_are_understood(value: object) -> None:
    """Nanoseconds, microseconds and RFC 3339 give the same time, as a number or as a text."""
    assert NS == epoch_ns(value)


@pytest.mark.parametrize(("value", "expected"), [(1_795_332_600_123, 123), (1_795_332_600, 0), ("1795332600.5", 500)])
def test_the_size_shows_the_unit(value: object, expected: int) -> None:
    """Milliseconds and seconds, with fractions too, are distinguished by the size of the number."""
    assert NS // 10**9 * 10**9 + expected * 1_000_000 == epoch_ns(value)


@given(st.integers(1_000_000_000, 4_000_000_000), st.sampled_from(sorted(UNITS)))
def test_a_unit_that_is_named_counts(seconds: int, unit: str) -> None:
    """A number with a given unit is read in that unit."""
    assert seconds * 10**9 == epoch_ns(seconds * 10**9 // UNITS[unit], unit)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        [],
        {},
        "soon",
        "2026-11-22T07:30:00",
        -1,
        0,
        float("nan"),
        float("inf"),
        10**30,
        "",
        10**400,
        "9" * 400,
    ],
)
def test_what_is_no_time_gives_none(value: object) -> None:
    """A value that is not a time gives None, without an error."""
    assert epoch_ns(value) is None
