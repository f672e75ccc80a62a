"""Tests of services/collector/results/builders/sequence_counts.py."""

from __future__ import annotations

import pytest

from services.collector.results.builders.sequence_counts import counts_of, lost_beginnings, lowest_starts
from services.collector.results.client_result import EXTERNAL_CAUSES
from services.contract.rangeset import RangeSet
from services.contract.sequence_rules import PLAIN, SequenceRules
from services.contract.sequence_tracker import SequenceTracker

NOTHING = dict.fromkeys(EXTERNAL_CAUSES, RangeSet())


def heard(*connections: range | list[int], rules: SequenceRules = PLAIN) -> SequenceTracker:
    """Return the tracker after numbers that came over connections; their records differ from one to the next."""
    made = SequenceTracker(rules)
    for number, seqs in enumerate(connections):
        if number:
            made.reconnected()
            made.begin_again(seqs[0])
        for seq in seqs:
            made.accept_message(seq, seq + 1000 * number)
    return made


def lost(*spans: tuple[int, int]) -> list[dict[str, RangeSet]]:
    """Return numbers that another client received."""
    return [{**NOTHING, "sent_not_logged": RangeSet(spans)}]


def test_records_are_counted_by_their_numbers() -> None:
    """Of a feed whose numbers rise by one, each missing number is a missing record."""
    counts = counts_of([heard([1, 2, 5])], PLAIN, lost((3, 4)), [[(7, 9)]], unreadable=1)

    assert (9, 3, 5, None) == (counts.expected, counts.received, counts.missing, counts.gaps)
    assert {"corrupt_block": 0, "sent_not_logged": 2, "not_seen": 3} == counts.causes


def test_steps_are_counted_as_records() -> None:
    """Of a feed whose numbers rise by ten, ten missing numbers are one missing record."""
    counts = counts_of([heard([10, 40])], SequenceRules(step=10), lost((11, 30)), [], unreadable=0)

    assert (4, 2, 2) == (counts.expected, counts.received, counts.missing)


@pytest.mark.parametrize("rules", [SequenceRules(first="$.U"), SequenceRules(previous="$.p")])
def test_gaps_are_counted_where_records_cannot_be(rules: SequenceRules) -> None:
    """A gap between ranges or links hides an unknown number of records; without gaps all are known."""
    made = heard([10, 40])
    counts = counts_of([made], rules, lost((11, 30)), [[(3, 4)]], unreadable=0)
    whole = counts_of([made], rules, lost(), [], unreadable=0)

    assert (None, 2, None, None, 2) == counts
    # Another client received a part of the gap.
    partly = [{**NOTHING, "sent_not_logged": RangeSet([(15, 20)]), "not_seen": RangeSet([(11, 14), (21, 39)])}]
    assert 1 == counts_of([made], rules, partly, [], unreadable=0).gaps
    assert (2, 2, 0, 0) == (whole.expected, whole.received, whole.missing, whole.gaps)


def test_a_sequence_that_begins_again_at_three_lacks_what_is_before() -> None:
    """Where the sequence begins at 1 elsewhere, the numbers before each other beginning are missing."""
    made = heard(range(1, 5), [2, 3], [4, 5], [500_000])

    assert (([(1, 1), (1, 3)], []), ([], [])) == lost_beginnings(made, 1, PLAIN, is_own=False)
    assert ([], [(1, 3)]) == lost_beginnings(heard([1, 2], [1], [4]), 1, PLAIN, is_own=False)[0]
    assert (([], []), ([], [])) == lost_beginnings(made, None, PLAIN, is_own=False)


def test_too_many_numbers_before_a_beginning_are_no_proved_loss() -> None:
    """A connection that begins with 18 or 700 may continue a session: whether what is before was sent is not known."""
    lost, left_open = lost_beginnings(heard([700, 701], [1, 2], [17], [18]), 1, PLAIN, is_own=True)

    assert ([(1, 16)], []) == lost
    assert ([(1, 699)], [(1, 17)]) == left_open


def test_a_client_may_join_a_stream_in_its_middle() -> None:
    """The first beginning lacks nothing, unless each connection is known to be numbered for itself."""
    assert ([], []) == lost_beginnings(heard([3, 4]), 1, PLAIN, is_own=False)[0]
    assert ([], [(1, 2)]) == lost_beginnings(heard([3, 4]), 1, PLAIN, is_own=True)[0]


def test_the_lowest_beginning_is_that_of_any_client() -> None:
    """Only 0 and 1 are beginnings of a count."""
    sequences: list[dict[str | None, SequenceTracker]] = [
        {None: heard([5, 6], [1, 2])},
        {None: heard([0, 1])},
        {"a": heard([7])},
    ]

    assert {None: 0} == lowest_starts(sequences)
    assert {None: 1} == lowest_starts(sequences[:1])
