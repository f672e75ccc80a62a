"""Tests of cutting messages into blocks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.client.block_builder import BlockBuilder, BlockCut
from services.client.block_encoder import ReceivedBatch
from tests.unit.client.fakes import arrived, record, runs_of

SECOND = 1_000_000_000
SIZE = len(record(1))
seqs = st.lists(st.integers(1, 300), unique=True, min_size=1, max_size=200)


def add(builder: BlockBuilder[ReceivedBatch], numbers: list[int], now_ns: int) -> list[BlockCut[ReceivedBatch]]:
    """Add records that arrive together."""
    return [cut for part in runs_of(numbers, now_ns) for cut in builder.add(part)]


def numbers_of(cut: BlockCut[ReceivedBatch]) -> list[int]:
    """Return the seqs of a block in the order received."""
    return [seq for part in cut.parts for seq in range(part.first, part.last + 1)]


def sizes_of(cut: BlockCut[ReceivedBatch]) -> list[int]:
    """Return the bytes of each of its records."""
    return [len(one) for part in cut.parts for one in part.records]


def arrivals(order: list[int], data: st.DataObject) -> list[tuple[list[int], int]]:
    """Return the seqs in parts as they might arrive, ascending within each, with times."""
    parts, now_ns = [], 0
    while order:
        length = data.draw(st.integers(1, len(order)))
        now_ns += data.draw(st.integers(0, 3 * SECOND))
        parts.append((sorted(order[:length]), now_ns))
        order = order[length:]
    return parts


@given(seqs, st.integers(1, 50), st.integers(20, 500), st.data())
def test_every_message_is_in_one_block(order: list[int], count: int, most: int, data: st.DataObject) -> None:
    """Every message is in exactly one block, in the order received, and blocks keep their limits."""
    builder, cuts, parts = BlockBuilder[ReceivedBatch](count, most, 5, 0), [], arrivals(order, data)
    for part, now_ns in parts:
        cuts += add(builder, part, now_ns)
    cuts += builder.close("end")

    assert [seq for part, _ in parts for seq in part] == [seq for cut in cuts for seq in numbers_of(cut)]
    for cut in cuts:
        assert 1 <= cut.count == len(numbers_of(cut)) <= count
        assert sum(sizes_of(cut)) == cut.size
        assert sum(sizes_of(cut)[:-1]) < most
        assert (min(numbers_of(cut)), max(numbers_of(cut))) == (cut.first, cut.last)
        assert 0 <= cut.ended_ns - cut.started_ns < 5 * SECOND
        assert {
            "count": cut.count == count,
            "bytes": cut.size >= most,
            "time": cut.count < count,
            "end": cut is cuts[-1],
        }[cut.closed_by]


@given(seqs, st.integers(1, 50), st.integers(0, 100))
def test_missing_lists_name_every_gap(order: list[int], count: int, before: int) -> None:
    """For ascending messages the missing lists, together, are exactly the seqs that did not arrive."""
    arrived = [seq for seq in sorted(order) if seq > before]
    builder = BlockBuilder[ReceivedBatch](count, 2**30, 5, before)
    cuts = add(builder, arrived, 0) + list(builder.close("end"))
    missing = [seq for cut in cuts for first, last in cut.missing() for seq in range(first, last + 1)]

    assert sorted(set(range(before + 1, max(arrived, default=before) + 1)) - set(arrived)) == missing


@given(seqs, st.integers(1, 20), st.data())
def test_missing_is_never_what_is_there(order: list[int], count: int, data: st.DataObject) -> None:
    """In any order of arrival no block lists a held seq as missing, and its seqs and gaps cover its range."""
    builder, cuts = BlockBuilder[ReceivedBatch](count, 2**30, 5, 0), []
    for part, now_ns in arrivals(order, data):
        cuts += add(builder, part, now_ns)
    for cut in [*cuts, *builder.close("end")]:
        missing = {seq for first, last in cut.missing() for seq in range(first, last + 1)}
        assert not missing & set(numbers_of(cut))
        assert set(range(cut.first, cut.last + 1)) <= missing | set(numbers_of(cut))


def test_a_late_message_is_not_a_gap() -> None:
    """A block of records from before the last block has no gap up to them."""
    builder = BlockBuilder[ReceivedBatch](2, 2**30, 5, 0)
    first, late = *add(builder, [5, 6], 0), *add(builder, [2, 3], 1)

    assert [[(1, 4)], []] == [first.missing(), late.missing()]


def test_a_block_is_closed_by_its_count() -> None:
    """A part that is larger than a block makes several, and opens the next."""
    builder = BlockBuilder[ReceivedBatch](10, 2**30, 5, 0)
    cuts = add(builder, list(range(1, 36)), 7)

    assert [("count", 10)] * 3 == [(cut.closed_by, cut.count) for cut in cuts]
    assert [5] == [cut.count for cut in builder.close("shutdown")]


def test_a_block_is_closed_by_its_bytes() -> None:
    """The message that reaches the limit is the last of its block."""
    builder = BlockBuilder[ReceivedBatch](1000, 3 * SIZE, 5, 0)
    cuts = add(builder, [1, 8, 15, 22], 0)

    assert [("bytes", [1, 8, 15])] == [(cut.closed_by, numbers_of(cut)) for cut in cuts]


def test_a_record_may_be_larger_than_a_block() -> None:
    """A record above the limit is a block of its own."""
    assert [[1], [2], [3]] == [numbers_of(cut) for cut in add(BlockBuilder[ReceivedBatch](1000, 1, 5, 0), [1, 2, 3], 0)]


def test_a_block_is_closed_by_its_age() -> None:
    """A record that arrives after the block's time begins the next block."""
    builder = BlockBuilder[ReceivedBatch](1000, 2**30, 5, 0)
    assert [] == add(builder, [1], 1000)
    assert 5 * SECOND + 1000 == builder.deadline_ns
    assert [] == add(builder, [2], 5 * SECOND + 999)
    (cut,) = add(builder, [3], 5 * SECOND + 1000)

    assert ("time", [1, 2], 1000, 5 * SECOND + 999) == (
        *(cut.closed_by, numbers_of(cut), cut.started_ns, cut.ended_ns),
    )
    assert 10 * SECOND + 1000 == builder.deadline_ns


@pytest.mark.parametrize("numbers", [[], [1]])
def test_nothing_makes_no_block(numbers: list[int]) -> None:
    """An empty part opens no block, and closing twice makes none."""
    builder = BlockBuilder[ReceivedBatch](10, 2**30, 5, 0)
    add(builder, numbers, 0)

    assert len(numbers) == len(list(builder.close("end")))
    assert ([], None) == (list(builder.close("end")), builder.deadline_ns)


def test_blocks_are_numbered_and_know_their_idle_time() -> None:
    """Blocks are numbered from 1, and each but the first has the idle time before it."""
    builder = BlockBuilder[ReceivedBatch](1, 2**20, 5, 0)
    cuts = [cut for seq, at_ns in ((1, 10), (2, 17), (3, 17)) for cut in builder.add(arrived(seq, at_ns=at_ns))]

    assert [(1, 0), (2, 7), (3, 0)] == [(cut.number, cut.idle_ns) for cut in cuts]


def test_an_old_block_is_closed_at_its_time() -> None:
    """The open block is closed when its time is over, and not before."""
    builder = BlockBuilder[ReceivedBatch](10, 2**20, 5, 0)
    list(builder.add(arrived(1, at_ns=0)))

    assert [] == list(builder.close_old(5 * SECOND - 1))
    assert ["time"] == [cut.closed_by for cut in builder.close_old(5 * SECOND)]
