"""Tests of how long a feed may be silent."""

from __future__ import annotations

import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from services.collector.evidence.external_evidence import ExternalIndexRow
from services.collector.evidence.numbers.arrival_times import ArrivalTimesOfBlock
from services.collector.results.silence_limit import (
    FACTOR,
    FLOOR_US,
    STEADY_FACTOR,
    STEADY_FLOOR_US,
    STEADY_US,
    FeedRhythm,
    rhythm,
    stopped,
)
from tests.builders.external_runs import evidence_of, log, message
from tests.builders.runs import START_US


def note(place: int, moments: list[int], connection: tuple[int, int] = (1, 1)) -> ExternalIndexRow:
    """Return the index row of a block whose messages were received at these times."""
    numbered_messages = (place, place + len(moments) - 1)
    return ExternalIndexRow(numbered_messages, max(moments), (), connection, arrivals=ArrivalTimesOfBlock.of(moments))


def test_intervals_within_and_between_blocks_count() -> None:
    """Intervals within and between blocks count; records with one time are one arrival."""
    assert FeedRhythm(60, 3, 40, 0, 60) == rhythm([note(1, [0, 0, 10]), note(4, [50, 60])])
    assert FeedRhythm(50, 2, 40, 0, 50) == rhythm([note(1, [0, 10]), note(3, [10, 50, 50]), note(6, [50])])


def test_an_absence_is_no_interval() -> None:
    """The time between two connections, two sessions or around damage is no interval."""
    for later in (note(3, [900, 910], (1, 2)), note(1, [900, 910], (2, 1)), note(5, [900, 910])):
        assert FeedRhythm(910, 2, 10, 0, 910) == rhythm([note(1, [0, 10]), later])


def test_without_a_time_there_is_no_arrival() -> None:
    """A block without readable times has no arrivals, and there is no interval across it."""
    undated = ExternalIndexRow((3, 3), 0, ())

    assert FeedRhythm(90, 0, 0, 0, 90) == rhythm([note(1, [0, 0]), undated, note(4, [90])])
    assert FeedRhythm(None, 0, 0) == rhythm([])
    assert ArrivalTimesOfBlock.of([]) is None


def test_a_block_without_numbers_lies_within_an_interval() -> None:
    """A block whose messages have no number lies within the interval around it, and its messages are counted."""
    unnumbered = ExternalIndexRow((3, 5), 50, (), unnumbered=3)

    assert FeedRhythm(90, 1, 90, 0, 90) == rhythm([note(1, [0, 0]), unnumbered, note(6, [90])])
    assert FeedRhythm(0, 0, 0, 3) == rhythm([note(1, [0, 0]), unnumbered])


def test_the_limit_has_a_floor() -> None:
    """The limit is three times the longest interval, at least five seconds, and known from three intervals on."""
    assert FLOOR_US == FeedRhythm(0, 3, 10).limit_us
    assert FACTOR * 4_000_000 == FeedRhythm(0, 3, 4_000_000).limit_us
    assert (False, True) == (FeedRhythm(0, 2, 1).is_known, FeedRhythm(0, 3, 1).is_known)


def test_a_steady_feed_has_a_lower_limit() -> None:
    """With fifty intervals in two seconds the limit is two seconds, or ten times the longest interval, up to 5 s."""
    steady = FeedRhythm(0, 50, 10, active_us=STEADY_US)

    assert STEADY_FLOOR_US == steady.limit_us
    assert STEADY_FACTOR * 400_000 == steady._replace(longest_us=400_000).limit_us
    assert FLOOR_US == steady._replace(longest_us=500_001).limit_us
    assert FLOOR_US == steady._replace(intervals=49).limit_us
    assert FLOOR_US == steady._replace(active_us=STEADY_US - 1).limit_us


def test_silence_is_more_than_the_limit() -> None:
    """The operator's limit has precedence; without one an unknown rhythm counts as silence."""
    known, unknown = FeedRhythm(0, 3, 10), FeedRhythm(0, 2, 10)

    assert [False, True] == [known.is_silent(quiet, None) for quiet in (FLOOR_US, FLOOR_US + 1)]
    assert [False, True] == [unknown.is_silent(quiet, 1) for quiet in (1_000_000, 1_000_001)]
    assert unknown.is_silent(0, None)


@given(
    st.lists(st.integers(0, 50), min_size=1, max_size=40), st.integers(1, 9), st.integers(1, 9),
    st.randoms(use_true_random=False),
)  # fmt: skip
def test_neither_blocks_nor_the_order_of_reading_matter(
    places: list[int], size: int, other_size: int, dice: random.Random
) -> None:
    """The rhythm does not depend on how records are cut into blocks, nor on the order of reading."""
    records = [message(None, place) for place in sorted(places)]
    moments = sorted(set(places))
    longest = max((later - earlier for earlier, later in pairwise(moments)), default=0)
    found = []
    for parts in (size, other_size):
        ((source, lines),) = log("client-1", records, size=parts).items()
        blocks = lines[1:-1]
        dice.shuffle(blocks)
        made = evidence_of({source: [lines[0], *blocks, lines[-1]]})
        found.append(rhythm(made.logs["client-1"].external.rows()))

    assert found[0] == found[1]
    assert (len(moments) - 1, longest * 10_000) == (found[0].intervals, found[0].longest_us)


@given(
    st.lists(st.tuples(st.integers(0, 50), st.sampled_from("ab")), min_size=2, max_size=40),
    st.integers(1, 9), st.integers(1, 9), st.randoms(use_true_random=False),
)  # fmt: skip
def test_the_arrivals_of_a_key_do_not_depend_on_blocks(
    places: list[tuple[int, str]], size: int, other_size: int, dice: random.Random
) -> None:
    """The arrivals of each sequence depend neither on how records are cut into blocks, nor on the order of reading."""
    records = [message(seq, place, key=key) for seq, (place, key) in enumerate(sorted(places), 1)]
    found = []
    for parts in (size, other_size):
        ((source, lines),) = log("client-1", records, size=parts, key="$.key").items()
        blocks = lines[1:-1]
        dice.shuffle(blocks)
        made = evidence_of({source: [lines[0], *blocks, lines[-1]]})
        found.append({key: course.arrivals for key, course in made.logs["client-1"].external.courses().items()})

    expected = {
        key: ArrivalTimesOfBlock.of(START_US + 10_000 * place for place, of in places if of == key)
        for key in {of for _, of in places}
    }
    assert expected == found[0] == found[1]


def test_an_absence_is_no_interval_of_a_key() -> None:
    """Of arrivals over two connections the interval between them does not count."""
    one, other = ArrivalTimesOfBlock(0, 10, 10, 2), ArrivalTimesOfBlock(500, 520, 20, 2)

    assert ArrivalTimesOfBlock(0, 520, 20, 4) == one.joined(other, is_continued=False)
    assert ArrivalTimesOfBlock(0, 520, 490, 4) == one.joined(other, is_continued=True)


def test_the_longest_silence_comes_first() -> None:
    """The sequence with the longest silence comes first, and sequences without known arrivals are left out."""
    arrivals: dict[str | None, ArrivalTimesOfBlock | None] = {"c": None}
    for key, last_s in (("a", 9), ("b", 8)):
        arrivals[key] = ArrivalTimesOfBlock(0, last_s * 1_000_000, 100_000, 100)

    found = stopped(arrivals, 20_000_000, None)

    assert [("b", 12_000_000), ("a", 11_000_000)] == [(one.key, one.quiet_us) for one in found]
