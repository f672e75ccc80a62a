"""Tests of services/collector/evidence/timing.py."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from services.collector.evidence.timing import GapEdges
from services.contract.rangeset import RangeSet

spans = st.tuples(st.integers(1, 60), st.integers(0, 8)).map(lambda pair: (pair[0], pair[0] + pair[1]))


def edges(every: list[tuple[int, int]]) -> GapEdges:
    """Return the edges of these ranges; every seq was received at ten times its number."""
    made = GapEdges()
    for first, last in every:
        made.add(first, last, first * 10, last * 10)
    return made


def test_both_sides_of_a_gap_are_known() -> None:
    """A gap has the times of the last message before it and of the first one after it."""
    assert (30, 60) == edges([(1, 3), (6, 9)]).around(4, 5)


def test_beyond_both_ends_nothing_is_known() -> None:
    """A gap at the beginning or the end has only one time."""
    assert (None, 20) == edges([(2, 5)]).around(1, 1)
    assert (50, None) == edges([(2, 5)]).around(6, 9)


@given(st.lists(spans, max_size=20).flatmap(st.permutations))
def test_every_gap_has_its_edges(every: list[tuple[int, int]]) -> None:
    """For any order of ranges, also overlapping and repeated ones, both edges of every gap have times."""
    made, logged = edges(every), RangeSet(every)

    for (_, before), (after, _) in pairwise(logged.spans()):
        assert (before * 10, after * 10) == made.around(before + 1, after - 1)


def test_of_several_moments_the_earliest_counts() -> None:
    """If a message is in two blocks, the earlier time counts."""
    made = GapEdges()
    made.add(1, 3, 10, 31)
    made.add(3, 3, 30, 30)
    made.add(5, 6, 51, 60)
    made.add(5, 5, 50, 50)

    assert (30, 50) == made.around(4, 4)
