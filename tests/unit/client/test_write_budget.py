"""Tests of the memory that the clients of a process share."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from services.client.write_budget import WriteBudget


@given(st.lists(st.integers(1, 500)), st.integers(1, 1000))
def test_reading_stops_at_the_limit_and_begins_again_below_it(sizes: list[int], most_bytes: int) -> None:
    """A budget is full from the limit on, until at most 7/8 of it is in use; in the end nothing is."""
    budget, was_full = WriteBudget(most_bytes), False
    for change in (*sizes, *(-size for size in sizes)):
        if change > 0:
            budget.add(change)
        else:
            budget.free(-change)
        was_full = budget.waiting_bytes >= most_bytes or (was_full and budget.waiting_bytes > int(most_bytes * 7 / 8))
        assert was_full == budget.is_full

    assert (0, False) == (budget.waiting_bytes, budget.is_full)


async def test_all_who_wait_continue() -> None:
    """Every client that waits for room gets it once enough was freed."""
    budget = WriteBudget(100)
    budget.add(100)
    waiting = [asyncio.create_task(budget.room()) for _ in range(3)]
    await asyncio.sleep(0)
    budget.free(10)
    assert budget.is_full
    budget.free(10)
    async with asyncio.timeout(20):
        await asyncio.gather(*waiting)

    assert not budget.is_full
