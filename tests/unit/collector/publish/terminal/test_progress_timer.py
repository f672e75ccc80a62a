"""Tests of services/collector/publish/terminal/progress.py."""

from msgspec.structs import replace

from services.collector.publish.terminal.progress import SILENT_AFTER_SECONDS, ProgressTimer
from tests.builders.runs import good_run, judged

RUNNING = replace(judged(good_run()), state="running")


def lines_due(seconds: float, polls: int, quiet: bool = False) -> int:
    """Return how many lines are due within a time, with a number of polls that are evenly distributed."""
    timer, step = ProgressTimer(), seconds / polls
    return sum(timer.claim_line(RUNNING, poll * step, poll * step if quiet else 0.0) for poll in range(polls))


def test_a_line_is_due_every_second() -> None:
    """Each second has one line, even if polls are not aligned with seconds."""
    assert [60, 60] == [lines_due(60, 600), lines_due(60.6, 600)]


def test_a_quiet_run_gets_fewer_lines() -> None:
    """A line is due every second at first, then every ten seconds, and none after a minute."""
    assert 5 + 5 == lines_due(SILENT_AFTER_SECONDS * 10, 6000, quiet=True)


def test_a_new_state_is_due_at_once() -> None:
    """A line is due as soon as the state changes, and not again for the same state."""
    timer = ProgressTimer()
    paused = replace(RUNNING, state="paused")

    assert [True, False, True, False] == [
        timer.claim_line(RUNNING, 0.0, 0.0),
        timer.claim_line(RUNNING, 0.1, 0.0),
        timer.claim_line(paused, 0.2, 0.0),
        timer.claim_line(paused, 0.3, 0.0),
    ]


def test_the_first_line_has_a_number() -> None:
    """No line is due before the first message was logged, unless that takes a second."""
    timer = ProgressTimer()
    begun = replace(RUNNING, totals=replace(RUNNING.totals, received=0))

    assert [False, True] == [timer.claim_line(begun, 0.0, 0.0), timer.claim_line(RUNNING, 0.2, 0.0)]
    assert ProgressTimer().claim_line(begun, 1.0, 1.0)
