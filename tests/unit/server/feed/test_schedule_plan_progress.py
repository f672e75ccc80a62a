"""Tests of the position of a run in its rate plan."""

from __future__ import annotations

from services.contract import ledger
from services.runtime.rate_plan import Stage, read_plan
from services.server.feed.schedule import NextStage, PlanProgress

AT = "2026-11-22T07:30:00.000000Z"
SECOND = 1_000_000
PLAN = read_plan("10:2s,20:3s,pause:4s,5")


def progress(*paces: tuple[float, float | None, int | None]) -> PlanProgress:
    """Return the position after `pace` entries of (seconds, rate, stage)."""
    made = PlanProgress()
    for seconds, rate, stage in paces:
        made.apply(ledger.PaceEntry(at=AT, first=1, due_us=round(seconds * SECOND), rate=rate, stage=stage))
    return made


def test_nothing_is_next_before_the_start() -> None:
    """A run that has not started has no next stage and nothing to resume."""
    made = progress()

    assert (False, None, None) == (made.is_running, made.next_stage(PLAN), made.stage_after_resume(PLAN))


def test_stages_follow_one_another() -> None:
    """The next stage begins when the current one has lasted its time; the last stage has no end."""
    assert NextStage(2, Stage(20, 3 * SECOND), 12 * SECOND) == progress((10, 10, 1)).next_stage(PLAN)
    assert NextStage(3, Stage(None, 4 * SECOND), 15 * SECOND) == progress((10, 10, 1), (12, 20, 2)).next_stage(PLAN)
    assert progress((10, 10, 1), (12, 20, 2), (15, None, 3), (19, 5, 4)).next_stage(PLAN) is None


def test_a_pause_delays_the_remaining_stages() -> None:
    """A pause takes no time from the stage that it interrupts, however often that happens."""
    stopped = [(10, 10, 1), (12, 20, 2), (13, None, None)]
    again = [(50, 20, 2), (51, None, None), (60, 20, 2)]

    assert not progress(*stopped).is_running
    assert progress(*stopped).next_stage(PLAN) is None
    assert (2, Stage(20, 3 * SECOND)) == progress(*stopped).stage_after_resume(PLAN)
    assert NextStage(3, Stage(None, 4 * SECOND), 61 * SECOND) == progress(*stopped, *again).next_stage(PLAN)


def test_a_planned_pause_can_be_interrupted() -> None:
    """A planned pause can be interrupted like any other stage, and continues for the rest of its time."""
    stopped = progress((10, 10, 1), (12, 20, 2), (15, None, 3), (16, None, None))

    assert (False, (3, Stage(None, 4 * SECOND))) == (stopped.is_running, stopped.stage_after_resume(PLAN))
    stopped.apply(ledger.PaceEntry(at=AT, first=1, due_us=100 * SECOND, rate=None, stage=3))
    assert (True, NextStage(4, Stage(5, None), 103 * SECOND)) == (stopped.is_running, stopped.next_stage(PLAN))


def test_resuming_ends_a_planned_pause() -> None:
    """Resuming a run in a planned pause continues with the stage after it."""
    assert (4, Stage(5, None)) == progress((10, 10, 1), (12, 20, 2), (15, None, 3)).stage_after_resume(PLAN)


def test_a_rate_ends_the_plan() -> None:
    """A rate that an operator sets ends the plan, also when it is set during a pause."""
    assert progress((10, 10, 1), (11, 7, None)).next_stage(PLAN) is None
    stopped = progress((10, 10, 1), (11, None, None))
    stopped.end()

    assert (False, None, None) == (stopped.is_running, stopped.next_stage(PLAN), stopped.stage_after_resume(PLAN))


def test_all_remaining_stages_are_upcoming() -> None:
    """The upcoming stages begin one after another, the first of them when the interrupted stage has had its time."""
    resumed = progress((10, 10, 1), (11, None, None), (50, 10, 1))

    assert [(2, 51 * SECOND), (3, 54 * SECOND), (4, 58 * SECOND)] == [
        (upcoming.number, upcoming.at_us) for upcoming in resumed.upcoming(PLAN)
    ]
