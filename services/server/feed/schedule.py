"""When each record is due: stretches of constant pace, a function of the clock alone.

The head of the feed is what is due by now, whether or not anybody could be served, so a server that stalls shows
up as latency and not as silence.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

from services.contract.wire import due_us


class Stretch(NamedTuple):
    """From ``first`` on, records are due from ``due_us`` on at ``rate`` per second; None is a pause."""

    first: int
    due_us: int
    rate: float | None


class Schedule:
    """The stretches of one run of ``total`` records. Times are epoch microseconds."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.stretches: list[Stretch] = []

    def enter(self, stretch: Stretch) -> None:
        """Begin a new stretch; of equal ``first`` the last one entered counts."""
        while self.stretches and self.stretches[-1].first >= stretch.first:
            self.stretches.pop()
        self.stretches.append(stretch)

    @property
    def started(self) -> bool:
        """Whether the run has a schedule at all."""
        return bool(self.stretches)

    @property
    def paused(self) -> bool:
        """Whether the clock stands still for the feed."""
        return bool(self.stretches) and self.stretches[-1].rate is None

    @property
    def whole(self) -> bool:
        """Whether every record is in a stretch: false when what came first is missing."""
        return not self.stretches or self.stretches[0].first == 1

    def head(self, now_us: int) -> int:
        """Return the last seq that is due, 0 for none."""
        if not self.stretches:
            return 0
        first, due, rate = self.stretches[-1]
        if rate is None or now_us < due:
            return min(first - 1, self.total)
        if rate == 0:
            return self.total
        head = first + int((now_us - due) * rate / 1_000_000)
        # Float arithmetic may be one off either way; the due times, rounded down, decide.
        while due_us(due, head - first, rate) > now_us:
            head -= 1
        while due_us(due, head + 1 - first, rate) <= now_us:
            head += 1
        return min(head, self.total)

    def stretch_of(self, seq: int) -> tuple[Stretch, int]:
        """Return the stretch of a seq, and the last seq of that stretch.

        Raises:
            LookupError: the run has not begun at ``seq``.
        """
        at = bisect_right(self.stretches, seq, key=lambda stretch: stretch.first) - 1
        if at < 0:
            raise LookupError(f"record {seq} is in no stretch of the schedule")
        last = self.stretches[at + 1].first - 1 if at + 1 < len(self.stretches) else self.total
        return self.stretches[at], last

    def due_us(self, seq: int) -> int | None:
        """Return when a record is due; None while paused before it, and without a schedule."""
        if not self.stretches:
            return None
        stretch, _ = self.stretch_of(seq)
        return None if stretch.rate is None else due_us(stretch.due_us, seq - stretch.first, stretch.rate)
