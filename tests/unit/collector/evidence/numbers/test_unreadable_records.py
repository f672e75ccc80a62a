"""Tests of missing numbers that unreadable records may account for."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.collector.evidence.numbers.unreadable_records import UnreadableRecords
from services.collector.results.build import build_result
from services.collector.results.client_result import ClientResult
from services.collector.verdict.summary import reconcile
from services.contract.blocklog import ExternalMessage
from services.contract.rangeset import RangeSet
from services.contract.sequence_rules import SequenceRules
from tests.builders.external_runs import evidence_of, log, message, numbered_messages


def messages_of(*seqs: int | str) -> list[ExternalMessage]:
    """Return messages of these numbers in order; ``?`` is a message that cannot be read."""
    return [
        message(None if isinstance(seq, str) else seq, place, unreadable=isinstance(seq, str))
        for place, seq in enumerate(seqs)
    ]


def result(*logs: Any) -> ClientResult:
    """Return the result of the first client."""
    return build_result(evidence_of(*logs), final=True).clients[0]


def figures(found: ClientResult) -> tuple[int | None, int, int | None, int | None]:
    """Return the numbers of expected, received, missing and unreadable records."""
    return found.expected, found.received, found.missing, found.unreadable


def test_what_cannot_be_read_is_not_missing() -> None:
    """A number is not missing if an unreadable record is in its place, even if another client received it."""
    found = result(
        log("client-1", messages_of(1, 2, "?", 4, "?", "?", 7)), log("client-2", numbered_messages(range(1, 8)))
    )

    unreadable = found.external.unreadable

    assert (7, 4, 0, 3) == figures(found)
    assert {None: [(3, 3), (5, 6)]} == {key: numbers.spans() for key, numbers in unreadable.items()}


def test_no_more_than_there_are() -> None:
    """An unreadable record accounts for at most one number, between its neighbours."""
    assert (9, 4, 4, 1) == figures(result(log("client-1", messages_of(1, "?", 5, 8, 9, "?"))))
    assert (9, 6, 3, 0) == figures(result(log("client-1", messages_of(1, 2, "?", 3, 4, 8, 9))))


def test_a_block_between_them_changes_nothing() -> None:
    """A gap across the edge of two blocks is explained like one within a block."""
    for size in range(1, 8):
        assert (7, 4, 0, 3) == figures(result(log("client-1", messages_of(1, 2, "?", 4, "?", "?", 7), size=size)))


def test_behind_the_last_number_as_well() -> None:
    """Unreadable records after the last number account for numbers that others received."""
    files = log("client-1", messages_of(1, 2, "?", "?")), log("client-2", numbered_messages(range(1, 6)))

    assert (5, 2, 1, 2) == figures(result(*files))


def test_sequences_share_their_unreadable_records() -> None:
    """One unreadable record accounts for a number of only one sequence."""
    messages = [
        message(seq, place, key=key, unreadable=seq is None)
        for place, (seq, key) in enumerate([(1, "a"), (1, "b"), (None, None), (3, "a"), (3, "b")])
    ]
    found = result(log("client-1", messages))

    assert (6, 4, 1, 1) == figures(found)


def test_a_record_without_a_number_is_not_unreadable() -> None:
    """A record that was read and has no number does not explain a gap."""
    assert (3, 2, 1, 0) == figures(result(log("client-1", numbered_messages([1, None, 3]))))


def test_a_sequence_that_begins_again_keeps_them_apart() -> None:
    """An unreadable record before a restart explains a gap before it, and none after it."""
    again = [
        msgspec.structs.replace(message(seq, 10 + seq), record=msgspec.Raw(b'{"again":%d}' % seq)) for seq in (1, 2, 4)
    ]
    found = result(log("client-1", [*messages_of(1, 2, "?", 4), *again]))

    assert (1, 1, 1) == (found.restarts, found.missing, found.unreadable)
    assert {None: [(3, 3)]} == found.external.unreadable_before_restart


@pytest.mark.parametrize("place", range(1, 9))
@pytest.mark.parametrize("size", [1, 3, 20])
def test_an_unreadable_record_around_a_wrap_is_not_missing(place: int, size: int) -> None:
    """A record that cannot be read, the highest number or the lowest one too, is neither missing nor overlooked."""
    seqs: list[int | str] = [251, 252, 253, 254, 255, 0, 1, 2, 3, 4]
    seqs[place] = "?"
    made = evidence_of(log("client-1", messages_of(*seqs), rules=SequenceRules(wrap="255"), size=size))

    assert (10, 9, 0, 1) == figures(build_result(made, final=True).clients[0])
    assert "INVALID" == reconcile(made, final=True).verdict


def test_the_run_is_invalid_and_states_so() -> None:
    """A run with unreadable records is INVALID, and the reason names client and numbers."""
    made = reconcile(evidence_of(log("client-1", messages_of(1, 2, "?", 4, 5))), final=True)

    assert ("INVALID", None) == (made.verdict, next(one.ok for one in made.checks if one.name == "complete"))
    assert "client-1: 1 number (3) not found where records cannot be read: not known to be lost" == made.headline
    assert (1, 1, 0) == (made.totals.unreadable, made.clients[0].unreadable, made.totals.missing)
    assert "PASS" == reconcile(evidence_of(log("client-1", messages_of(1, 2, "?", 3, 4))), final=True).verdict


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(1, 6), st.randoms(use_true_random=False))
def test_the_order_of_reading_does_not_matter(readable: list[bool], size: int, dice: random.Random) -> None:
    """If all numbers were received, exactly the unreadable ones are reported, in any order of reading."""
    every = [True, *readable, True]
    messages = [message(seq, seq, unreadable=not is_good) for seq, is_good in enumerate(every, 5)]
    ((source, lines),) = log("client-1", messages, size=size).items()
    blocks = lines[1:-1]
    dice.shuffle(blocks)
    found = result({source: [lines[0], *blocks, lines[-1]]})

    assert (len(every), sum(every), 0, len(every) - sum(every)) == figures(found)


def test_asking_uses_nothing_up() -> None:
    """Repeated queries have the same result."""
    kept = UnreadableRecords()
    kept.follow(None, 1, 1, (0, 0))
    kept.count = 1
    missing: dict[str | None, RangeSet] = {None: RangeSet([(2, 3)])}

    assert kept.among(missing) == kept.among(missing) == {None: RangeSet([(2, 2)])}
