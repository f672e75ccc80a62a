"""Tests of the state of a run, folded from ledger entries."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contract import ledger
from services.server.runs.run_state import MAX_FORMER_INSTANCES, MAX_OPEN_RANGES, RecordedRun

AT = "2026-11-22T07:30:00.000000Z"


def state_of(*entries: ledger.Entry, total: int = 100) -> RecordedRun:
    """Return the state after these entries."""
    made = RecordedRun(total)
    for entry in entries:
        made.apply(entry)
    return made


def subscribe(fence: int, client: str = "client-1", **fields: Any) -> ledger.SubscribeEntry:
    """Return the entry of a subscription."""
    values = {"session": 1, "instance": "one", "first": 1, "block_size": 10, **fields}
    return ledger.SubscribeEntry(at=AT, client=client, fence=fence, **values)


def receipt(block: int, last: int, client: str = "client-1", **fields: Any) -> ledger.ReceiptEntry:
    """Return the entry of a receipt."""
    values = {"session": 1, "fence": 1, "first": 1, "count": last, "digest": "x00000000", "match": True, **fields}
    return ledger.ReceiptEntry(at=AT, client=client, block=block, last=last, **values)


def leave(fence: int, cause: ledger.Cause, client: str = "client-1", sent: int = 0) -> ledger.LeaveEntry:
    """Return the entry of the end of a subscription."""
    return ledger.LeaveEntry(at=AT, client=client, fence=fence, sent=sent, receipted=0, cause=cause)


def pace(first: int, rate: float | None) -> ledger.PaceEntry:
    """Return the entry of a rate."""
    return ledger.PaceEntry(at=AT, first=first, due_us=1, rate=rate)


def control(request: str) -> ledger.ControlEntry:
    """Return the entry of a control request."""
    return ledger.ControlEntry(at=AT, request=request, peer="127.0.0.1")


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
    """The entries alone determine the state."""
    assert state == state_of(*entries).state


def test_fences_rise() -> None:
    """The highest fence counts, for any client; an older entry does not take a name back."""
    made = state_of(subscribe(1), subscribe(3, session=3), subscribe(2, session=2))

    assert (3, 3, 3) == (made.fence, made.clients["client-1"].fence, made.clients["client-1"].session)


def test_former_instances_are_remembered() -> None:
    """A process that another one replaced under its name is remembered, in any order of the entries."""
    lines = [subscribe(1), subscribe(2), subscribe(3, instance="two"), subscribe(4, instance="two")]
    for order in (lines, lines[::-1]):
        client = state_of(*order).clients["client-1"]
        assert ("two", ("one",)) == (client.instance, client.former_instances)

    assert () == state_of(subscribe(1, instance=""), subscribe(2)).clients["client-1"].former_instances


def test_a_leave_concerns_its_own_fence() -> None:
    """The end of an older subscription does not concern the one that superseded it."""
    assert state_of(subscribe(1), subscribe(2), leave(1, "superseded")).clients["client-1"].leave_cause is None
    assert "lost" == state_of(subscribe(1), subscribe(2), leave(2, "lost")).clients["client-1"].leave_cause


def test_a_new_subscription_resets_the_cause() -> None:
    """A client that subscribes again has not left."""
    assert state_of(subscribe(1), leave(1, "bye"), subscribe(2)).clients["client-1"].leave_cause is None


def test_observers_are_no_clients() -> None:
    """An observer is no client, but its fence is not used again."""
    made = state_of(subscribe(4, observe=True))

    assert ({}, 4) == (made.clients, made.fence)


def test_a_leave_without_subscription_is_ignored() -> None:
    """The end of a subscription that never began changes nothing."""
    assert {} == state_of(leave(1, "bye")).clients


def sent(fence: int, through: int) -> ledger.SentEntry:
    """Return the entry that records through a seq may have been sent."""
    return ledger.SentEntry(at=AT, client="client-1", fence=fence, through=through)


def test_sent_is_known_by_subscription() -> None:
    """What may have been sent is from each subscription's first record to the highest seq of its entries."""
    lines: list[ledger.Entry] = [subscribe(1, first=1), sent(1, 64), sent(1, 32), subscribe(2, first=90), sent(2, 95)]
    client = state_of(*lines).clients["client-1"]

    assert [[(1, 64), (90, 95)], [(90, 95)]] == [client.sent_by_others(fence).spans() for fence in (3, 1)]
    assert 64 + 6 == client.sent_count


