"""Tests of what is read back of a run that another server process played."""

from __future__ import annotations

from services.contract import ledger
from services.contract.scalars import MAX_INTEGER, utc_text
from services.server.runs.run_store import PastRun
from tests.unit.server.fakes import START_US


def opening(total: int = 100, second: int = 0) -> ledger.OpenEntry:
    """Return the first line of a ledger."""
    return ledger.OpenEntry(
        at=at(second), run="20261122T073000Z", instance="a", boot="b", software="s", feed="f", seed=42,
        schema="person", locale="en_US", faker="1", pool=7, total=total, rate=10, clients=1,
    )  # fmt: skip


def at(second: int) -> str:
    """Return the time of a line."""
    return utc_text(START_US + second * 1_000_000)


def pace(first: int, second: int = 1) -> ledger.PaceEntry:
    """Return a line of pace."""
    return ledger.PaceEntry(at=at(second), first=first, due_us=START_US, rate=10)


def subscribe(fence: int) -> ledger.SubscribeEntry:
    """Return the line of a subscription."""
    return ledger.SubscribeEntry(
        at=at(2), client="client-1", session=1, instance="one", fence=fence, first=1, block_size=10
    )


def test_a_run_is_read_back() -> None:
    """Opening, state and last time are those of the lines, from an iterator that is used once."""
    lines: list[ledger.Entry | None] = [opening(), pace(1), opening(second=5), subscribe(3)]
    past = PastRun(iter(lines))

    assert (opening(), False, None) == (past.opening, past.ended, past.obstacle)
    assert (100, 3, "running", START_US + 5_000_000) == (
        *(past.book.total, past.book.fence, past.book.state),
        past.last_us,
    )
    assert PastRun([opening(), ledger.EndEntry(at=at(9), last=100, count=100, reason="complete")]).ended


def test_nothing_is_no_run() -> None:
    """Without a line there is no opening."""
    past = PastRun([])

    assert (None, False, 0, None) == (past.opening, past.ended, past.last_us, past.obstacle)


def test_what_cannot_be_played_is_an_obstacle() -> None:
    """A line that nobody understands, a schedule without its beginning and a fence that cannot rise are said."""
    assert "cannot be understood" in str(PastRun([opening(), None]).obstacle)
    assert "cannot be played" in str(PastRun([opening(), pace(5)]).obstacle)
    assert "cannot be played" in str(PastRun([opening(), pace(1), subscribe(MAX_INTEGER)]).obstacle)
