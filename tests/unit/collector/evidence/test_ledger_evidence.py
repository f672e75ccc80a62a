"""Tests of services/collector/evidence/ledger_evidence.py."""

import pytest

from services.collector.evidence.ledger_evidence import LedgerEvidence
from services.contract import ledger
from services.contract.jsonl import LineStruct
from tests.builders.runs import (
    START_US,
    Session,
    Writer,
    at,
    end,
    leave,
    ledger_source,
    opening,
    receipt,
    subscription,
)

SESSION = Session("a", 1, 1, 0, [(1, 10), (11, 20)])


def book(*entries: LineStruct) -> LedgerEvidence:
    """Return the ledger of these lines."""
    writer, made = Writer(ledger.codec), LedgerEvidence()
    for entry in entries:
        writer.put(entry)
    for line in writer.lines:
        made.add_line(ledger_source(), line)
    return made


def pace(first: int, rate: float | None, second: int = 0) -> ledger.PaceEntry:
    """Return a change of the schedule."""
    return ledger.PaceEntry(at=at(first + second), first=first, due_us=START_US + second, rate=rate)


@pytest.mark.parametrize(
    ("entries", "state"),
    [
        ([], "opened"),
        ([opening(20, 1)], "waiting"),
        ([opening(20, 1), pace(1, 10)], "running"),
        ([opening(20, 1), pace(1, 10), pace(5, None)], "paused"),
        ([opening(20, 1), pace(1, 10), pace(5, None), pace(5, 20, second=1)], "running"),
        ([opening(20, 1), pace(1, 10), pace(5, None), end(20)], "ended"),
    ],
)
def test_the_state_follows_the_lines(entries: list[LineStruct], state: str) -> None:
    """Each line that matters moves the run on; of equal first the last pace counts."""
    assert state == book(*entries).state


def test_the_rate_of_a_paused_run_is_the_one_before() -> None:
    """A pause has no rate of its own; without a pace line the rate is that of the open line."""
    assert 10 == book(opening(20, 1), pace(1, 10), pace(5, None)).rate
    assert 1000 == book(opening(20, 1)).rate
    assert book().rate is None


def test_what_was_receipted_leaves_out_what_was_missing() -> None:
    """A receipt covers its range but for the seqs it says are missing."""
    client = book(receipt(SESSION, 1, 1, 10, missing=[(3, 4), (8, 8)])).client("a")

    assert [(1, 2), (5, 7), (9, 10)] == client.receipted.spans()


def test_repeated_receipts_count_once() -> None:
    """The same receipt entered twice is one receipt."""
    client = book(receipt(SESSION, 1, 1, 10), receipt(SESSION, 1, 1, 10, fence=2, at=at(99))).client("a")

    assert (1, 1) == (len(client.receipts), client.receipts.count)


@pytest.mark.parametrize(
    ("rates", "is_scheduled"),
    [([], True), ([(1, 10)], True), ([(1, 0)], False), ([(1, 10), (5, 0)], True), ([(1, 0), (9, None)], False),
     ([(1, 10), (1, 0)], False), ([(1, None)], True)],
)  # fmt: skip
def test_one_rate_is_a_schedule(rates: list[tuple[int, int | None]], is_scheduled: bool) -> None:
    """Records have due times if any rate is above 0; of lines with the same first record the last one counts."""
    paces = [
        ledger.PaceEntry(at=at(number), first=first, due_us=START_US, rate=rate)
        for number, (first, rate) in enumerate(rates)
    ]

    assert is_scheduled is book(opening(20, 1), *paces).is_scheduled


def test_an_observer_is_no_client() -> None:
    """An observer takes no part in the run, and records that were sent to it do not count."""
    client = book(
        subscription(SESSION, observe=True), ledger.SentEntry(at=at(1), client="a", fence=1, through=20)
    ).client("a")

    assert (False, 0) == (client.is_client, client.through)


def test_who_came_back_has_not_left() -> None:
    """A goodbye counts until the client subscribes again."""
    back = Session("a", 2, 2, 10, [(11, 20)])

    assert book(subscription(SESSION), leave(SESSION, 10, "bye")).client("a").has_left
    assert not book(subscription(SESSION), leave(SESSION, 10, "lost")).client("a").has_left
    assert not book(subscription(SESSION), leave(SESSION, 10, "bye"), subscription(back)).client("a").has_left


def test_a_line_of_another_run_is_foreign() -> None:
    """A ledger of another run in this folder counts for nothing."""
    made = book(
        ledger.OpenEntry(
            **{**{f: getattr(opening(20, 1), f) for f in ledger.OpenEntry.__struct_fields__}, "run": "20200101T000000Z"}
        )
    )

    assert ["foreign"] == [damage.kind for file in made.files for damage in file.chain.damages]
    assert "opened" == made.state
