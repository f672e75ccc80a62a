"""Tests of services/collector/publish/terminal/printer.py."""

from msgspec.structs import replace

from services.collector.publish.terminal.printer import SILENT_AFTER_SECONDS, ProgressTimer
from tests.builders.runs import good_run, judged

RUNNING = replace(judged(good_run()), state="running")


def spoken(seconds: float, polls: int, quiet: bool = False) -> int:
    """Return how many lines are due in so many seconds, if it is asked at each of so many polls."""
    voice, step = ProgressTimer(), seconds / polls
    return sum(voice.is_due(RUNNING, poll * step, poll * step if quiet else 0.0) for poll in range(polls))


def test_a_line_is_due_every_second() -> None:
    """However often it is asked, and though no poll is on time."""
    assert [60, 60] == [spoken(60, 600), spoken(60.6, 600)]


def test_of_a_run_that_stands_still_a_line_is_due_seldom() -> None:
    """Every second at first, every ten seconds then, and after a minute none."""
    assert 5 + 5 == spoken(SILENT_AFTER_SECONDS * 10, 6000, quiet=True)


def test_a_change_of_state_is_told_at_once() -> None:
    """A line is due the moment the run is in another state, and not again for the same."""
    voice = ProgressTimer()
    paused = replace(RUNNING, state="paused")

    assert [True, False, True, False] == [
        voice.is_due(RUNNING, 0.0, 0.0),
        voice.is_due(RUNNING, 0.1, 0.0),
        voice.is_due(paused, 0.2, 0.0),
        voice.is_due(paused, 0.3, 0.0),
    ]


def test_the_first_line_has_a_number() -> None:
    """A run that has just begun is not told before something was logged, unless that takes a second."""
    voice = ProgressTimer()
    begun = replace(RUNNING, totals=replace(RUNNING.totals, received=0))

    assert [False, True] == [voice.is_due(begun, 0.0, 0.0), voice.is_due(RUNNING, 0.2, 0.0)]
    assert ProgressTimer().is_due(begun, 1.0, 1.0)
