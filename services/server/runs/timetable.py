"""When the runs of ``START_AT`` begin and end. Pure.

Everything follows from the settings, so servers that do not see each other play the same runs.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from services.contract import wire
from services.contract.scalars import utc_us
from services.runtime.rate_plan import Plan
from services.runtime.volumes import run_name
from services.server.feed.schedule import RateSegment

PAUSE_US = 5_000_000
"""From the end of a run to the next one, at least: clients seal their logs and subscribe again meanwhile."""
_SECOND_US = 1_000_000


class RunTimes(NamedTuple):
    """When one run begins and ends, epoch microseconds: its first record is due at ``start_us``."""

    start_us: int
    end_us: int


class Timetable(NamedTuple):
    """The runs of ``START_AT``, numbered from 1.

    Attributes:
        start_us: when the first one begins, epoch microseconds.
        length_us: from the first record of a run that is due to its end.
        runs: how many there are; 0 for no end.
    """

    start_us: int
    length_us: int
    runs: int

    @property
    def period_us(self) -> int:
        """From the begin of a run to that of the next: whole seconds, since runs are named by them."""
        return -(-(self.length_us + PAUSE_US) // _SECOND_US) * _SECOND_US

    def times(self, number: int) -> RunTimes:
        """Return when a run begins and ends."""
        start_us = self.start_us + (number - 1) * self.period_us
        return RunTimes(start_us, start_us + self.length_us)

    def name(self, number: int) -> str:
        """Return the name of a run."""
        return run_name(self.times(number).start_us)

    def number_of(self, name: str) -> int | None:
        """Return the number of the run of this name, None if it is none of these runs."""
        try:
            named_us = utc_us(f"{name[:4]}-{name[4:6]}-{name[6:11]}:{name[11:13]}:{name[13:15]}Z")
        except ValueError:
            return None
        number = (named_us - self.start_us) // self.period_us + 1
        is_in_time = number >= 1 and (not self.runs or number <= self.runs)
        return number if is_in_time and name == self.name(number) else None

    def number_at(self, now_us: int, after: int = 0) -> int | None:
        """Return the first run after number ``after`` that has not ended at a time; None if all of them are over."""
        ended = max((now_us - self.start_us - self.length_us) // self.period_us + 1, 0)
        number = max(ended, after) + 1
        return None if self.runs and number > self.runs else number


def timetable(start_us: int, plan: Plan, records: int, grace_seconds: float, runs: int) -> Timetable:
    """Return the runs of ``START_AT``.

    Args:
        start_us: when the first record of the first run is due, epoch microseconds.
        plan: the rate or the stages of each run; its rates are above 0.
        records: of each run.
        grace_seconds: from the time at which the last record is due to the end.
        runs: how many; 0 for no end.
    """
    return Timetable(start_us, last_due_us(plan, records) + round(grace_seconds * _SECOND_US), runs)


def last_due_us(plan: Plan, records: int) -> int:
    """Return when the last record is due, in microseconds after the first, if nothing interrupts the plan."""
    segment, begins_us = RateSegment(1, 0, plan.stages[0].rate), 0
    for stage, following in pairwise(plan.stages):
        begins_us += stage.us or 0
        # A record that is due exactly at the start of a stage belongs to that stage.
        last_before = segment.head(begins_us - 1, records)
        if last_before >= records:
            break
        segment = RateSegment(last_before + 1, begins_us, following.rate)
    return wire.due_us(segment.due_us, records - segment.first, segment.rate or 0)
