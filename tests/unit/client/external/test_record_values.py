"""Tests of reading a sender's time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.client.external.record_values import UNITS, epoch_ns, why_no_time

NS = 1_795_332_600_123_456_000


@pytest.mark.parametrize(
    "value",
    [
        NS,
        NS // 1000,
        str(NS // 1000),
        "2026-11-22T07:30:00.123456Z",
        "2026-11-22T08:30:00.123456+01:00",
        "2026-11-22 07:30:00.123456+00:00",
        "2026-11-22t07:30:00.123456z",
        "2026-11-22T07:30:00.123456000Z",
        "2026-11-22T07:30:00,123456+0000",
        "2026-11-22T07:30:00.123456 UTC",
        "2026-11-22T08:30:00.123456+01",
        "20261122-07:30:00.123456",
        "1795332600.123456",
        " 1795332600123.456 ",
        "1.795332600123456e+15",
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
        "2026-11-22T07:30:60Z",
        "2026-02-30T07:30:00Z",
        "22.11.2026 07:30:00",
        "0x6a1f",
        "-1795332600",
        "1795332600.",
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


def test_nine_decimals_are_exact() -> None:
    """Nanoseconds in a date or behind seconds are kept, and further digits cut."""
    assert NS + 789 == epoch_ns("2026-11-22T07:30:00.123456789Z")
    assert NS + 789 == epoch_ns("1795332600.1234567899")


def test_a_date_without_a_zone_is_a_time_where_the_operator_says_so() -> None:
    """With the unit utc a date without a zone is in UTC; one with a zone keeps it, and numbers keep their unit."""
    assert NS == epoch_ns("2026-11-22T07:30:00.123456", "utc")
    assert NS == epoch_ns("2026-11-22T08:30:00.123456+01:00", "utc")
    assert NS == epoch_ns(NS // 1000, "utc")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("soon", '"soon" at $.ts is no time'),
        (True, "true at $.ts is no time"),
        ("2026-11-22T07:30:00", "without a zone; FEED_TIME='$.ts utc' reads it in UTC"),
    ],
)
def test_a_value_that_is_no_time_is_explained(value: object, why: str) -> None:
    """The reason contains the value and its path, and the remedy if there is one."""
    assert why_no_time(value, "$.ts").endswith(why)


@given(st.integers(1_000_000_000, 4_000_000_000), st.integers(0, 10**9 - 1))
def test_seconds_with_decimals_are_read_exactly(seconds: int, nanoseconds: int) -> None:
    """A text of seconds with nine decimals is exact to the nanosecond."""
    assert seconds * 10**9 + nanoseconds == epoch_ns(f"{seconds}.{nanoseconds:09d}")
