"""Tests of the messages, blocks and first lines of the block log."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.client import block_encoder
from services.client.block_builder import BlockBuilder, BlockCut
from services.client.block_encoder import ReceivedBatch
from services.client.clock_sync import Estimate
from services.contract import block_text, blocklog, wire
from services.contract.jsonl import FIRST, fields, seal
from services.contract.scalars import utc_us
from tests.unit.client.fakes import RUN, START_NS, START_US, arrived, batch, body, client_config, record

KEY = block_encoder.SessionKey(RUN, "client-1", 3)


def read_back(line: block_encoder.PendingLine) -> blocklog.Block:
    """Return a block as a reader decodes it from its line."""
    encoded, _ = seal(msgspec.json.encode(line.fields), FIRST)
    block = blocklog.codec.decode(encoded)[1]
    assert isinstance(block, blocklog.Block)
    return block


def test_a_block_has_the_fields_of_its_format() -> None:
    """The line of a block has exactly the fields of the format, in their order; it is encoded without the struct."""
    (cut,) = BlockBuilder[ReceivedBatch](1, 2**20, 5, 0).add(arrived(1))
    line = block_encoder.block_line(KEY, cut, (0, 0, []), Estimate(0, 0))

    assert list(fields(read_back(line))) == list(line.fields)
    assert (1, 1, True) == (line.message_count, line.first, line.is_block)


def test_a_block_states_what_was_received() -> None:
    """A block has the range, times and gaps of its cut, the counts since the block before, and the clock offset."""
    builder = BlockBuilder[ReceivedBatch](3, 2**20, 5, 0)
    list(builder.add(arrived(2)))
    (cut,) = builder.add(arrived(4, 5, at_ns=START_NS + 2_500_000))
    line = block_encoder.block_line(KEY, replace(cut, number=9, idle_ns=77), (1, 2, [(7, 8)]), Estimate(-5, 6))
    block = read_back(line)

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
    """The digest of a block does not depend on the order in which its messages arrived."""
    cuts: list[BlockCut[ReceivedBatch]] = []
    for order in ([1, 2, 3], [3, 1, 2]):
        builder = BlockBuilder[ReceivedBatch](3, 2**20, 5, 0)
        for seq in order:
            cuts += builder.add(arrived(seq))
    digests = {block_encoder.block_line(KEY, cut, (0, 0, []), Estimate(0, 0)).fields["digest"] for cut in cuts}

    assert {block_text.records_digest([record(seq) for seq in (1, 2, 3)])} == digests


def test_messages_are_in_the_order_received() -> None:
    """A block's line has its messages in the order received, each with its times."""
    builder = BlockBuilder[ReceivedBatch](4, 2**20, 5, 0)
    list(builder.add(arrived(7, 8)))
    (cut,) = builder.add(arrived(3, 4, at_ns=START_NS + 1_000))
    block = read_back(block_encoder.block_line(KEY, cut, (0, 0, []), Estimate(0, 0)))

    assert [7, 8, 3, 4] == [it.seq for it in block.messages]
    assert [record(seq) for seq in (7, 8, 3, 4)] == [bytes(it.record) for it in block.messages]
    assert [12, 13, 8, 9] == [it.latency_ns for it in block.messages]
    assert [0, 0, 1, 1] == [utc_us(it.received_at) - START_US for it in block.messages]
    assert block.digest == block_text.block_digest(block.messages)


def test_the_first_line_states_the_configuration(tmp_path: Path) -> None:
    """The first line has the session's key, where it resumes, how it syncs, and the torn tails of earlier sessions."""
    torn = [blocklog.Torn("0001-0001.jsonl", 7)]
    opening = block_encoder.opening(KEY, 4, 50, client_config(tmp_path), torn, START_US)

    assert (RUN, "client-1", 3, 1, "one", 4, 10, "block", 50, "boot", "host") == (
        *(opening.run, opening.client, opening.session, opening.segment, opening.instance, opening.fence),
        *(opening.block_size, opening.fsync, opening.after, opening.boot, opening.host),
    )
    assert torn == opening.torn
    assert "2026-11-22T07:30:00.000000Z" == opening.opened_at
    assert opening.attempted_at is None
    tried = block_encoder.opening(KEY, 4, 50, client_config(tmp_path), torn, START_US + 9, START_US)
    assert "2026-11-22T07:30:00.000000Z" == tried.attempted_at


@given(
    st.integers(1, 10**9),
    st.integers(1, 50),
    st.integers(1, 10**6),
    st.integers(0, 10**10),
    st.integers(-(10**9), 10**9),
)
def test_a_batch_has_both_delays(first: int, count: int, rate: int, passed_ns: int, offset_us: int) -> None:
    """Each record has its delay from its due time and from the send time, on the server's clock."""
    header, lines = batch(first, count, rate, sent_us=START_US + 7)
    records = wire.records_of(header, lines)
    assert records is not None
    batched = block_encoder.batch(header, records, START_NS + passed_ns, offset_us)
    server_ns = START_NS + passed_ns + offset_us * 1000

    assert (first, first + count - 1, START_NS + passed_ns) == (batched.first, batched.last, batched.received_ns)
    assert server_ns - (START_US + 7) * 1000 == batched.transit_ns
    assert [
        server_ns - wire.due_us(header.due_us, index, rate) * 1000 for index in range(count)
    ] == batched.latencies_ns
    assert (lines, len(lines) - count) == (batched.lines(), batched.size)


def test_flat_out_latency_is_transit() -> None:
    """Without a rate a record was due when it was sent, so all records of a batch have one latency."""
    header, lines = batch(1, 3, rate=0)

    assert 5 == block_encoder.batch(header, lines.split(b"\n")[:-1], START_NS + 5, 0).latencies_ns


@given(st.integers(1, 100), st.integers(0, 100), st.integers(1, 100))
def test_a_part_keeps_seqs_bytes_and_delays(count: int, start: int, length: int) -> None:
    """The records of any part of a batch keep their seqs, bytes and delays."""
    whole = arrived(*range(10, 10 + count))
    part = whole.part(min(start, count - 1), start + length)
    seqs = range(part.first, part.last + 1)

    assert list(seqs) == list(range(10, 10 + count))[min(start, count - 1) : start + length]
    assert body(seqs) == part.lines()
    assert [5 + seq for seq in seqs] == part.latencies_ns


def test_a_part_keeps_the_common_latency() -> None:
    """A part of a batch with one common latency has the same latency."""
    whole = block_encoder.ReceivedBatch(1, [record(1), record(2), record(3)], START_NS, 9, 4)

    assert (2, 3, 9) == (whole.part(1, 3).first, whole.part(1, 3).last, whole.part(1, 3).latencies_ns)


@given(st.lists(st.integers(0, 30), unique=True, min_size=1).map(sorted))
def test_new_records_of_a_batch_are_selected(indices: list[int]) -> None:
    """Of a batch that was partly received before, exactly the new records are returned, in as few parts as possible."""
    whole = arrived(*range(100, 131))
    parts = block_encoder.only(whole, indices)

    assert [100 + index for index in indices] == [seq for part in parts for seq in range(part.first, part.last + 1)]
    assert [record(100 + index) for index in indices] == [
        record_bytes for part in parts for record_bytes in part.records
    ]
    assert not [1 for one, other in pairwise(parts) if one.last + 1 == other.first]
