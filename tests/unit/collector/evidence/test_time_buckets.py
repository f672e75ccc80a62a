"""Tests of services/collector/evidence/time_buckets.py."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.collector.evidence import time_buckets
from services.collector.evidence.time_buckets import FINEST_US, TimeBuckets
from services.contract.scalars import MAX_INTEGER
from services.contract.timeline import MOST_SLOTS, TimeSlot

CLIENTS = ["a", "b", "c"]


class Came(NamedTuple):
    """Messages of one client that were received at one time, with one delay."""

    client: int
    at_us: int
    late_ns: int
    messages: int


def add_messages(slots: TimeBuckets, came: Came) -> None:
    """Add the messages of a block."""
    slots.cover(came.at_us, came.at_us)
    late, transit = [came.late_ns] * came.messages, [came.late_ns // 2] * came.messages
    slots.add(CLIENTS[came.client], came.at_us // slots.step_us, late, transit, came.messages, 2 * came.messages)


def made(order: list[Came]) -> TimeBuckets:
    """Return the buckets of messages that were received in this order."""
    slots = TimeBuckets()
    for came in order:
        add_messages(slots, came)
    return slots


def counts(slots: TimeBuckets) -> object:
    """Return the counts of every client and of the run."""
    clients = [(slots.latency_of(client).counts, slots.transit_of(client).counts) for client in CLIENTS]
    return clients, slots.latency.counts, slots.transit.counts


def results_of(order: list[Came], *, scheduled: bool = True) -> object:
    """Return all results for messages that were received in this order."""
    slots = made(order)
    worst = slots.worst(CLIENTS, scheduled=scheduled)
    return slots.step_us, slots.slots(scheduled=scheduled), worst, counts(slots)


def test_a_slot_adds_up_what_came_within_it() -> None:
    """A slot has messages, bytes and times of all clients within a quarter of a second; an empty slot shows silence."""
    slots = made([Came(0, 0, 1000, 3), Came(1, FINEST_US - 1, 2000, 1), Came(0, 2 * FINEST_US, 4000, 1)])
    first, second, third = slots.slots(scheduled=True)

    assert (0, 4, 8) == (first.at_us, first.messages, first.bytes)
    assert (1002, 2000, 2000) == first.latency
    assert [(19, 3), (21, 1)] == first.heat
    assert TimeSlot(at_us=FINEST_US, messages=0, bytes=0, latency=None, transit=None, heat=[]) == second
    assert (2 * FINEST_US, 1) == (third.at_us, third.messages)


def test_without_a_schedule_nothing_is_late() -> None:
    """Without a schedule slots have no latency, and heat and lanes are of the transit."""
    slots = made([Came(0, 0, 1 << 20, 1)])
    (slot,) = slots.slots(scheduled=False)

    assert (None, (1 << 19, 1 << 19, 1 << 19), [(38, 1)]) == (slot.latency, slot.transit, slot.heat)
    assert [[1 << 19], [None], [None]] == slots.worst(CLIENTS, scheduled=False)


def test_the_worst_is_reported_of_each_client() -> None:
    """A lane has the longest latency of its client in every slot, null if it received nothing."""
    slots = made([Came(1, 0, 7, 1), Came(1, 1, 9, 1), Came(0, FINEST_US, 5, 1)])

    assert [[None, 5], [9, None], [None, None]] == slots.worst(CLIENTS, scheduled=True)


def test_slots_are_reported_as_they_are_now() -> None:
    """A slot that was changed or widened since the last query is built again."""
    slots = made([Came(0, 0, 1, 1), Came(0, FINEST_US, 1, 1)])
    before = slots.slots(scheduled=True)
    add_messages(slots, Came(0, FINEST_US, 1, 4))
    during = slots.slots(scheduled=True)
    add_messages(slots, Came(0, FINEST_US * MOST_SLOTS, 1, 1))
    after = slots.slots(scheduled=True)

    assert [1, 1] == [slot.messages for slot in before]
    assert [1, 5] == [slot.messages for slot in during]
    assert [6, 0] == [slot.messages for slot in after[:2]]
    assert [0, 2 * FINEST_US] == [slot.at_us for slot in after[:2]]


def test_slots_are_as_narrow_as_they_can_be() -> None:
    """Slots are widened only if there would be too many of them."""
    last_us = FINEST_US * (MOST_SLOTS - 1)

    assert [FINEST_US, 2 * FINEST_US] == [
        made([Came(0, 0, 1, 1), Came(0, at_us, 1, 1)]).step_us for at_us in (last_us, last_us + FINEST_US)
    ]


moments = st.integers(0, 10**6) | st.integers(0, MAX_INTEGER) | st.integers(10**15, 10**15 + 10**9)
things = st.builds(Came, st.integers(0, 2), moments, st.integers(-9, 10**10), st.integers(1, 3))
orders = st.lists(things, min_size=1, max_size=30).flatmap(
    lambda every: st.tuples(st.just(every), st.permutations(every))
)


@given(orders, st.booleans())
def test_the_order_does_not_matter(orders: tuple[list[Came], list[Came]], scheduled: bool) -> None:
    """The buckets and counts are the same in any order of messages."""
    assert results_of(orders[0], scheduled=scheduled) == results_of(orders[1], scheduled=scheduled)


@given(orders)
def test_how_many_are_counted_at_once_does_not_matter(orders: tuple[list[Came], list[Came]]) -> None:
    """The slots and counts do not depend on how many messages are counted together."""
    expected = results_of(orders[0])
    for gathered, many, waiting in ((1, 1, 1), (4, 2, 3), (4, 9, 3), (9, 9, 9)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time_buckets, "MOST_TOGETHER", gathered)
            patch.setattr(time_buckets, "MANY", many)
            patch.setattr(time_buckets, "MOST_PENDING", waiting)

            assert expected == results_of(orders[1])


def test_what_came_at_no_known_time_is_in_no_slot() -> None:
    """A message without a readable time counts for its client and the run, and is in no slot."""
    slots = TimeBuckets()
    slots.add_undated("a", [5, 6], [7])

    assert (2, 1) == (slots.latency.count, slots.transit.count)
    assert (2, 1) == (slots.latency_of("a").count, slots.transit_of("a").count)
    assert [] == slots.slots(scheduled=True)


@given(orders)
def test_nothing_is_lost_and_the_slots_are_few(orders: tuple[list[Came], list[Came]]) -> None:
    """With any clocks every message is in one slot, and the number of slots is bounded."""
    found = made(orders[0]).slots(scheduled=True)

    assert sum(came.messages for came in orders[0]) == sum(slot.messages for slot in found)
    assert len(found) <= MOST_SLOTS
    for came in orders[0]:
        assert found[0].at_us <= came.at_us


@given(orders)
def test_questions_change_nothing(orders: tuple[list[Came], list[Came]]) -> None:
    """The results do not depend on queries in between."""
    slots = TimeBuckets()
    for came in orders[1]:
        add_messages(slots, came)
        slots.worst(CLIENTS, scheduled=True)
        assert slots.latency_of("b").count <= slots.transit.count == slots.latency.count
        slots.slots(scheduled=True)

    assert results_of(orders[0]) == (
        slots.step_us, slots.slots(scheduled=True), slots.worst(CLIENTS, scheduled=True),
        counts(slots),
    )  # fmt: skip
