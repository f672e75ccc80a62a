"""Tests of reading a run that another server process played."""

from __future__ import annotations

from services.contract import ledger
from services.contract.scalars import MAX_INTEGER, utc_text
from services.server.runs.past_run import PastRun
from tests.unit.server.fakes import START_US


def opening(total: int = 100, second: int = 0) -> ledger.OpenEntry:
    """Return the first entry of a ledger."""
    return ledger.OpenEntry(
        at=at(second), run="20261122T073000Z", instance="a", boot="b", software="s", feed="f", seed=42,
        schema="person", locale="en_US", faker="1", pool=7, total=total, rate=10, clients=1,
    )  # fmt: skip


def at(second: int) -> str:
    """Return the time of an entry."""
    return utc_text(START_US + second * 1_000_000)


def pace(first: int, second: int = 1) -> ledger.PaceEntry:
    """Return the entry of a rate."""
    return ledger.PaceEntry(at=at(second), first=first, due_us=START_US, rate=10)


def subscribe(fence: int) -> ledger.SubscribeEntry:
    """Return the entry of a subscription."""
    return ledger.SubscribeEntry(
        at=at(2), client="client-1", session=1, instance="one", fence=fence, first=1, block_size=10
    )


def test_a_past_run() -> None:
    """Opening, state and last time come from the entries, which are iterated once."""
    lines: list[ledger.Entry | None] = [opening(), pace(1), opening(second=5), subscribe(3)]
    past = PastRun(iter(lines))

    assert (opening(), False, None) == (past.opening, past.has_ended, past.obstacle)
    assert (100, 3, "running", START_US + 5_000_000) == (
        *(past.recorded.total, past.recorded.fence, past.recorded.state),
        past.last_us,
    )
    assert PastRun([opening(), ledger.EndEntry(at=at(9), last=100, count=100, reason="complete")]).has_ended


def test_no_entries() -> None:
    """Without an entry there is no opening."""
    past = PastRun([])

    assert (None, False, 0, None) == (past.opening, past.has_ended, past.last_us, past.obstacle)


def test_obstacles() -> None:
    """An unknown line, a schedule without its beginning and an exhausted fence are obstacles."""
    assert "in an unknown format" in str(PastRun([opening(), None]).obstacle)
    assert "gap in the schedule" in str(PastRun([opening(), pace(5)]).obstacle)
    assert "gap in the schedule" in str(PastRun([opening(), pace(1), subscribe(MAX_INTEGER)]).obstacle)
