"""Tests of services/collector/commands/reading_progress.py."""

import io
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.collector.commands import reading_progress
from services.collector.commands.reading_progress import (
    FIRST_SECONDS,
    LINE_SECONDS,
    TERMINAL_SECONDS,
    ReadingProgress,
    progress_text,
)

MB = 1_000_000


class Reading:
    """A reading of 100 MB with a clock of the test's own, and what it shows."""

    def __init__(self, *, in_place: bool) -> None:
        self.seconds, self.shown = 0.0, list[str]()
        self.progress = ReadingProgress(
            "reading", 100 * MB, self.shown.append, in_place=in_place, now=lambda: self.seconds
        )

    def read(self, seconds: float, step: float = 0.1) -> None:
        """Read 10 MB a second for some time."""
        until = self.seconds + seconds
        while self.seconds < until:
            self.seconds += step
            self.progress.add(int(10 * MB * step))


def test_bytes_rate_and_time_left_are_shown() -> None:
    """A line has the bytes, the share, the rate and the time left, which is estimated in whole seconds."""
    for seconds, left in ((4, "10.0 MB/s  6 s"), (100, "400.0 kB/s  2 min 30 s"), (8000, "5.0 kB/s  3 h 20 min")):
        expected = f"reading 40.0 MB of 100.0 MB  40.0 %  {left} left"
        assert expected == progress_text("reading", 40 * MB, 100 * MB, seconds)


@given(st.integers(0, 10**13), st.integers(0, 10**13), st.floats(0.001, 10**6))
def test_any_progress_has_a_text(done: int, total: int, seconds: float) -> None:
    """A file that grows meanwhile, or is empty, gives a text without more than 100 %."""
    assert "100.1" not in progress_text("reading", done + 1, total, seconds)


@pytest.mark.parametrize("in_place", [False, True])
def test_a_short_reading_is_silent(*, in_place: bool) -> None:
    """Nothing is shown before a reading has taken two seconds."""
    reading = Reading(in_place=in_place)
    reading.read(FIRST_SECONDS - 0.2)
    reading.progress.erase()

    assert [] == reading.shown


def test_lines_are_rare() -> None:
    """Where there is no terminal a whole line is printed every five seconds."""
    reading = Reading(in_place=False)
    reading.read(FIRST_SECONDS + 2 * LINE_SECONDS - 0.5)
    reading.progress.erase()

    assert 2 == len(reading.shown)
    assert all(line.startswith("reading ") and line.endswith(" left\n") for line in reading.shown)


def test_a_terminal_is_updated_in_place() -> None:
    """On a terminal one line is replaced, and erased at the end, once."""
    reading = Reading(in_place=True)
    reading.read(FIRST_SECONDS + 1)
    reading.progress.erase()
    reading.progress.erase()

    assert 1 / TERMINAL_SECONDS - 1 <= len(reading.shown) - 1 <= 1 / TERMINAL_SECONDS + 2
    assert all(text.startswith("\r\x1b[K") for text in reading.shown)
    assert "\r\x1b[K" == reading.shown[-1]
    assert not any("\n" in text for text in reading.shown)


def test_the_files_of_the_runs_are_the_total(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The total is the size of ledger and logs of the named runs; the progress goes to standard error."""
    for place, size in (
        ("ledger/run/a.jsonl", 3),
        ("logs/run/client-1/0001-0001.jsonl", 4),
        ("logs/other/c/d.jsonl", 9),
    ):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(bytes(size))
    monkeypatch.setattr(reading_progress, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(sys, "stderr", errors := io.StringIO())
    with reading_progress.reading(tmp_path, ["run"], times=2) as progress:
        progress.add(7)

    assert errors.getvalue().startswith("reading 7 B of 14 B  50.0 %  ")
