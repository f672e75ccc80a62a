"""Tests of services/collector/evidence/sampling.py."""

from hypothesis import given
from hypothesis import strategies as st

from services.collector.evidence.sampling import MOST, SpreadSample


def add_messages(spread: SpreadSample, client: str, times: dict[int, int]) -> None:
    """Add the messages of a block."""
    stride = spread.stride(max(times))
    spread.add(client, [(seq, at_us) for seq, at_us in times.items() if not seq % stride])


def test_the_spread_is_from_first_to_last_client() -> None:
    """The spread of a record is from its earliest to its latest receipt."""
    spread = SpreadSample()
    for client, at_us in (("a", 50), ("b", 20), ("c", 90)):
        add_messages(spread, client, {1: at_us})

    assert (1, 70_000) == (spread.histogram().count, spread.histogram().max)


def test_a_record_of_one_client_has_no_spread() -> None:
    """A record that only one client logged, even twice, has no spread."""
    spread = SpreadSample()
    add_messages(spread, "a", {1: 10})
    add_messages(spread, "a", {1: 99})

    assert 0 == spread.histogram().count


@given(st.permutations([("a", 1, 5), ("a", 3072, 5), ("b", 3072, 8), ("b", 40_000, 5), ("c", 3072, 1), ("b", 2, 1)]))
def test_the_order_of_blocks_does_not_matter(order: list[tuple[str, int, int]]) -> None:
    """The same samples remain in any order of reading."""
    spread = SpreadSample()
    for client, seq, at_us in order:
        add_messages(spread, client, {seq: at_us, seq + 100: at_us})

    assert (1, 7_000) == (spread.histogram().count, spread.histogram().max)


def test_memory_is_bounded() -> None:
    """The number of samples is bounded."""
    spread = SpreadSample()
    for first in range(1, 20 * MOST, 100):
        for client in ("a", "b"):
            add_messages(spread, client, dict.fromkeys(range(first, first + 100), first))

    assert MOST / 2 <= spread.histogram().count <= MOST
