"""Tests of the fold of ledger lines into the state of a run."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contract import ledger
from services.server.runs.run_state import MOST_FORMER, RecordedRun

AT = "2026-11-22T07:30:00.000000Z"


def book(*entries: ledger.Entry, total: int = 100) -> RecordedRun:
    """Return the book of these lines."""
    made = RecordedRun(total)
    for entry in entries:
        made.apply(entry)
    return made


def subscribe(fence: int, client: str = "client-1", **fields: Any) -> ledger.SubscribeEntry:
    """Return a subscription's line."""
    values = {"session": 1, "instance": "one", "first": 1, "block_size": 10, **fields}
    return ledger.SubscribeEntry(at=AT, client=client, fence=fence, **values)


def receipt(block: int, last: int, client: str = "client-1", **fields: Any) -> ledger.ReceiptEntry:
    """Return a receipt's line."""
    values = {"session": 1, "fence": 1, "first": 1, "count": last, "digest": "x00000000", "match": True, **fields}
    return ledger.ReceiptEntry(at=AT, client=client, block=block, last=last, **values)


def leave(fence: int, cause: ledger.Cause, client: str = "client-1") -> ledger.LeaveEntry:
    """Return a departure's line."""
    return ledger.LeaveEntry(at=AT, client=client, fence=fence, sent=0, receipted=0, cause=cause)


def pace(first: int, rate: float | None) -> ledger.PaceEntry:
    """Return a change of pace."""
    return ledger.PaceEntry(at=AT, first=first, due_us=1, rate=rate)


def control(wish: str) -> ledger.ControlEntry:
    """Return an operator's wish."""
    return ledger.ControlEntry(at=AT, request=wish, peer="127.0.0.1")


END = ledger.EndEntry(at=AT, last=100, count=100, reason="complete")


@pytest.mark.parametrize(
    ("entries", "state"),
    [
        ([], "waiting"),
        ([subscribe(1)], "waiting"),
        ([pace(1, 200)], "running"),
        ([pace(1, 0)], "running"),
        ([pace(1, 200), pace(10, None)], "paused"),
        ([pace(1, 200), pace(10, None), pace(10, 200)], "running"),
        ([pace(1, 200), pace(10, None), END], "ended"),
    ],
)
def test_state(entries: list[ledger.Entry], state: str) -> None:
    """The lines alone tell where the run stands in its life."""
    assert state == book(*entries).state


def test_fences_rise() -> None:
    """The highest fence is known, whoever it was given to; an older line does not take a name back."""
    made = book(subscribe(1), subscribe(3, session=3), subscribe(2, session=2))

    assert (3, 3, 3) == (made.fence, made.clients["client-1"].fence, made.clients["client-1"].session)


def test_who_had_a_name_before_is_remembered() -> None:
    """A process that another followed under its name is a former one, in whatever order the lines are read."""
    lines = [subscribe(1), subscribe(2), subscribe(3, instance="two"), subscribe(4, instance="two")]
    for order in (lines, lines[::-1]):
        client = book(*order).clients["client-1"]
        assert ("two", ("one",)) == (client.instance, client.former)

    assert () == book(subscribe(1, instance=""), subscribe(2)).clients["client-1"].former


def test_leaving_counts_for_the_fence_it_names() -> None:
    """A departure of an older subscription says nothing about the one that superseded it."""
    assert book(subscribe(1), subscribe(2), leave(1, "superseded")).clients["client-1"].left is None
    assert "lost" == book(subscribe(1), subscribe(2), leave(2, "lost")).clients["client-1"].left


def test_returning_undoes_leaving() -> None:
    """A client that comes back has not left."""
    assert book(subscribe(1), leave(1, "bye"), subscribe(2)).clients["client-1"].left is None


def test_observers_stand_outside() -> None:
    """An observer is in no book, but its fence is not given again."""
    made = book(subscribe(4, observe=True))

    assert ({}, 4) == (made.clients, made.fence)


def test_departures_of_strangers_are_ignored() -> None:
    """A departure of a name that never subscribed changes nothing."""
    assert {} == book(leave(1, "bye")).clients


def test_sent_is_the_furthest() -> None:
    """What may have been sent is the highest seq of any stride."""
    lines = [ledger.SentEntry(at=AT, client="client-1", fence=1, through=through) for through in (64, 32)]

    assert 64 == book(*lines).clients["client-1"].sent


@given(st.permutations([receipt(1, 10), receipt(2, 20), receipt(2, 20), receipt(1, 15, session=2)]))
def test_receipts_in_any_order(entries: list[ledger.ReceiptEntry]) -> None:
    """Receipts fold to the same book in any order and however often they stand there."""
    client = book(*entries).clients["client-1"]

    assert 20 == client.receipted
    assert [True, True, True, False, False] == [
        client.has_receipt(session, block) for session, block in ((1, 1), (1, 2), (2, 1), (2, 2), (3, 1))
    ]


def test_mismatches_are_remembered() -> None:
    """A receipt that did not match is known by session and block."""
    made = book(receipt(1, 10), receipt(2, 20, match=False))

    assert {(1, 2)} == made.clients["client-1"].mismatched


def test_awaited_are_those_who_lack_something() -> None:
    """Awaited is who has not receipted the last seq, unless it said bye; who was lost is awaited."""
    made = book(
        *(subscribe(number, f"client-{number}") for number in range(1, 5)),
        receipt(1, 100, "client-1"),
        leave(2, "bye", "client-2"),
        leave(3, "lost", "client-3"),
    )

    assert ["client-3", "client-4"] == made.awaited()


def test_a_run_without_anybody_is_not_finished() -> None:
    """At least one client must hold everything: a run that all have left is not finished."""
    assert not book().finished()
    assert not book(subscribe(1), leave(1, "bye")).finished()
    assert book(subscribe(1), receipt(1, 100)).finished()
    assert not book(subscribe(1), subscribe(2, "client-2"), receipt(1, 100)).finished()


def test_an_operators_pause_is_held() -> None:
    """A pause that somebody asked for is told from one that a stop of the server made."""
    assert not book(pace(1, 10), pace(5, None)).held
    assert book(control("pause")).held
    assert not book(control("pause"), control("resume")).held
    assert book(control("pause"), control("rate")).held


def test_former_processes_are_bounded() -> None:
    """Of those that had a name before the last ones are remembered, and a text that is too long is none."""
    lines = [subscribe(number, instance=f"i{number}") for number in range(1, 100)]
    client = book(*lines, subscribe(100, instance="x" * 65)).clients["client-1"]

    assert (MOST_FORMER, "i99", "") == (len(client.former), client.former[-1], client.instance)