def test_the_end_of_a_subscription_tells_what_was_sent() -> None:
    """When a subscription is over, what was sent counts, and not what might have been."""
    lines: list[ledger.Entry] = [
        subscribe(1, first=1),
        sent(1, 64),
        leave(1, "lost", sent=20),
        subscribe(2, first=21),
        leave(2, "lost"),
    ]

    assert [(1, 20)] == state_of(*lines).clients["client-1"].sent_by_others(3).spans()


def test_a_damaged_subscription_hides_nothing() -> None:
    """Without the line of a subscription, its records count as sent from the first one on."""
    assert [(1, 64)] == state_of(sent(7, 64)).clients["client-1"].sent_by_others(8).spans()


def test_lines_that_are_read_twice_change_nothing() -> None:
    """The ranges that were sent are the same when the ledger of another server is read again."""
    lines: list[ledger.Entry] = [subscribe(1, first=1), sent(1, 64), leave(1, "lost", sent=20)]

    assert [(1, 20)] == state_of(*lines, *lines).clients["client-1"].sent_by_others(3).spans()


def test_few_open_ranges_are_kept() -> None:
    """Subscriptions without an end, such as those of servers that crashed, take bounded memory."""
    lines = [line for fence in range(1, 100) for line in (subscribe(fence, first=fence), sent(fence, fence))]
    client = state_of(*lines).clients["client-1"]

    assert [(1, 99)] == client.sent_by_others(100).spans()
    assert MAX_OPEN_RANGES == len(client.open_ranges)


@given(st.permutations([receipt(1, 10), receipt(2, 20), receipt(2, 20), receipt(1, 15, session=2)]))
def test_receipts_in_any_order(entries: list[ledger.ReceiptEntry]) -> None:
    """Receipts give the same state in any order, and repeated ones change only the count."""
    client = state_of(*entries).clients["client-1"]

    assert 20 == client.receipted
    assert [True, True, True, False, False] == [
        client.has_receipt(session, block) for session, block in ((1, 1), (1, 2), (2, 1), (2, 2), (3, 1))
    ]


def test_mismatches_are_remembered() -> None:
    """A receipt that did not match is remembered by session and block."""
    made = state_of(receipt(1, 10), receipt(2, 20, match=False))

    assert {(1, 2)} == made.clients["client-1"].mismatched


def test_incomplete_clients() -> None:
    """A client is incomplete until it has receipted the last seq or has left with `bye`; a lost client is."""
    made = state_of(
        *(subscribe(number, f"client-{number}") for number in range(1, 5)),
        receipt(1, 100, "client-1"),
        leave(2, "bye", "client-2"),
        leave(3, "lost", "client-3"),
    )

    assert ["client-3", "client-4"] == made.incomplete_clients()


def test_a_run_without_a_complete_client_is_not_complete() -> None:
    """A run is complete only if at least one client has receipted everything."""
    assert not state_of().is_complete()
    assert not state_of(subscribe(1), leave(1, "bye")).is_complete()
    assert state_of(subscribe(1), receipt(1, 100)).is_complete()
    assert not state_of(subscribe(1), subscribe(2, "client-2"), receipt(1, 100)).is_complete()


def test_a_pause_of_the_operator_is_distinguished() -> None:
    """A pause by a control request differs from one that the stop of a server made."""
    assert not state_of(pace(1, 10), pace(5, None)).is_paused_by_operator
    assert state_of(control("pause")).is_paused_by_operator
    assert not state_of(control("pause"), control("resume")).is_paused_by_operator
    assert state_of(control("pause"), control("rate")).is_paused_by_operator


def test_former_instances_are_bounded() -> None:
    """Only the last former instances are remembered, and none that is too long."""
    lines = [subscribe(number, instance=f"i{number}") for number in range(1, 100)]
    client = state_of(*lines, subscribe(100, instance="x" * 65)).clients["client-1"]

    assert (MAX_FORMER_INSTANCES, "i99", "") == (
        len(client.former_instances),
        client.former_instances[-1],
        client.instance,
    )
