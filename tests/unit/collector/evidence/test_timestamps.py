"""Tests of services/collector/evidence/timestamps.py."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.collector.evidence.timestamps import TimestampReader, ascending_us, bounded, corrected, moment
from services.contract.scalars import MAX_INTEGER, utc_text, utc_us
from tests.builders.runs import START_US


def test_a_moment_is_read() -> None:
    """A time of a line is parsed to microseconds."""
    assert 1_795_332_600_000_001 == moment("2026-11-22T07:30:00.000001Z")


@pytest.mark.parametrize("text", ["", "yesterday", "2026-11-22T07:30:00"])
def test_what_is_no_time_is_none(text: str) -> None:
    """A text without a time or without a time zone has no timestamp."""
    assert moment(text) is None


@pytest.mark.parametrize(
    ("at_us", "expected"), [(-1, 0), (7, 7), (10**300, MAX_INTEGER), (MAX_INTEGER + 1, MAX_INTEGER)]
)
def test_a_wild_clock_is_bounded(at_us: int, expected: int) -> None:
    """Timestamps of any clock stay within the integers that JSON readers keep exact."""
    assert expected == bounded(at_us)


@pytest.mark.parametrize(
    ("offset_us", "expected"),
    [(0, [1, 9]), (5, [6, 14]), (-4, [0, 5]), (MAX_INTEGER, [MAX_INTEGER, MAX_INTEGER])],
)
def test_stamps_are_corrected(offset_us: int, expected: list[int]) -> None:
    """All timestamps are corrected by the offset, and clamped."""
    moments, ordered = corrected({"late": 9, "early": 1}, offset_us)

    assert {"early": expected[0], "late": expected[1]} == moments
    assert expected == ordered


@given(st.lists(st.integers(0, 4 * 10**15), max_size=9))
def test_stamps_are_read_as_any_time_is(moments: list[int]) -> None:
    """Times within a second and across seconds are parsed to the same values as by `utc_us`."""
    texts = [utc_text(at_us) for at_us in [*moments, *[at_us + 1 for at_us in moments]]]

    assert {text: utc_us(text) for text in texts} == TimestampReader().read(texts)


def test_a_stamp_in_another_form_is_read_as_well() -> None:
    """Times with fewer digits or another zone are parsed, also within the second of the time before."""
    texts = [utc_text(1_000_001), "1970-01-01T00:00:01.5Z", "1970-01-01T02:00:01.000002+02:00"]

    assert [1_000_001, 1_500_000, 1_000_002] == list(TimestampReader().read(texts).values())


def test_what_is_no_stamp_is_refused() -> None:
    """A text that is no time raises an error."""
    with pytest.raises(ValueError, match="yesterday"):
        TimestampReader().read(["yesterday"])


CHANGED_TIMES = st.builds(
    lambda at_us, place, other: (text := utc_text(at_us))[:place] + other + text[place + 1 :],
    st.integers(START_US, START_US + 2_000_000),
    st.integers(0, 27),
    st.sampled_from(["", "0", "9", "Z", "\n", ",", "٣", "Z\n2026"]),
)
TIMES = st.lists(st.builds(utc_text, st.integers(START_US, START_US + 3_000_000)), max_size=20)


def ordinary_us(text: str) -> int | None:
    """Return the epoch microseconds of one text, None if it is not a time."""
    try:
        return utc_us(text)
    except ValueError:
        return None


@given(TIMES.map(sorted))
def test_ascending_times_are_parsed_together(texts: list[str]) -> None:
    """Times in the form of `utc_text` that ascend are parsed, also of several seconds."""
    assert list(map(utc_us, texts)) == ascending_us(texts)


@given(TIMES, st.lists(CHANGED_TIMES, max_size=2), st.randoms(use_true_random=False))
def test_times_that_are_parsed_together_are_those_of_each(
    texts: list[str], changed: list[str], dice: random.Random
) -> None:
    """Whatever the texts are, the result is None, or the times of all of them in ascending order."""
    mixed = [*texts, *changed]
    dice.shuffle(mixed)
    for order in (mixed, sorted(mixed)):
        times = ascending_us(order)

        assert times is None or times == sorted(times) == [ordinary_us(text) for text in order]


@given(TIMES, st.lists(CHANGED_TIMES, min_size=1, max_size=3), st.randoms(use_true_random=False))
def test_a_time_does_not_depend_on_the_times_before_it(
    texts: list[str], changed: list[str], dice: random.Random
) -> None:
    """A `TimestampReader` reads and refuses each text as if it were the only one."""
    mixed = [*texts, *changed]
    dice.shuffle(mixed)
    reader = TimestampReader()
    for text in mixed:
        try:
            read = reader.read([text])[text]
        except ValueError:
            assert ordinary_us(text) is None
        else:
            assert ordinary_us(text) == read
