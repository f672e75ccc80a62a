"""Tests of what arrived, before it is a block."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from services.client import block_encoder
from services.contract import wire
from tests.unit.client.fakes import START_NS, START_US, arrived, batch, body, record


@given(
    st.integers(1, 10**9),
    st.integers(1, 50),
    st.integers(1, 10**6),
    st.integers(0, 10**10),
    st.integers(-(10**9), 10**9),
)
def test_a_batch_tells_both_delays(first: int, count: int, rate: int, passed_ns: int, offset_us: int) -> None:
    """Each record has its delays from due and sent, on the server's clock."""
    header, lines = batch(first, count, rate, sent_us=START_US + 7)
    records = wire.records_of(header, lines)
    assert records is not None
    found = block_encoder.batch(header, records, START_NS + passed_ns, offset_us)
    server_ns = START_NS + passed_ns + offset_us * 1000

    assert (first, first + count - 1, START_NS + passed_ns) == (found.first, found.last, found.received_ns)
    assert server_ns - (START_US + 7) * 1000 == found.transit_ns
    assert [server_ns - wire.due_us(header.due_us, place, rate) * 1000 for place in range(count)] == found.latencies_ns
    assert (lines, len(lines) - count) == (found.lines(), found.size)


def test_flat_out_latency_is_transit() -> None:
    """Without a schedule a record was due when it was sent, so all of a batch have one latency."""
    header, lines = batch(1, 3, rate=0)

    assert 5 == block_encoder.batch(header, lines.split(b"\n")[:-1], START_NS + 5, 0).latencies_ns


@given(st.integers(1, 100), st.integers(0, 100), st.integers(1, 100))
def test_a_part_is_what_it_was_of_the_whole(count: int, start: int, length: int) -> None:
    """Whatever part is taken, its records keep their seqs, bytes and delays."""
    whole = arrived(*range(10, 10 + count))
    part = whole.part(min(start, count - 1), start + length)
    seqs = range(part.first, part.last + 1)

    assert list(seqs) == list(range(10, 10 + count))[min(start, count - 1) : start + length]
    assert body(seqs) == part.lines()
    assert [5 + seq for seq in seqs] == part.latencies_ns


def test_a_part_of_what_was_late_together_is_late_alike() -> None:
    """The one latency of a batch is that of every part of it."""
    whole = block_encoder.ReceivedBatch(1, [record(1), record(2), record(3)], START_NS, 9, 4)

    assert (2, 3, 9) == (whole.part(1, 3).first, whole.part(1, 3).last, whole.part(1, 3).latencies_ns)


@given(st.lists(st.integers(0, 30), unique=True, min_size=1).map(sorted))
def test_what_is_new_of_a_batch_is_kept(places: list[int]) -> None:
    """Of a batch that was received in part before, exactly the new records are taken, as few runs of them."""
    whole = arrived(*range(100, 131))
    parts = block_encoder.only(whole, places)

    assert [100 + place for place in places] == [seq for part in parts for seq in range(part.first, part.last + 1)]
    assert [record(100 + place) for place in places] == [one for part in parts for one in part.records]
    assert not [1 for one, other in pairwise(parts) if one.last + 1 == other.first]
