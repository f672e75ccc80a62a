"""Tests of services/collector/publish/terminal/live_display.py."""

import io
import os

import pytest

from services.collector.publish.terminal.live_display import LiveDisplay
from services.collector.publish.view_model import view
from services.collector.verdict.snapshot import snapshot
from tests.builders.runs import fold, good_run, ledger_source

OPEN = view(snapshot(fold({**good_run(), ledger_source(): good_run()[ledger_source()][:-1]}), final=False), "")
HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"


class Terminal(io.StringIO):
    """A terminal that keeps everything written to it."""

    def isatty(self) -> bool:
        """Return true."""
        return True


@pytest.fixture(autouse=True)
def any_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the kind and size of the terminal, independent of the environment."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("LINES", "40")
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_a_run_is_redrawn_in_place() -> None:
    """The second frame overwrites the first one."""
    terminal = Terminal()
    display = LiveDisplay(terminal, colour=True)
    display.show(OPEN)
    first = len(terminal.getvalue())
    display.show(OPEN)
    display.stop()

    assert "client-1" in terminal.getvalue()[:first]
    assert "\x1b[1A\x1b[2K" in terminal.getvalue()[first:]


def test_the_terminal_is_restored() -> None:
    """Stopping shows the cursor again, removes the frame, and prints the given text."""
    terminal = Terminal()
    display = LiveDisplay(terminal, colour=True)
    display.show(OPEN)
    display.stop("PASS")

    assert terminal.getvalue().startswith(HIDE)
    assert terminal.getvalue().count(HIDE) == terminal.getvalue().count(SHOW)
    assert terminal.getvalue().endswith("PASS\n")


def test_a_line_is_printed_above_the_frame() -> None:
    """A log line is printed, and the frame is drawn again below it."""
    terminal = Terminal()
    display = LiveDisplay(terminal, colour=True)
    display.show(OPEN)
    display.print_above("server    | a line")
    after = terminal.getvalue().rpartition("a line")[2]
    display.stop()

    assert "client-1" in after


def test_lines_from_a_pipe_are_relayed() -> None:
    """Complete lines are printed, however the reads split them, until the writer closes the pipe."""
    terminal = Terminal()
    display = LiveDisplay(terminal, colour=False)
    reader, writer = os.pipe()
    os.write(writer, b"server    | one\nserver ")
    os.write(writer, b"   | two\nnever ended")
    os.close(writer)
    display.relay(reader)
    os.close(reader)

    assert "server    | one\nserver    | two\n" == terminal.getvalue()


def test_colours_can_be_switched_off() -> None:
    """Without colours the output has cursor movements but no colour codes."""
    terminal = Terminal()
    display = LiveDisplay(terminal, colour=False)
    display.show(OPEN)
    display.stop()

    assert "\x1b[36m" not in terminal.getvalue()


def test_stopping_without_a_frame_only_prints_the_text() -> None:
    """Without a frame there is nothing to remove, so no escape sequences are written."""
    terminal = Terminal()
    LiveDisplay(terminal, colour=True).stop("PASS")

    assert "PASS\n" == terminal.getvalue()
