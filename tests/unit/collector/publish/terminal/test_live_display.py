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
    """What is written to a terminal."""

    def isatty(self) -> bool:
        """Say that it is one."""
        return True


@pytest.fixture(autouse=True)
def any_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be a terminal of a known kind and size, whatever runs the tests."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("LINES", "40")
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_a_run_is_shown_in_place() -> None:
    """The second time the cursor goes up to where the first frame began."""
    terminal = Terminal()
    screen = LiveDisplay(terminal, colour=True)
    screen.show(OPEN)
    first = len(terminal.getvalue())
    screen.show(OPEN)
    screen.end()

    assert "client-1" in terminal.getvalue()[:first]
    assert "\x1b[1A\x1b[2K" in terminal.getvalue()[first:]


def test_the_terminal_is_left_as_it_was() -> None:
    """The cursor comes back, the frame goes, the last word stays."""
    terminal = Terminal()
    screen = LiveDisplay(terminal, colour=True)
    screen.show(OPEN)
    screen.end("PASS")

    assert terminal.getvalue().startswith(HIDE)
    assert terminal.getvalue().count(HIDE) == terminal.getvalue().count(SHOW)
    assert terminal.getvalue().endswith("PASS\n")


def test_what_is_said_stands_above() -> None:
    """A line of a log is written and the frame drawn below it again."""
    terminal = Terminal()
    screen = LiveDisplay(terminal, colour=True)
    screen.show(OPEN)
    screen.say("server    | a line")
    after = terminal.getvalue().rpartition("a line")[2]
    screen.end()

    assert "client-1" in after


def test_lines_of_others_are_relayed() -> None:
    """Whole lines, however they come, until their writer is gone."""
    terminal = Terminal()
    screen = LiveDisplay(terminal, colour=False)
    reader, writer = os.pipe()
    os.write(writer, b"server    | one\nserver ")
    os.write(writer, b"   | two\nnever ended")
    os.close(writer)
    screen.relay(reader)
    os.close(reader)

    assert "server    | one\nserver    | two\n" == terminal.getvalue()


def test_colours_are_left_out() -> None:
    """Without colours there are movements of the cursor alone, no colour."""
    terminal = Terminal()
    screen = LiveDisplay(terminal, colour=False)
    screen.show(OPEN)
    screen.end()

    assert "\x1b[36m" not in terminal.getvalue()


def test_nothing_is_done_to_a_terminal_that_shows_nothing() -> None:
    """A text is only written."""
    terminal = Terminal()
    LiveDisplay(terminal, colour=True).end("PASS")

    assert "PASS\n" == terminal.getvalue()
