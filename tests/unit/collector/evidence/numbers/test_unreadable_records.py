"""Tests of the numbers in whose places records stand that cannot be read."""

from __future__ import annotations

import random
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.collector.evidence.numbers.unreadable_records import UnreadableRecords
from services.collector.results.build import build_result
from services.collector.results.client_result import ClientResult
from services.collector.verdict.summary import reconcile
from services.contract.blocklog import ExternalMessage
from services.contract.rangeset import RangeSet
from tests.builders.external_runs import books, heard, log, message


def came(*seqs: int | str) -> list[ExternalMessage]:
    """Return messages of these numbers, one after the other; ``?`` is a message that cannot be read."""
    return [
        message(None if isinstance(seq, str) else seq, place, unreadable=isinstance(seq, str))
        for place, seq in enumerate(seqs)
    ]


def result(*logs: Any) -> ClientResult:
    """Return the first client's result."""
    return build_result(books(*logs), final=True).clients[0]


def figures(found: ClientResult) -> tuple[int | None, int, int | None, int | None]:
    """Return expected, received, missing and unreadable numbers."""
    return found.expected, found.received, found.missing, found.unreadable


def test_what_cannot_be_read_is_not_missing() -> None:
    """A number is not missing if a record that cannot be read is in its place, even if another client received it."""
    found = result(log("client-1", came(1, 2, "?", 4, "?", "?", 7)), log("client-2", heard(range(1, 8))))

    unreadable = found.external.unreadable

    assert (7, 4, 0, 3) == figures(found)
    assert {None: [(3, 3), (5, 6)]} == {key: numbers.spans() for key, numbers in unreadable.items()}


def test_no_more_than_there_are() -> None:
    """An unreadable record accounts for one number at most, and only between its neighbours."""
    assert (9, 4, 4, 1) == figures(result(log("client-1", came(1, "?", 5, 8, 9, "?"))))
    assert (9, 6, 3, 0) == figures(result(log("client-1", came(1, 2, "?", 3, 4, 8, 9))))


def test_a_block_between_them_changes_nothing() -> None:
    """Holes over the edge of a block are found as well as those within one."""
    for size in range(1, 8):
        assert (7, 4, 0, 3) == figures(result(log("client-1", came(1, 2, "?", 4, "?", "?", 7), size=size)))


def test_behind_the_last_number_as_well() -> None:
    """Where others received more, unreadable records at the end stand for that."""
    files = log("client-1", came(1, 2, "?", "?")), log("client-2", heard(range(1, 6)))

    assert (5, 2, 1, 2) == figures(result(*files))


def test_sequences_share_their_unreadable_records() -> None:
    """Of one unreadable record only one sequence can say that it was its own."""
    messages = [
        message(seq, place, key=key, unreadable=seq is None)
        for place, (seq, key) in enumerate([(1, "a"), (1, "b"), (None, None), (3, "a"), (3, "b")])
    ]
    found = result(log("client-1", messages))

    assert (6, 4, 1, 1) == figures(found)


def test_a_record_without_a_number_is_not_unreadable() -> None:
    """A record that was read and has no number does not explain a hole."""
    assert (3, 2, 1, 0) == figures(result(log("client-1", heard([1, None, 3]))))


def test_a_sequence_that_begins_again_forgets_them() -> None:
    """An unreadable record before a restart does not excuse the same number behind it."""
    again = [
        msgspec.structs.replace(message(seq, 10 + seq), record=msgspec.Raw(b'{"again":%d}' % seq)) for seq in (1, 2, 4)
    ]
    found = result(log("client-1", [*came(1, 2, "?", 4), *again]))

    assert (1, 1, 0) == (found.restarts, found.missing, found.unreadable)


def test_the_run_is_invalid_and_says_so() -> None:
    """Neither lost nor received: no PASS, and no accusation either."""
    made = reconcile(books(log("client-1", came(1, 2, "?", 4, 5))), final=True)

    assert ("INVALID", None) == (made.verdict, next(one.ok for one in made.checks if one.name == "complete"))
    assert (
        "client-1: 1 number (3) not found, where records stand that cannot be read: not known to be lost"
        == made.headline
    )
    assert (1, 1, 0) == (made.totals.unreadable, made.clients[0].unreadable, made.totals.missing)
    assert "PASS" == reconcile(books(log("client-1", came(1, 2, "?", 3, 4))), final=True).verdict


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(1, 6), st.randoms(use_true_random=False))
def test_the_order_of_reading_does_not_matter(readable: list[bool], size: int, dice: random.Random) -> None:
    """If all numbers were received, exactly the unreadable ones in the middle are reported, and none is missing."""
    every = [True, *readable, True]
    messages = [message(seq, seq, unreadable=not is_good) for seq, is_good in enumerate(every, 5)]
    ((source, lines),) = log("client-1", messages, size=size).items()
    blocks = lines[1:-1]
    dice.shuffle(blocks)
    found = result({source: [lines[0], *blocks, lines[-1]]})

    assert (len(every), sum(every), 0, len(every) - sum(every)) == figures(found)


def test_asking_uses_nothing_up() -> None:
    """The same question has the same answer again."""
    kept = UnreadableRecords()
    kept.follow(None, 1, 1, (0, 0))
    kept.count = 1
    missing: dict[str | None, RangeSet] = {None: RangeSet([(2, 3)])}

    assert kept.among(missing) == kept.among(missing) == {None: RangeSet([(2, 2)])}
