"""Tests of putting together what goes into the block log."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec

from services.client import block_encoder
from services.client.block_builder import BlockBuilder, BlockCut
from services.client.block_encoder import ReceivedBatch
from services.client.clock_sync import Estimate
from services.client.recovery import TornTail
from services.contract import block_text, blocklog
from services.contract.jsonl import FIRST, fields, seal
from services.contract.scalars import utc_us
from tests.unit.client.fakes import RUN, START_NS, START_US, arrived, conditions, record

PLACE = block_encoder.SessionKey(RUN, "client-1", 3)


def test_a_block_tells_what_was_received() -> None:
    """A block has its cut's range, times and gaps, the counts since the one before, and the clock's estimate."""
    cutter = BlockBuilder[ReceivedBatch](3, 2**20, 5, 0)
    list(cutter.add(arrived(2)))
    (cut,) = cutter.add(arrived(4, 5, at_ns=START_NS + 2_500_000))
    block = block_encoder.block(PLACE, replace(cut, number=9, idle_ns=77), (1, 2, [(7, 8)]), Estimate(-5, 6))

    assert (RUN, "client-1", 3, 9, 2, 5, 3, [(1, 1), (3, 3)], 1, 2, [(7, 8)], "count") == (
        *(block.run, block.client, block.session, block.block, block.first, block.last, block.count),
        *(block.missing, block.duplicates, block.reordered, block.corrupt, block.closed_by),
    )
    assert ("2026-11-22T07:30:00.000000Z", "2026-11-22T07:30:00.002500Z", 2_500_000, 77, -5, 6) == (
        *(block.started_at, block.ended_at, block.duration_ns),
        *(block.idle_ns, block.clock_offset_us, block.clock_error_us),
    )
    assert block_text.records_digest([record(seq) for seq in (2, 4, 5)]) == block.digest


def test_digest_is_in_the_order_of_seq() -> None:
    """The digest of a block does not depend on the order in which its messages came."""
    cuts: list[BlockCut[ReceivedBatch]] = []
    for order in ([1, 2, 3], [3, 1, 2]):
        cutter = BlockBuilder[ReceivedBatch](3, 2**20, 5, 0)
        for seq in order:
            cuts += cutter.add(arrived(seq))
    digests = {block_encoder.block(PLACE, cut, (0, 0, []), Estimate(0, 0)).digest for cut in cuts}

    assert {block_text.records_digest([record(seq) for seq in (1, 2, 3)])} == digests


def test_messages_stand_in_the_order_received() -> None:
    """A block's line has its messages as they came, each with its times, whatever their seqs."""
    cutter = BlockBuilder[ReceivedBatch](4, 2**20, 5, 0)
    list(cutter.add(arrived(7, 8)))
    (cut,) = cutter.add(arrived(3, 4, at_ns=START_NS + 1_000))
    made = block_encoder.block(PLACE, cut, (0, 0, []), Estimate(0, 0))
    line, _ = seal(msgspec.json.encode(fields(made)), FIRST)
    _, block = blocklog.codec.decode(line)

    assert isinstance(block, blocklog.Block)
    assert [7, 8, 3, 4] == [it.seq for it in block.messages]
    assert [record(seq) for seq in (7, 8, 3, 4)] == [bytes(it.record) for it in block.messages]
    assert [12, 13, 8, 9] == [it.latency_ns for it in block.messages]
    assert [0, 0, 1, 1] == [utc_us(it.received_at) - START_US for it in block.messages]
    assert block.digest == block_text.block_digest(block.messages)


def test_the_first_line_tells_the_conditions(tmp_path: Path) -> None:
    """The first line says whose log it is, where it resumes, how it syncs, and what earlier sessions left."""
    tails = [TornTail(tmp_path / "0001-0001.jsonl", 100, 7)]
    opening = block_encoder.opening(PLACE, 4, 50, conditions(tmp_path), tails, START_US)

    assert (RUN, "client-1", 3, 1, "one", 4, 10, "block", 50, "boot", "host") == (
        *(opening.run, opening.client, opening.session, opening.segment, opening.instance, opening.fence),
        *(opening.block_size, opening.fsync, opening.after, opening.boot, opening.host),
    )
    assert [blocklog.Torn("0001-0001.jsonl", 7)] == opening.torn
    assert "2026-11-22T07:30:00.000000Z" == opening.opened_at
    assert opening.attempted_at is None
    tried = block_encoder.opening(PLACE, 4, 50, conditions(tmp_path), tails, START_US + 9, START_US)
    assert "2026-11-22T07:30:00.000000Z" == tried.attempted_at
