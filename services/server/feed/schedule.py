"""When each record is due: stretches of constant pace, a function of the clock alone.

The head of the feed is what is due by now, whether or not anybody could be served, so a server that stalls shows
up as latency and not as silence.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

from services.contract import ledger
from services.contract.wire import due_us
from services.runtime.rate_plan import Plan, Stage


class RateSegment(NamedTuple):
    """From ``first`` on, records are due from ``due_us`` on at ``rate`` per second; None is a pause."""

    first: int
    due_us: int
    rate: float | None


class Schedule:
    """The stretches of one run of ``total`` records. Times are epoch microseconds."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.stretches: list[RateSegment] = []

    def enter(self, stretch: RateSegment) -> None:
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

    def stretch_of(self, seq: int) -> tuple[RateSegment, int]:
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


class NextStage(NamedTuple):
    """What comes next of a plan: the stage with this number (the first is 1), at this time."""

    number: int
    stage: Stage
    at_us: int


class PlanProgress:
    """Where in its plan a run is. A pause that nobody planned shifts what is left; a rate that somebody set ends it."""

    def __init__(self) -> None:
        self._number: int | None = None
        self._spent_us = 0
        self._since_us: int | None = None

    def apply(self, entry: ledger.PaceEntry) -> None:
        """Take in a line of the ledger."""
        if self._since_us is not None:
            self._spent_us += entry.due_us - self._since_us
        if entry.stage is None:
            self._since_us = None
            if entry.rate is not None:
                self.end()
            return
        if entry.stage != self._number:
            self._spent_us = 0
        self._number, self._since_us = entry.stage, entry.due_us

    def end(self) -> None:
        """Somebody set a rate: that holds from now on."""
        self._number = self._since_us = None

    @property
    def on(self) -> bool:
        """Whether the clock of the plan runs, be it through a pause that is planned."""
        return self._since_us is not None

    def next_of(self, plan: Plan) -> NextStage | None:
        """Return what comes after the stage that is on; None when nothing does, or its clock stands."""
        if self._number is None or self._since_us is None or self._number >= len(plan.stages):
            return None
        us = plan.stages[self._number - 1].us
        left_us = max((us or 0) - self._spent_us, 0)
        return NextStage(self._number + 1, plan.stages[self._number], self._since_us + left_us)

    def resumed(self, plan: Plan) -> tuple[int, Stage] | None:
        """Return with which stage a paused run goes on: the interrupted one, or the one after a pause that was planned.

        None without a plan, or when it is over.
        """
        if self._number is None:
            return None
        number = self._number + 1 if self.on else self._number
        return (number, plan.stages[number - 1]) if number <= len(plan.stages) else None
