"""Tests of services/collector/evidence/sampling.py."""

from hypothesis import given
from hypothesis import strategies as st

from services.collector.evidence.sampling import MOST, SpreadSample


def take(spread: SpreadSample, client: str, times: dict[int, int]) -> None:
    """Hand over what a block would."""
    stride = spread.stride(max(times))
    spread.add(client, [(seq, at_us) for seq, at_us in times.items() if not seq % stride])


def test_the_spread_is_from_first_to_last_client() -> None:
    """Of three receipts the earliest and the latest count."""
    spread = SpreadSample()
    for client, at_us in (("a", 50), ("b", 20), ("c", 90)):
        take(spread, client, {1: at_us})

    assert (1, 70_000) == (spread.histogram().count, spread.histogram().max)


def test_a_record_of_one_client_has_no_spread() -> None:
    """A record that one client alone logged, even twice, is left out."""
    spread = SpreadSample()
    take(spread, "a", {1: 10})
    take(spread, "a", {1: 99})

    assert 0 == spread.histogram().count


@given(st.permutations([("a", 1, 5), ("a", 3072, 5), ("b", 3072, 8), ("b", 40_000, 5), ("c", 3072, 1), ("b", 2, 1)]))
def test_the_order_of_blocks_does_not_matter(order: list[tuple[str, int, int]]) -> None:
    """In any order of reading the same samples remain."""
    spread = SpreadSample()
    for client, seq, at_us in order:
        take(spread, client, {seq: at_us, seq + 100: at_us})

    assert (1, 7_000) == (spread.histogram().count, spread.histogram().max)


def test_memory_is_bounded() -> None:
    """However many records there are, a bounded number is sampled."""
    spread = SpreadSample()
    for first in range(1, 20 * MOST, 100):
        for client in ("a", "b"):
            take(spread, client, dict.fromkeys(range(first, first + 100), first))

    assert MOST / 2 <= spread.histogram().count <= MOST
