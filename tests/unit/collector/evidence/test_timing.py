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


def timing_of(*blocks: Block) -> tuple[ClientTiming, RunTiming]:
    """Return the timing of a client that logged these blocks, and that of its run."""
    run = RunTiming()
    client = ClientTiming("a", run)
    for item in blocks:
        content = examine(item)
        stamps = {message.received_at: utc_us(message.received_at) for message in item.messages}
        client.add_receipts(item, content, client.add_block(item, content, stamps))
    return client, run


def numbered(number: int, first: int, last: int, **changes: Any) -> Block:
    """Return a block with this number and these seqs."""
    return block(SESSION, number, first, last, **changes)


def test_the_durations_of_all_messages_are_counted() -> None:
    """A query of a histogram counts the durations that were added since the last query."""
    client, _ = timing_of(numbered(1, 1, 10))
    before = client.latency.count
    client.add_block(numbered(2, 11, 15), examine(numbered(2, 11, 15)), {})

    assert (10, 15, 15) == (before, client.latency.count, client.transit.count)


def test_the_durations_of_all_blocks_are_counted() -> None:
    """Each block duration counts once, also with more durations than fit one batch."""
    client, _ = timing_of()
    for duration_ns in range(1, 1001):
        client.add_block_duration(duration_ns)

    assert (1000, 1, 1000) == (client.block_durations.count, client.block_durations.min, client.block_durations.max)
    assert 1000 == client.block_durations.count


def test_times_are_on_the_servers_clock() -> None:
    """First and last time, bars, edges and buckets are corrected by the clock offset of the block."""
    client, run = timing_of(numbered(1, 3, 10, clock_offset_us=5_000_000))
    (slot,) = run.buckets.slots(scheduled=True)

    assert (START_US + 5_003_000, START_US + 5_010_000) == (client.first_us, client.last_us)
    assert [START_US + 5_003_000] == [bar.start_us for bar in client.blocks.bars()]
    assert (None, START_US + 5_003_000) == client.edges.around(1, 2)
    assert (START_US + 5_000_000, 8) == (slot.at_us, slot.messages)


def test_a_block_may_span_several_buckets() -> None:
    """The messages of a block and their bytes are divided among the buckets in which they were received."""
    block_over_buckets = numbered(1, 240, 509)
    _, run = timing_of(block_over_buckets)
    slots = run.buckets.slots(scheduled=True)

    assert [10, 250, 10] == [slot.messages for slot in slots]
    assert sum(len(bytes(message.record)) for message in block_over_buckets.messages) == sum(
        slot.bytes for slot in slots
    )
    assert sum(len(bytes(message.record)) for message in block_over_buckets.messages[:10]) == slots[0].bytes


def test_the_edges_of_a_gap_within_a_block_have_times() -> None:
    """The edges of a gap within a block have times, in any order of its messages."""
    whole = numbered(1, 1, 10)
    messages = [*whole.messages[5:], *whole.messages[:3]]
    client, _ = timing_of(msgspec.structs.replace(whole, messages=messages, count=len(messages), missing=[(4, 5)]))

    assert (START_US + 3000, START_US + 6000) == client.edges.around(4, 5)


def test_a_wrong_clock_is_clamped() -> None:
    """A block with an absurd clock offset is added with clamped times."""
    client, run = timing_of(numbered(1, 1, 10), numbered(2, 11, 20, clock_offset_us=2**53 - 1))

    assert [10, 10] == [slot.messages for slot in run.buckets.slots(scheduled=True) if slot.messages]
    assert 2**53 - 1 == client.last_us
