"""Tests of when the runs of START_AT begin and end."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.rate_plan import read_plan
from services.server.feed.schedule import RateSegment, Schedule
from services.server.runs.timetable import PAUSE_US, RunTimes, last_due_us, timetable
from tests.unit.server.fakes import START_US

SECOND = 1_000_000


def test_a_run_ends_the_grace_period_after_its_last_record() -> None:
    """The end follows from rate, records and grace period."""
    runs = timetable(START_US, read_plan("100"), 501, 2.5, 1)

    assert RunTimes(START_US, START_US + 7_500_000) == runs.times(1)
    assert "20261122T073000Z" == runs.name(1)


def test_the_next_run_begins_after_a_pause_in_a_whole_second() -> None:
    """Runs are named by whole seconds, and clients have some seconds between two of them."""
    runs = timetable(START_US, read_plan("100"), 501, 2.6, 0)

    assert START_US + 13 * SECOND == runs.times(2).start_us
    assert PAUSE_US <= runs.times(2).start_us - runs.times(1).end_us
    assert ("20261122T073013Z", 2) == (runs.name(2), runs.number_of("20261122T073013Z"))


@pytest.mark.parametrize(
    ("seconds", "after", "number"),
    [(-100, 0, 1), (0, 0, 1), (7.4, 0, 1), (7.5, 0, 2), (13, 0, 2), (21, 0, None), (3, 1, 2), (3, 2, None)],
)
def test_the_clock_shows_the_run(seconds: float, after: int, number: int | None) -> None:
    """A time belongs to the run that has not ended then; after the last one there is none."""
    runs = timetable(START_US, read_plan("100"), 501, 2.5, 2)

    assert number == runs.number_at(START_US + round(seconds * SECOND), after)


@pytest.mark.parametrize("name", ["20261122T072959Z", "20261122T073001Z", "20261122T073000Z-2", "99999999T999999Z"])
def test_other_names_are_none_of_the_runs(name: str) -> None:
    """A run that was opened by clients has no number."""
    assert timetable(START_US, read_plan("100"), 501, 2.5, 0).number_of(name) is None


STAGES = st.lists(
    st.tuples(st.one_of(st.none(), st.sampled_from([1, 7, 30, 1000])), st.integers(1, 40)), min_size=0, max_size=4
)


@given(stages=STAGES, records=st.integers(1, 400), first=st.sampled_from([3, 50]), last=st.sampled_from([2, 100]))
def test_the_last_record_is_due_as_the_schedule_says(
    stages: list[tuple[int | None, int]], records: int, first: int, last: int
) -> None:
    """The computed time of the last record is that of a schedule to which the stages are added as they begin."""
    middle = [f"{'pause' if rate is None else rate}:{tenths * 100}ms" for rate, tenths in stages]
    plan = read_plan(",".join([f"{first}:500ms", *middle, str(last)]))
    schedule, begins_us = Schedule(records), 0
    schedule.add(RateSegment(1, 0, plan.rate))
    for stage, following in pairwise(plan.stages):
        begins_us += stage.us or 0
        head = schedule.head(begins_us - 1)
        if head < records:
            schedule.add(RateSegment(head + 1, begins_us, following.rate))

    assert schedule.due_us(records) == last_due_us(plan, records)
