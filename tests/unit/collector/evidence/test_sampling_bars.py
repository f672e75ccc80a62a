"""Tests of services/collector/evidence/sampling.py."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.collector.evidence.sampling import LEAST_BLOCKS, BlockSample, BlockSampleLimit
from services.contract.timeline import MOST_BARS, MOST_BLOCKS, Bar
from tests.builders.runs import START_US, Session, block


def add_block(bars: BlockSample, number: int, session: int = 1, **changes: object) -> None:
    """Add a block of one message."""
    bars.add(block(Session("a", session, 1, 0, []), number, number, number, **changes), START_US + number)


def numbers(bars: BlockSample) -> list[tuple[int, int]]:
    """Return session and number of every kept block."""
    return [(bar.session, bar.block) for bar in bars.bars()]


def test_a_bar_states_when_a_block_began_and_how_long_it_took() -> None:
    """A bar has the values of its block."""
    bars = BlockSample(BlockSampleLimit())
    bars.add(block(Session("a", 2, 1, 0, []), 3, 21, 30), START_US)

    expected = Bar(session=2, block=3, start_us=START_US, duration_ns=9_000_000, first=21, last=30, count=10)
    assert [expected] == bars.bars()


def test_no_more_are_kept_than_there_is_room_for() -> None:
    """Every second, fourth, eighth … block is kept: at most the limit, at least half of it."""
    bars = BlockSample(BlockSampleLimit())
    for number in range(1, 5 * MOST_BLOCKS):
        add_block(bars, number)
        assert min(number, MOST_BLOCKS // 2) <= len(bars.bars()) <= MOST_BLOCKS

    assert 8 == bars.stride
    assert all(not number % 8 for _, number in numbers(bars))


def test_the_more_clients_the_less_room_each_has() -> None:
    """The blocks of all clients together stay within a bound, and each client keeps some."""
    room = BlockSampleLimit()
    clients = [BlockSample(room) for _ in range(300)]
    for bars in clients:
        for number in range(1, 300):
            add_block(bars, number)
    kept = [len(bars.bars()) for bars in clients]

    assert (64, {37}) == (room.most, set(kept))
    assert sum(kept) <= MOST_BARS
    assert min(kept) >= LEAST_BLOCKS


steps = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 2), st.integers(1, 3000)), min_size=1, max_size=40)


@given(steps.flatmap(lambda every: st.tuples(st.just(every), st.permutations(every))))
def test_the_order_of_blocks_does_not_matter(orders: tuple[list[tuple[int, int, int]], ...]) -> None:
    """For any order of clients, sessions and blocks the same blocks of each client are kept."""
    result = []
    for order in orders:
        room = BlockSampleLimit()
        room.most = 8
        clients = [BlockSample(room) for _ in range(3)]
        for client, session, number in order:
            add_block(clients[client], number, session)
        result.append([(bars.stride, dict.fromkeys(numbers(bars))) for bars in clients])

    assert result[0] == result[1]


def test_of_two_contents_one_is_reported() -> None:
    """A block that is logged with several contents is one bar, the same in any order of reading."""
    result = []
    for durations in ((5, 7), (7, 5)):
        bars = BlockSample(BlockSampleLimit())
        for duration_ns in durations:
            add_block(bars, 1, duration_ns=duration_ns)
        result.append([bar.duration_ns for bar in bars.bars()])

    assert [[5], [5]] == result
