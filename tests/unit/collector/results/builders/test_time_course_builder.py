"""Tests of services/collector/results/builders/time_course_builder.py."""

from __future__ import annotations

import msgspec
import pytest

from services.collector.evidence.ledger_evidence import LedgerEvidence
from services.collector.results.builders.time_course_builder import events
from services.collector.results.timeline import evenly, thinned
from services.contract import ledger
from services.contract.jsonl import LineStruct
from services.contract.scalars import utc_text
from services.contract.timeline import TimelineEvent
from tests.builders.runs import START_US, Session, Writer, leave, ledger_source, opening, subscription

ONE = Session("client-1", 1, 1, 0, [])


def at(second: float) -> str:
    """Return the time of a second of the run as it is in a line."""
    return utc_text(START_US + round(second * 1_000_000))


def pace(first: int, second: float, rate: float | None, stage: int | None = None) -> ledger.PaceEntry:
    """Return a change of the rate."""
    return ledger.PaceEntry(
        at=at(second), first=first, due_us=START_US + round(second * 1_000_000), rate=rate, stage=stage
    )


def marks_of(*entries: LineStruct) -> list[tuple[float, str, str | None, str]]:
    """Return second, kind, client and detail of the events of a ledger with these lines."""
    writer, book = Writer(ledger.codec), LedgerEvidence()
    for entry in (opening(20, 1), *entries):
        writer.put(entry)
    for line in writer.lines:
        book.add_lines(ledger_source(), [line])
    return [((mark.at_us - START_US) / 1e6, mark.kind, mark.client, mark.detail) for mark in events(book)]


def test_changes_of_pace_are_marked() -> None:
    """Start, rates, pauses and resumptions are events when they take effect; a line without effect is none."""
    assert [
        (0, "start", None, "200 msg/s"),
        (1, "rate", None, "0.5 msg/s"),
        (3, "pause", None, ""),
        (4, "resume", None, "0.5 msg/s"),
        (5, "rate", None, "as fast as clients take them"),
    ] == marks_of(
        pace(1, 0, 200), pace(9, 1, 0.5), pace(10, 2, 0.5), pace(11, 3, None), pace(11, 4, 0.5), pace(12, 5, 0)
    )


def test_what_was_planned_is_reported_as_planned() -> None:
    """A change by the plan has the detail ``planned``, a change by an operator has not."""
    assert ["50 msg/s", "100 msg/s, planned", "planned", "70 msg/s"] == [
        detail for *_, detail in marks_of(pace(1, 0, 50, 1), pace(9, 1, 100, 2), pace(10, 2, None, 3), pace(11, 3, 70))
    ]


def test_comings_and_goings_are_marked() -> None:
    """The first subscription is a join, later ones are reconnections, and every departure has its cause."""
    again = msgspec.structs.replace(subscription(ONE), fence=3, session=2, at=at(2))
    gone = msgspec.structs.replace(leave(ONE, 5, "lost"), at=at(1))

    assert [
        (0, "join", "client-1", "session 1"),
        (1, "leave", "client-1", "lost"),
        (2, "reconnect", "client-1", "session 2"),
    ] == marks_of(subscription(ONE), again, gone)


def test_observers_are_not_marked() -> None:
    """An observer has no events."""
    assert [] == marks_of(subscription(ONE, observe=True), leave(ONE, 5, "bye"))


def test_drops_and_the_end_are_marked() -> None:
    """A drop has its client and the end its reason; other requests have no event of their own."""
    drop = ledger.ControlEntry(at=at(1), request="drop", client="client-1", peer="127.0.0.1")
    request = ledger.ControlEntry(at=at(1), request="pause", peer="127.0.0.1")
    end = ledger.EndEntry(at=at(2), last=20, count=20, reason="grace")

    assert [(1, "drop", "client-1", ""), (2, "end", None, "grace")] == marks_of(drop, request, end)


def test_a_line_without_a_time_is_not_marked() -> None:
    """A line without a readable time is no event."""
    assert [] == marks_of(msgspec.structs.replace(subscription(ONE), at="yesterday"))


def test_of_too_many_the_operators_own_remain() -> None:
    """Of too many events those of the operator are kept, and some of the clients'."""
    book = LedgerEvidence()
    for fence in range(1, 1001):
        session = Session("client-1", 1, fence, 0, [])
        book.client("client-1").subscriptions[fence] = msgspec.structs.replace(subscription(session), at=at(fence))
    writer = Writer(ledger.codec)
    for entry in (opening(20, 1), *(pace(first, first, first) for first in range(1, 101))):
        writer.put(entry)
    for line in writer.lines:
        book.add_lines(ledger_source(), [line])
    found = thinned(events(book))

    assert sorted(found, key=lambda mark: mark.at_us) == found
    assert [100, 400] == [
        sum(mark.kind in kinds for mark in found) for kinds in (("start", "rate"), ("join", "reconnect"))
    ]


@pytest.mark.parametrize(("most", "expected"), [(0, []), (2, [0, 5]), (10, list(range(10))), (11, list(range(10)))])
def test_a_choice_is_even(most: int, expected: list[int]) -> None:
    """Chosen events are spread evenly over all of them."""
    every = [TimelineEvent(at_us=at_us, kind="join") for at_us in range(10)]

    assert expected == [mark.at_us for mark in evenly(every, most)]
