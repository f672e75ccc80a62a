"""Tests of judging a foreign feed's numbers."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from services.contract.sequence_tracker import SPARE, SequenceTracker


def heard(seqs: Iterable[int], content: int = 0) -> SequenceTracker:
    """Return the tracker after some numbers, whose records depend on the number and on ``content``."""
    sequence = SequenceTracker()
    for seq in seqs:
        sequence.accept(seq, seq + content)
    return sequence


@given(st.integers(0, 50), st.integers(1, 60), st.data())
def test_faults_are_counted_exactly(start: int, count: int, data: st.DataObject) -> None:
    """Of numbers that came in order but for k dropped, k doubled and k swapped, exactly these are told."""
    whole = list(range(start, start + count))
    dropped = set(data.draw(st.lists(st.sampled_from(whole[1:-1]), unique=True)) if count > 2 else [])
    kept = [seq for seq in whole if seq not in dropped]
    doubled = data.draw(st.lists(st.sampled_from(kept), unique=True))
    sequence = heard(seq for one in kept for seq in [one] * (2 if one in doubled else 1))

    assert (len(dropped), len(doubled), 0, 0) == (
        sequence.missing().count,
        sequence.duplicates,
        sequence.reordered,
        sequence.restarts,
    )


def test_what_comes_late_is_reordered_and_not_missing() -> None:
    """A number that comes after a higher one is out of order, and closes its gap."""
    sequence = heard([5, 7, 6, 8])

    assert (1, 0) == (sequence.reordered, sequence.missing().count)


def test_the_first_that_comes_begins() -> None:
    """Neither records sent before this client subscribed are missing, nor those that arrive late below its first."""
    assert [] == heard([5000, 5001]).missing().spans()
    assert [(4999, 4999)] == heard([5000, 4998]).missing().spans()


def test_missing_can_be_asked_from_a_number_on() -> None:
    """Given a number, only the missing numbers after it are returned."""
    assert [(6, 6)] == heard([1, 3, 5, 7]).missing(after=5).spans()
    assert not SequenceTracker().missing()


def test_another_record_under_the_first_number_is_a_restart() -> None:
    """A feed that begins again with other records is another sequence; the records before stay counted."""
    sequence = heard([0, 1, 2, 3])
    for seq in (0, 1):
        sequence.accept(seq, 99 + seq)

    assert (1, 4, 0) == (sequence.restarts, sequence.past, sequence.duplicates)
    assert [(0, 1)] == sequence.held.spans()


def test_the_same_record_again_is_a_duplicate() -> None:
    """A first number that comes again with the same record is a duplicate, however late."""
    assert (3, 0) == ((again := heard([1, 2, 3, 1, 2, 3])).duplicates, again.restarts)


def test_falling_back_far_is_a_restart() -> None:
    """A feed that was joined in its middle and falls back to its beginning has begun again; by little it is late."""
    assert 1 == heard([SPARE + 2, 1, 2]).restarts
    assert (0, 1) == ((near := heard([SPARE + 1, 1])).restarts, near.reordered)


def test_a_gap_of_any_length_before_a_restart_costs_no_memory() -> None:
    """A feed that jumps up to the largest number and begins again leaves one range."""
    assert [(2, 2**53 - 1)] == heard([1, 2**53, 0, 1]).gaps_before


def test_a_small_fall_over_a_new_connection_is_a_restart() -> None:
    """Over a new connection nothing comes late: a fall to a beginning is a restart, unless it is the same record."""
    for first, count in ((5, 1), (0, 1), (1, 0)):
        sequence = heard([first, first + 1, first + 2])
        sequence.reconnected()
        sequence.accept(0 if first == 0 else 1, 99 if count else 1)

        assert (count, count) == (sequence.restarts, sequence.restarts_by_connection)
        assert 1 - count == sequence.duplicates + sequence.reordered


def test_a_new_connection_concerns_the_next_number_alone() -> None:
    """Once a number has come over it, what falls back is late again; a restart then is the feed's own."""
    for first, last in ((8, 8), (8, 9), (5, 5)):
        sequence = heard([5, 6, 7])
        sequence.reconnected()
        sequence.accept_run(first, last, first)
        sequence.accept(1, 1)

        assert (0, 1) == (sequence.restarts, sequence.reordered)
    own = heard([1, 2])
    own.accept(1, 99)
    assert (1, 0) == (own.restarts, own.restarts_by_connection)


def test_what_was_missing_at_a_restart_stays_known() -> None:
    """A gap is not forgotten because the sequence begins again behind it."""
    sequence = heard([1, 2, 4, 7])
    sequence.accept(1, 99)

    assert ([(3, 3), (5, 6)], []) == (sequence.gaps_before, sequence.missing().spans())


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5)), max_size=30))
def test_a_run_is_its_numbers(runs: list[tuple[int, int]]) -> None:
    """Taking in a run gives what taking in each of its numbers gives, over however many connections."""
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
