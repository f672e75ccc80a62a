"""Tests of putting together what goes into the block log."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from services.client import entries
from services.client.cut import Cut, Cutter
from services.client.history import Tail
from services.client.offset import Estimate
from services.contract import blocklog, wire
from services.contract.fields import utc_us
from tests.unit.client.stand import RUN, START_NS, START_US, batch, conditions, message, record

PLACE = entries.Place(RUN, "client-1", 3)


@given(
    st.integers(1, 10**9),
    st.integers(1, 50),
    st.integers(1, 10**6),
    st.integers(0, 10**10),
    st.integers(-(10**9), 10**9),
)
def test_messages_tell_both_delays(first: int, count: int, rate: int, passed_ns: int, offset_us: int) -> None:
    """Each message has its seq, its bytes, and its delays from due and sent, on the server's clock."""
    header, lines = batch(first, count, rate, sent_us=START_US + 7)
    found = entries.messages(header, lines, START_NS + passed_ns, offset_us)
    server_ns = START_NS + passed_ns + offset_us * 1000

    assert list(range(first, first + count)) == [it.seq for it in found]
    assert [record(it.seq) for it in found] == [bytes(it.record) for it in found]
    assert {server_ns - (START_US + 7) * 1000} == {it.transit_ns for it in found}
    assert [server_ns - wire.due_us(header.due_us, place, rate) * 1000 for place in range(count)] == [
        it.latency_ns for it in found
    ]
    assert {(START_NS + passed_ns) // 1000} == {utc_us(it.received_at) for it in found}


def test_flat_out_latency_is_transit() -> None:
    """Without a schedule a record was due when it was sent."""
    header, lines = batch(1, 3, rate=0)

    assert [5, 5, 5] == [it.latency_ns for it in entries.messages(header, lines, START_NS + 5, 0)]


def test_a_block_tells_what_was_received() -> None:
    """A block has its cut's range, times and gaps, the counts since the one before, and the clock's estimate."""
    cutter = Cutter(3, 2**20, 5, 0)
    list(cutter.add([message(2)], 10, START_NS))
    (cut,) = cutter.add([message(4), message(5)], 20, START_NS + 2_500_000)
    block = entries.block(PLACE, 9, cut, (1, 2, [(7, 8)]), 77, Estimate(-5, 6))

    assert (RUN, "client-1", 3, 9, 2, 5, 3, [(1, 1), (3, 3)], 1, 2, [(7, 8)], "count") == (
        *(block.run, block.client, block.session, block.block, block.first, block.last, block.count),
        *(block.missing, block.duplicates, block.reordered, block.corrupt, block.closed_by),
    )
    assert ("2026-11-22T07:30:00.000000Z", "2026-11-22T07:30:00.002500Z", 2_500_000, 77, -5, 6) == (
        *(block.started_at, block.ended_at, block.duration_ns),
        *(block.idle_ns, block.clock_offset_us, block.clock_error_us),
    )
    assert blocklog.records_digest([record(seq) for seq in (2, 4, 5)]) == block.digest


def test_digest_is_in_the_order_of_seq() -> None:
    """The digest of a block does not depend on the order in which its messages came."""
    cuts: list[Cut] = []
    for order in ([1, 2, 3], [3, 1, 2]):
        cutter = Cutter(3, 2**20, 5, 0)
        for seq in order:
            cuts += cutter.add([message(seq)], 10, START_NS)
    digests = {entries.block(PLACE, 1, cut, (0, 0, []), 0, Estimate(0, 0)).digest for cut in cuts}

    assert {blocklog.records_digest([record(seq) for seq in (1, 2, 3)])} == digests


def test_the_first_line_tells_the_conditions(tmp_path: Path) -> None:
    """The first line says whose log it is, where it resumes, how it syncs, and what earlier sessions left."""
    tails = [Tail(tmp_path / "0001-0001.jsonl", 100, 7)]
    opening = entries.opening(PLACE, 4, 50, conditions(tmp_path), tails, START_US)

    assert (RUN, "client-1", 3, 1, "one", 4, 10, "block", 50, "boot", "host") == (
        *(opening.run, opening.client, opening.session, opening.segment, opening.instance, opening.fence),
        *(opening.block_size, opening.fsync, opening.after, opening.boot, opening.host),
    )
    assert [blocklog.Torn("0001-0001.jsonl", 7)] == opening.torn
    assert "2026-11-22T07:30:00.000000Z" == opening.opened_at
