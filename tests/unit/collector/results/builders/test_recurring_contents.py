"""Tests of services/collector/results/builders/recurring_contents.py."""

from __future__ import annotations

import random
from array import array
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.collector.evidence.comparison.unnumbered_records import ConnectionContents
from services.collector.results.builders import recurring_contents
from services.collector.results.run_result import RecurringDifference
from tests.builders.runs import START_US

STEP_US = 10_000
COUNT = 1000
UNTIL_US = START_US + COUNT * STEP_US


def connection(records: Sequence[tuple[int, int]], size: int = 25) -> ConnectionContents:
    """Return a connection over which contents came at times, microseconds from the start, in blocks."""
    digests = array("I", [content for _, content in records])
    times = [START_US + at_us for at_us, _ in records]
    ends = [*range(size, len(records), size), len(records)]
    blocks = tuple((number, end, times[end - 1]) for number, end in enumerate(ends, 1))
    return ConnectionContents((1, 1), times[0], times[-1], digests, array("H", [0] * len(records)), blocks)


def stream(period: int, lost: Sequence[int] = (), late_us: int = 0) -> list[tuple[int, int]]:
    """Return a stream of contents that recur after ``period`` records, without those that were lost."""
    return [(at * STEP_US + late_us, at % period) for at in range(COUNT) if at not in lost]


def compared(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> RecurringDifference:
    """Return what the first of two clients lacks."""
    return recurring_contents.compared(connection(one), connection(other), UNTIL_US, ("one", "other"))


@given(st.integers(1, 13), st.integers(0, 400_000), st.integers(0, 400))
def test_the_same_stream_is_no_difference(period: int, late_us: int, joined: int) -> None:
    """A client that joins later, or receives everything later, differs in nothing."""
    early = stream(period)[joined:]
    late = stream(period, late_us=late_us)

    for one, other in ((early, late), (late, early)):
        found = compared(one, other)
        assert (0, 0) == (found.fewer, found.out_of_turn)
        assert found.chance < found.records


@pytest.mark.parametrize("period", [1, 2, 3, 13])
@pytest.mark.parametrize("lost", [range(1, COUNT, 2), range(400, 600), range(500, COUNT)])
def test_many_lost_records_are_noticed(period: int, lost: range) -> None:
    """Every second record, a part in the middle and all from the middle on are missed, whatever recurs."""
    found = compared(stream(period, lost), stream(period))

    assert found.fewer == pytest.approx(len(lost), rel=0.15)
    assert 0 == compared(stream(period), stream(period, lost)).fewer


@given(st.integers(2, 13), st.integers(200, 900), st.integers(1, 12))
def test_a_lost_record_is_out_of_turn(period: int, at: int, count: int) -> None:
    """Each place where contents do not recur in their turn is counted, unless whole turns are lost."""
    found = compared(stream(period, range(at, at + count)), stream(period))

    assert int(count % period != 0) == found.out_of_turn
    assert 0 == compared(stream(period), stream(period, range(at, at + count))).out_of_turn


@given(st.randoms(use_true_random=False), st.booleans())
def test_timers_of_each_connection_are_no_difference(dice: random.Random, is_alone: bool) -> None:
    """Heartbeats at times of their own, alone or between the records of one stream, differ by chance."""

    def beats() -> list[tuple[int, int]]:
        at_us, found = dice.randrange(100_000), []
        while at_us < COUNT * STEP_US:
            found.append((at_us, 99))
            at_us += dice.randrange(50_000, 150_000)
        return found

    one, other = (sorted([*beats(), *([] if is_alone else stream(2))]) for _ in range(2))

    for first, second in ((one, other), (other, one)):
        assert (0, 0) == (compared(first, second).fewer, compared(first, second).out_of_turn)


def test_a_short_time_is_not_compared() -> None:
    """Less than two seconds show no difference of counts."""
    one, other = connection(stream(1)[::2]), connection(stream(1))

    assert 0 == recurring_contents.compared(one, other, START_US + 1_500_000, ("one", "other")).records
