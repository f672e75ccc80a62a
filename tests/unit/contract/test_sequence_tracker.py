"""Tests of tracking an external feed's numbers."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from services.contract.sequence_tracker import SPARE, SequenceTracker


def tracker_of(seqs: Iterable[int], content: int = 0) -> SequenceTracker:
    """Return the tracker after some numbers, whose records depend on the number and on ``content``."""
    sequence = SequenceTracker()
    for seq in seqs:
        sequence.accept(seq, seq + content)
    return sequence


@given(st.integers(0, 50), st.integers(1, 60), st.data())
def test_faults_are_counted_exactly(start: int, count: int, data: st.DataObject) -> None:
    """For k drops, k duplicates and k swaps, exactly these are counted."""
    whole = list(range(start, start + count))
    dropped = set(data.draw(st.lists(st.sampled_from(whole[1:-1]), unique=True)) if count > 2 else [])
    kept = [seq for seq in whole if seq not in dropped]
    doubled = data.draw(st.lists(st.sampled_from(kept), unique=True))
    sequence = tracker_of(seq for one in kept for seq in [one] * (2 if one in doubled else 1))

    assert (len(dropped), len(doubled), 0, 0) == (
        sequence.missing().count,
        sequence.duplicates,
        sequence.reordered,
        sequence.restarts,
    )


def test_what_comes_late_is_reordered_and_not_missing() -> None:
    """A number after a higher one is reordered, and closes its gap."""
    sequence = tracker_of([5, 7, 6, 8])

    assert (1, 0) == (sequence.reordered, sequence.missing().count)


def test_the_first_that_comes_begins() -> None:
    """Records before the first received number are not missing, and a late one below it extends the sequence."""
    assert [] == tracker_of([5000, 5001]).missing().spans()
    assert [(4999, 4999)] == tracker_of([5000, 4998]).missing().spans()


def test_missing_can_be_asked_from_a_number_on() -> None:
    """With ``after``, only missing numbers after it are returned."""
    assert [(6, 6)] == tracker_of([1, 3, 5, 7]).missing(after=5).spans()
    assert not SequenceTracker().missing()


def test_another_record_under_the_first_number_is_a_restart() -> None:
    """A feed that begins again with other records is another sequence, and the records before stay counted."""
    sequence = tracker_of([0, 1, 2, 3])
    for seq in (0, 1):
        sequence.accept(seq, 99 + seq)

    assert (1, 4, 0) == (sequence.restarts, sequence.past, sequence.duplicates)
    assert [(0, 1)] == sequence.held.spans()


def test_the_same_record_again_is_a_duplicate() -> None:
    """A first number with the same record again is a duplicate, however late."""
    assert (3, 0) == ((again := tracker_of([1, 2, 3, 1, 2, 3])).duplicates, again.restarts)


def test_falling_back_far_is_a_restart() -> None:
    """A fall from the middle of a feed to a first number is a restart; a small one is a late record."""
    assert 1 == tracker_of([SPARE + 2, 1, 2]).restarts
    assert (0, 1) == ((near := tracker_of([SPARE + 1, 1])).restarts, near.reordered)


def test_a_gap_of_any_length_before_a_restart_costs_no_memory() -> None:
    """A feed that jumps up to the largest number and begins again leaves one range."""
    assert [(2, 2**53 - 1)] == tracker_of([1, 2**53, 0, 1]).gaps_before


def test_a_small_fall_over_a_new_connection_is_a_restart() -> None:
    """Over a new connection a fall to a first number is a restart, unless it is the same record."""
    for first, count in ((5, 1), (0, 1), (1, 0)):
        sequence = tracker_of([first, first + 1, first + 2])
        sequence.reconnected()
        sequence.accept(0 if first == 0 else 1, 99 if count else 1)

        assert (count, count) == (sequence.restarts, sequence.restarts_by_connection)
        assert 1 - count == sequence.duplicates + sequence.reordered


def test_a_new_connection_concerns_the_next_number_alone() -> None:
    """After the first number over a new connection, a small fall is a late record again."""
    for first, last in ((8, 8), (8, 9), (5, 5)):
        sequence = tracker_of([5, 6, 7])
        sequence.reconnected()
        sequence.accept_run(first, last, first)
        sequence.accept(1, 1)

        assert (0, 1) == (sequence.restarts, sequence.reordered)
    own = tracker_of([1, 2])
    own.accept(1, 99)
    assert (1, 0) == (own.restarts, own.restarts_by_connection)


def test_what_was_missing_at_a_restart_stays_known() -> None:
    """The gaps before a restart are kept."""
    sequence = tracker_of([1, 2, 4, 7])
    sequence.accept(1, 99)

    assert ([(3, 3), (5, 6)], []) == (sequence.gaps_before, sequence.missing().spans())


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5)), max_size=30))
def test_a_run_is_its_numbers(runs: list[tuple[int, int]]) -> None:
    """Adding a range gives the same result as adding its numbers one by one, over several connections."""
    together, apart = SequenceTracker(), SequenceTracker()
    for first, more in runs:
        if more == 0:
            together.reconnected()
            apart.reconnected()
        seqs = [first] if first in (0, 1) else list(range(first, first + more + 1))
        together.accept_run(seqs[0], seqs[-1], first)
        for seq in seqs:
            apart.accept(seq, first if seq == first else 0)

    assert vars(apart) == vars(together)
