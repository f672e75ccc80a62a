"""When each record is due, and how far a run has come in its rate plan. Pure: every time is an argument.

A record is due at a time that follows from the ledger's `pace` lines alone, whether or not a client could be served
then. So a server that stalls shows up as latency and not as silence (no coordinated omission).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

from services.contract import ledger
from services.contract.wire import due_us
from services.runtime.rate_plan import Plan, Stage


class RateSegment(NamedTuple):
    """A part of the schedule with one rate.

    Attributes:
        first: seq of its first record.
        due_us: when that record is due, epoch microseconds.
        rate: records per second; 0 means all records at once, None is a pause.
    """

    first: int
    due_us: int
    rate: float | None

    def head(self, now_us: int, total: int) -> int:
        """Return the last seq that is due, if no later segment begins: 0 for none, ``total`` at most."""
        first, due, rate = self
        if rate is None or now_us < due:
            return min(first - 1, total)
        if rate == 0:
            return total
        head = first + int((now_us - due) * rate / 1_000_000)
        # Float arithmetic may be off by one in either direction; the due times, rounded down, decide.
        while due_us(due, head - first, rate) > now_us:
            head -= 1
        while due_us(due, head + 1 - first, rate) <= now_us:
            head += 1
        return min(head, total)


class Schedule:
    """The rate segments of one run of ``total`` records. Times are epoch microseconds."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.segments: list[RateSegment] = []

    def add(self, segment: RateSegment) -> None:
        """Add a segment; it replaces all that begin at its first record or later."""
        # A pause and a resume before the next record is due leave a segment without records between them.
        while self.segments and self.segments[-1].first >= segment.first:
            self.segments.pop()
        self.segments.append(segment)

    @property
    def has_started(self) -> bool:
        """Whether there is any segment."""
        return bool(self.segments)

    @property
    def is_paused(self) -> bool:
        """Whether the last segment is a pause."""
        return bool(self.segments) and self.segments[-1].rate is None

    @property
    def is_complete(self) -> bool:
        """Whether every record belongs to a segment; False if the ledger's first `pace` line is lost."""
        return not self.segments or self.segments[0].first == 1

    def head(self, now_us: int) -> int:
        """Return the last seq that is due, 0 for none.

        The last segments may have been decided and not begun yet: until then the one before them holds, up to its end.
        """
        last = self.total
        for segment in reversed(self.segments):
            if now_us >= segment.due_us or segment is self.segments[0]:
                return segment.head(now_us, last)
            last = min(segment.first - 1, self.total)
        return 0

    def segment_of(self, seq: int) -> tuple[RateSegment, int]:
        """Return the segment of a record, and the last seq of that segment.

        Raises:
            LookupError: ``seq`` is before the first segment.
        """
        index = bisect_right(self.segments, seq, key=lambda segment: segment.first) - 1
        if index < 0:
            raise LookupError(f"record {seq} is in no segment of the schedule")
        last = self.segments[index + 1].first - 1 if index + 1 < len(self.segments) else self.total
        return self.segments[index], last

    def due_us(self, seq: int) -> int | None:
        """Return when a record is due; None if a pause comes before it, or without a schedule."""
        if not self.segments:
            return None
        segment, _ = self.segment_of(seq)
        return None if segment.rate is None else due_us(segment.due_us, seq - segment.first, segment.rate)


class NextStage(NamedTuple):
    """A stage of the rate plan that has not been recorded yet.

    Attributes:
        number: of the stage; the first one is 1.
        stage: its rate and duration.
        at_us: when it begins, epoch microseconds.
    """

    number: int
    stage: Stage
    at_us: int


class PlanProgress:
    """The position of a run in its rate plan, computed from `pace` lines.

    A pause that is not part of the plan delays the remaining stages. A rate that an operator sets ends the plan,
    because no position in it corresponds to that rate.
    """

    def __init__(self) -> None:
        self._number: int | None = None
        self._spent_us = 0
        self._since_us: int | None = None

    def apply(self, entry: ledger.PaceEntry) -> None:
        """Update the position with the next `pace` line."""
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
        """End the plan: an operator has set a rate, which holds from now on."""
        self._number = self._since_us = None

    @property
    def is_running(self) -> bool:
        """Whether the plan's clock runs; it does so during a planned pause too."""
        return self._since_us is not None

    def next_stage(self, plan: Plan) -> NextStage | None:
        """Return the stage after the current one; None if there is none, or while the plan's clock is stopped."""
        if self._number is None or self._since_us is None or self._number >= len(plan.stages):
            return None
        us = plan.stages[self._number - 1].us
        left_us = max((us or 0) - self._spent_us, 0)
        return NextStage(self._number + 1, plan.stages[self._number], self._since_us + left_us)

    def upcoming(self, plan: Plan) -> Iterator[NextStage]:
        """Yield the remaining stages with the times at which they begin if nothing interrupts them."""
        upcoming = self.next_stage(plan)
        while upcoming is not None:
            yield upcoming
            number, stage, at_us = upcoming
            if number == len(plan.stages):
                return
            upcoming = NextStage(number + 1, plan.stages[number], at_us + (stage.us or 0))

    def stage_after_resume(self, plan: Plan) -> tuple[int, Stage] | None:
        """Return the stage with which a paused run continues: the interrupted one, or the one after a planned pause.

        None without a plan, or when the plan has ended.
        """
        if self._number is None:
            return None
        number = self._number + 1 if self.is_running else self._number
        return (number, plan.stages[number - 1]) if number <= len(plan.stages) else None
