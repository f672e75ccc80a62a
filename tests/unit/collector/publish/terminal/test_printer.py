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
    """A terminal that keeps everything written to it."""

    def isatty(self) -> bool:
        """Return true."""
        return True


def test_without_a_terminal_progress_is_printed_in_lines() -> None:
    """A printer without a display prints a line of progress, then the summary with the folders of its files."""
    printed: list[str] = []
    printer = TerminalPrinter(Path("/volumes"), printed.append)
    printer.print_progress(OPEN, 7.0, 1000)
    printer.print_summary(OVER)
    printer.close()

    assert printed[0].startswith("00:07  running  2 clients  120 of 120")
    assert printed[1].startswith("\n  PASS   ")
    assert "files in /volumes: " in printed[1]
    assert 2 == len(printed)


def test_on_a_terminal_progress_is_shown_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """The summary replaces the frame."""
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    printer = TerminalPrinter.on_stdout(Path("/volumes"), colour=False)
    printer.print_progress(OPEN, 7.0, 1000)

    assert "00:07   ━━━" in terminal.getvalue()

    printer.print_summary(OVER)

    assert isinstance(printer.display, LiveDisplay)
    assert "\n  PASS   " in terminal.getvalue().rpartition("\x1b[?25h")[2]


def test_a_pipe_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard output that is no terminal has no display and no colours."""
    piped = io.StringIO()
    monkeypatch.setattr(sys, "stdout", piped)
    printer = TerminalPrinter.on_stdout(Path("/volumes"), colour=True)
    printer.print_summary(OVER)

    assert printer.display is None
    assert "\x1b" not in piped.getvalue()
