"""Tests of counting gaps, duplicates and reordering, against a model of plain sets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.client.sequence_check import SequenceChecker
from services.contract.rangeset import RangeSet

batches = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 20)), max_size=30)
spans = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 10)).map(lambda it: (it[0], it[0] + it[1])), max_size=4)


@given(spans, batches)
def test_against_a_model(held: list[tuple[int, int]], found: list[tuple[int, int]]) -> None:
    """The checker finds the same new, duplicate and reordered records as a simple implementation with sets."""
    checker = SequenceChecker(RangeSet(held))
    have = {seq for first, last in held for seq in range(first, last + 1)}
    duplicates = reordered = 0
    for first, count in found:
        places = checker.accept(first, count)
        new = []
        for place, seq in enumerate(range(first, first + count)):
            if seq in have:
                duplicates += 1
                continue
            reordered += seq < max(have, default=0)
            have.add(seq)
            new.append(place)
        assert new == (list(range(count)) if places is None else places)

    assert have == {seq for first, last in checker.held for seq in range(first, last + 1)}
    assert (duplicates, reordered, []) == checker.take_counts()
    assert max(have, default=0) == checker.after


def test_in_order_nothing_is_looked_up() -> None:
    """If batches arrive in order, the usual case, all records are new and no list of indices is made."""
    checker = SequenceChecker(RangeSet())

    assert [None] * 5 == [checker.accept(first, 10) for first in range(1, 50, 10)]
    assert (0, 0, []) == checker.take_counts()
    assert [(1, 50)] == list(checker.held)


def test_counts_are_taken_once() -> None:
    """Counts belong to the next block and to no later one."""
    checker = SequenceChecker(RangeSet([(1, 10)]))
    checker.accept(5, 10)
    checker.accept(30, 1)
    checker.accept(20, 1)
    checker.add_corrupt_batch(40, 5)

    assert (6, 1, [(40, 44)]) == checker.take_counts()
    assert (0, 0, []) == checker.take_counts()


def test_a_refused_batch_is_not_held() -> None:
    """A batch that failed its digest does not count as held: the next batch shows the gap."""
    checker = SequenceChecker(RangeSet())
    checker.accept(1, 10)
    checker.add_corrupt_batch(11, 10)

    assert 10 == checker.after
    assert list(range(5)) == checker.accept(21, 5)
    assert [(1, 10), (21, 25)] == list(checker.held)


def test_the_gap_behind_an_unreadable_frame_was_in_it() -> None:
    """The batch after a frame with a damaged header shows which records were in it; none if there is no gap."""
    checker = SequenceChecker(RangeSet([(1, 10)]))
    checker.add_unreadable_frame()
    checker.accept(21, 5)
    assert (0, 0, [(11, 20)]) == checker.take_counts()

    checker.add_unreadable_frame()
    checker.accept(26, 5)
    checker.accept(41, 5)
    assert (0, 0, []) == checker.take_counts()

    checker.add_unreadable_frame()
    checker.sent_through(50)
    checker.sent_through(60)
    assert (0, 0, [(46, 50)]) == checker.take_counts()
