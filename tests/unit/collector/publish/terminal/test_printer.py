"""Tests of services/collector/publish/terminal/printer.py."""

import io
import sys
from pathlib import Path

import pytest

from services.collector.publish.terminal.live_display import LiveDisplay
from services.collector.publish.terminal.printer import TerminalPrinter
from services.collector.verdict.snapshot import snapshot
from tests.builders.runs import fold, good_run, ledger_source

OPEN = snapshot(fold({**good_run(), ledger_source(): good_run()[ledger_source()][:-1]}), final=False)
OVER = snapshot(fold(good_run()), final=True)


class Terminal(io.StringIO):
    """What is written to a terminal."""

    def isatty(self) -> bool:
        """Say that it is one."""
        return True


def test_without_a_terminal_it_speaks_in_lines() -> None:
    """A line of progress, then the summary with the place of its files."""
    said: list[str] = []
    speaker = TerminalPrinter(Path("/volumes"), said.append)
    speaker.progress(OPEN, 7.0, 1000)
    speaker.final(OVER)
    speaker.end()

    assert said[0].startswith("00:07  running  2 clients  120 of 120")
    assert said[1].startswith("\n  PASS   ")
    assert "files in /volumes: " in said[1]
    assert 2 == len(said)


def test_on_a_terminal_the_run_is_shown_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame, which gives way to the summary."""
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    speaker = TerminalPrinter.on_stdout(Path("/volumes"), colour=False)
    speaker.progress(OPEN, 7.0, 1000)

    assert "00:07   ━━━" in terminal.getvalue()

    speaker.final(OVER)

    assert isinstance(speaker.screen, LiveDisplay)
    assert "\n  PASS   " in terminal.getvalue().rpartition("\x1b[?25h")[2]


def test_a_pipe_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes to a file or through a pipe is plain lines."""
    piped = io.StringIO()
    monkeypatch.setattr(sys, "stdout", piped)
    speaker = TerminalPrinter.on_stdout(Path("/volumes"), colour=True)
    speaker.final(OVER)

    assert speaker.screen is None
    assert "\x1b" not in piped.getvalue()
