"""Tests of where in its plan a run is."""

from __future__ import annotations

from services.contract import ledger
from services.runtime.rate_plan import Stage, read_plan
from services.server.feed.schedule import NextStage, PlanProgress

AT = "2026-11-22T07:30:00.000000Z"
SECOND = 1_000_000
PLAN = read_plan("10:2s,20:3s,pause:4s,5")


def progress(*paces: tuple[float, float | None, int | None]) -> PlanProgress:
    """Return the progress after ledger lines of (seconds, rate, stage)."""
    made = PlanProgress()
    for seconds, rate, stage in paces:
        made.apply(ledger.PaceEntry(at=AT, first=1, due_us=round(seconds * SECOND), rate=rate, stage=stage))
    return made


def test_nothing_comes_before_the_start() -> None:
    """A run that has not begun has no next stage, and nothing that it would go on with."""
    made = progress()

    assert (False, None, None) == (made.on, made.next_of(PLAN), made.resumed(PLAN))


def test_a_stage_follows_the_other() -> None:
    """The next stage comes when the one that is on has had its time; the last one has no end."""
    assert NextStage(2, Stage(20, 3 * SECOND), 12 * SECOND) == progress((10, 10, 1)).next_of(PLAN)
    assert NextStage(3, Stage(None, 4 * SECOND), 15 * SECOND) == progress((10, 10, 1), (12, 20, 2)).next_of(PLAN)
    assert progress((10, 10, 1), (12, 20, 2), (15, None, 3), (19, 5, 4)).next_of(PLAN) is None


def test_a_pause_shifts_the_rest() -> None:
    """An interruption takes nothing from the stage that it interrupts, however often that happens."""
    stopped = [(10, 10, 1), (12, 20, 2), (13, None, None)]
    again = [(50, 20, 2), (51, None, None), (60, 20, 2)]

    assert not progress(*stopped).on
    assert progress(*stopped).next_of(PLAN) is None
    assert (2, Stage(20, 3 * SECOND)) == progress(*stopped).resumed(PLAN)
    assert NextStage(3, Stage(None, 4 * SECOND), 61 * SECOND) == progress(*stopped, *again).next_of(PLAN)


def test_a_pause_within_a_planned_one() -> None:
    """A pause that is planned is interrupted like any other stage, and goes on for what is left of it."""
    stopped = progress((10, 10, 1), (12, 20, 2), (15, None, 3), (16, None, None))

    assert (False, (3, Stage(None, 4 * SECOND))) == (stopped.on, stopped.resumed(PLAN))
    stopped.apply(ledger.PaceEntry(at=AT, first=1, due_us=100 * SECOND, rate=None, stage=3))
    assert (True, NextStage(4, Stage(5, None), 103 * SECOND)) == (stopped.on, stopped.next_of(PLAN))


def test_a_planned_pause_is_cut_short() -> None:
    """Who resumes a run in a pause that is planned goes on with the stage after it."""
    assert (4, Stage(5, None)) == progress((10, 10, 1), (12, 20, 2), (15, None, 3)).resumed(PLAN)


def test_a_rate_ends_the_plan() -> None:
    """A rate that somebody set holds from then on, also when it was set in a pause."""
    assert progress((10, 10, 1), (11, 7, None)).next_of(PLAN) is None
    stopped = progress((10, 10, 1), (11, None, None))
    stopped.end()

    assert (False, None, None) == (stopped.on, stopped.next_of(PLAN), stopped.resumed(PLAN))
