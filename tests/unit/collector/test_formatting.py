"""Tests of services/collector/formatting.py."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.collector import formatting
from services.contract.summary import Fault


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0, "0 ns"), (999, "999 ns"), (1_500, "1.5 µs"), (99_999, "100.0 µs"), (212_000, "0.2 ms"),
     (1_940_000, "1.9 ms"), (999_949_999, "999.9 ms"), (999_950_000, "1.0 s"),
     (30_000_000_000, "30.0 s"), (-5_000, "-5.0 µs")],
)  # fmt: skip
def test_durations_are_reported_in_their_unit(value: int | None, text: str) -> None:
    """A duration has the unit that suits it."""
    assert text == formatting.duration(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 B"), (None, "-"), (30_600_000, "30.6 MB"), (2_000_000_000, "2.0 GB"), (999_960, "1.0 MB")],
)
def test_sizes_are_reported_in_their_unit(value: int | None, text: str) -> None:
    """An amount of bytes has the unit that suits it."""
    assert text == formatting.size(value)


@pytest.mark.parametrize(("value", "text"), [(30_000, "30,000"), (0.5, "0.5"), (1234.56, "1,235"), (7.0, "7")])
def test_numbers_have_their_thousands_marked(value: float, text: str) -> None:
    """Large numbers are whole, small ones keep a decimal if they have one."""
    assert text == formatting.number(value)


def test_ranges_are_cut_after_a_few() -> None:
    """The first three ranges are listed and the others counted."""
    spans = [(1, 1), (3, 4), (6, 6), (8, 9), (11, 12)]

    assert "1, 3–4, 6 and 2 more ranges" == formatting.ranges(spans)
    assert "4,102–4,115" == formatting.ranges([(4102, 4115)])


def test_names_are_cut_after_a_few() -> None:
    """The first names are listed and the others counted."""
    assert "a, b and 1 more" == formatting.names(["a", "b", "c"], most=2)
    assert "1 client, 2 clients" == f"{formatting.several(1, 'client')}, {formatting.several(2, 'client')}"


@pytest.mark.parametrize(
    ("part", "whole", "text"), [(1, 1, "100.0 %"), (9_999_999, 10_000_000, "99.9 %"), (0, 5, "0.0 %"), (0, 0, "-")]
)
def test_a_share_is_never_rounded_up(part: int, whole: int, text: str) -> None:
    """Only a complete share is shown as 100 %."""
    assert text == formatting.percent(part, whole)


@pytest.mark.parametrize(("rate", "text"), [(None, "-"), (0.5, "0.5 msg/s"), (1234.6, "1,235 msg/s")])
def test_a_rate_has_its_unit(rate: float | None, text: str) -> None:
    """Small rates keep a decimal."""
    assert text == formatting.rate(rate)


@pytest.mark.parametrize(
    ("rate", "text"), [(None, ""), (0, "as fast as clients take them"), (200, "200 msg/s"), (0.5, "0.5 msg/s")]
)
def test_a_pace_is_reported(rate: float | None, text: str) -> None:
    """The rate at which records are due has no number without a schedule, and is empty in a pause."""
    assert text == formatting.pace(rate)


def test_a_moment_is_a_time_of_day() -> None:
    """A time is shown to the millisecond, in UTC."""
    assert "07:30:00.250 UTC" == formatting.moment("2026-11-22T07:30:00.250999Z")


def test_a_fault_is_one_line() -> None:
    """A fault has file and line, kind, client, seqs and detail."""
    found = Fault(file="f", line=3, kind="k", client=None, missing=(1, 2), detail="d")

    assert "f:3  k  -  seq 1-2  d" == formatting.fault(found)


def test_machines_read_seconds() -> None:
    """Seconds for machines have a decimal point and no thousands separators."""
    assert ("4321.001", "0.000") == (formatting.plain_seconds(4_321_000_900_000), formatting.plain_seconds(None))


@given(st.binary(min_size=1).filter(lambda name: b"\0" not in name))
def test_any_name_can_be_shown(name: bytes) -> None:
    """A file name of any bytes is shown as text without control characters, on one line."""
    shown = formatting.displayable(os.fsdecode(name))

    assert shown.isprintable()
    assert shown == shown.encode().decode()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("0001-0001 (copy).jsonl", "0001-0001 (copy).jsonl"),
        ("größer.jsonl", "größer.jsonl"),
        ("a\n20261128T000000Z  PASS", r"a\n20261128T000000Z  PASS"),
        ("\udcff", r"\xff"),
        ("\x1b]0;x\x07", r"\x1b]0;x\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("a\u202eb\u2028", r"a\u202eb\u2028"),
    ],
)
def test_what_would_not_be_shown_as_it_is_becomes_an_escape(name: str, shown: str) -> None:
    """Ordinary names stay as they are; controls, line separators, turns of direction and raw bytes do not."""
    assert shown == formatting.displayable(name)


@pytest.mark.parametrize(("value_ns", "expected"), [(None, "-"), (0, "1 read"), (1, "1 ns"), (2_500_000, "2.5 ms")])
def test_a_block_of_one_read_is_named(value_ns: int | None, expected: str) -> None:
    """The duration 0 of a block is shown as a block of one read, other durations as numbers."""
    assert expected == formatting.block_duration(value_ns)


def test_a_long_key_is_shown_by_its_beginning_and_its_end() -> None:
    """Keys that differ at the end only are shown differently, and short ones as they are."""
    long = [formatting.sequence('{"channel":"' + "x" * 700 + end + '"}') for end in ("north", "south")]

    assert "book|BTC" == formatting.sequence("book|BTC")
    assert [60, 60] == [len(shown) for shown in long]
    assert long[0].startswith('{"channel":"xxx')
    assert ["north", "south"] == [shown[-7:-2] for shown in long]
    assert r"a\n" == formatting.sequence("a\n")
