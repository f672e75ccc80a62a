"""Tests of services/collector/evidence/timing.py."""

from __future__ import annotations

from typing import Any

import msgspec

from services.collector.evidence.block_check import examine
from services.collector.evidence.timing import ClientTiming, RunTiming
from services.contract.blocklog import Block
from services.contract.scalars import utc_us
from tests.builders.runs import START_US, Session, block

SESSION = Session("a", 1, 1, 0, [])


def taken(*blocks: Block) -> tuple[ClientTiming, RunTiming]:
    """Return the times of a client that logged these blocks."""
    run = RunTiming()
    client = ClientTiming("a", run)
    for made in blocks:
        client.add_block(
            made, examine(made), {message.received_at: utc_us(message.received_at) for message in made.messages}
        )
    return client, run


def some(number: int, first: int, last: int, **changes: Any) -> Block:
    """Return a block."""
    return block(SESSION, number, first, last, **changes)


def test_the_durations_of_all_messages_are_counted() -> None:
    """Durations are counted when they are asked for, block after block."""
    client, _ = taken(some(1, 1, 10))
    before = client.latency.count
    client.add_block(some(2, 11, 15), examine(some(2, 11, 15)), {})

    assert (10, 15, 15) == (before, client.latency.count, client.transit.count)


def test_the_durations_of_all_blocks_are_counted() -> None:
    """However many there are, each counts once."""
    client, _ = taken()
    for duration_ns in range(1, 1001):
        client.add_block_duration(duration_ns)

    assert (1000, 1, 1000) == (client.block_durations.count, client.block_durations.min, client.block_durations.max)
    assert 1000 == client.block_durations.count


def test_moments_are_on_the_servers_clock() -> None:
    """First and last message, bars, edges and slots are corrected by the block's offset."""
    client, run = taken(some(1, 3, 10, clock_offset_us=5_000_000))
    (slot,) = run.buckets.slots(scheduled=True)

    assert (START_US + 5_003_000, START_US + 5_010_000) == (client.first_us, client.last_us)
    assert [START_US + 5_003_000] == [bar.start_us for bar in client.blocks.bars()]
    assert (None, START_US + 5_003_000) == client.edges.around(1, 2)
    assert (START_US + 5_000_000, 8) == (slot.at_us, slot.messages)


def test_a_block_may_reach_over_slots() -> None:
    """Its messages and their bytes are parted among the slots in which they came."""
    made = some(1, 240, 509)
    _, run = taken(made)
    slots = run.buckets.slots(scheduled=True)

    assert [10, 250, 10] == [slot.messages for slot in slots]
    assert sum(len(bytes(message.record)) for message in made.messages) == sum(slot.bytes for slot in slots)
    assert sum(len(bytes(message.record)) for message in made.messages[:10]) == slots[0].bytes


def test_a_gap_within_a_block_has_its_moments() -> None:
    """The messages on both sides of a gap within a block are known, in any order of its messages."""
    whole = some(1, 1, 10)
    messages = [*whole.messages[5:], *whole.messages[:3]]
    client, _ = taken(msgspec.structs.replace(whole, messages=messages, count=len(messages), missing=[(4, 5)]))

    assert (START_US + 3000, START_US + 6000) == client.edges.around(4, 5)


def test_a_clock_gone_wild_is_bounded() -> None:
    """A block whose offset is absurd is entered all the same."""
    client, run = taken(some(1, 1, 10), some(2, 11, 20, clock_offset_us=2**53 - 1))

    assert [10, 10] == [slot.messages for slot in run.buckets.slots(scheduled=True) if slot.messages]
    assert 2**53 - 1 == client.last_us
