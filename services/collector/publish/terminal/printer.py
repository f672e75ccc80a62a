"""Says how runs go: a line a second, or in place on a terminal; and the summary of each when it is over."""

from __future__ import annotations

import logging
import os
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from services.collector.publish.files import run_files
from services.collector.publish.terminal import summary_text
from services.collector.publish.terminal.progress import progress
from services.collector.publish.view_model import view
from services.collector.verdict.snapshot import Snapshot
from services.contract.summary import Summary
from services.runtime.parent_pipe import ParentPipe

if TYPE_CHECKING:
    from services.collector.publish.terminal.live_display import LiveDisplay


class TerminalPrinter:
    """The voice of the collector.

    Args:
        volumes: the volumes folder.
        say: takes a text.
        screen: takes what is shown in place; None where there is no terminal.
        colour: use the terminal's colours.
    """

    def __init__(
        self, volumes: Path, say: Callable[[str], None], screen: LiveDisplay | None = None, *, colour: bool = False
    ) -> None:
        self.screen = screen
        self._volumes, self._say, self._colour = volumes, say, colour

    @classmethod
    def on_stdout(cls, volumes: Path, *, colour: bool) -> TerminalPrinter:
        """Return one that speaks on standard output, in place if that is a terminal."""
        if not sys.stdout.isatty():
            return cls(volumes, _print)
        # Where there is no terminal nothing else needs it.
        from services.collector.publish.terminal.live_display import LiveDisplay  # noqa: PLC0415

        screen = LiveDisplay(sys.stdout, colour=colour)
        return cls(volumes, screen.end, screen, colour=colour)

    def listen(self) -> None:
        """Show above the run what comes through a pipe on standard input, from now on."""
        mode = os.fstat(0).st_mode
        if self.screen is not None and (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
            threading.Thread(target=self.screen.relay, args=(0,), daemon=True).start()

    def progress(self, made: Snapshot, elapsed_s: float | None = None, rate: float | None = None) -> None:
        """Tell how far a run is; the arguments are those of `progress.progress`."""
        if self.screen is None:
            self._say(progress(made.summary, elapsed_s, rate))
        else:
            self.screen.show(view(made, ""), elapsed_s, rate)

    def final(self, made: Snapshot) -> None:
        """Tell the summary of a run."""
        shown = view(made, run_files.places(self._volumes, made.summary.run))
        self._say(summary_text.final(shown, colour=self._colour))

    def end(self) -> None:
        """Leave the terminal as it was."""
        if self.screen is not None:
            self.screen.end()


def _print(text: str) -> None:
    print(text, flush=True)


SPEAK_SECONDS = 1.0
SPEAK_RARELY_SECONDS = 10.0
SILENT_AFTER_SECONDS = 60.0
EARLY_SECONDS = 0.025
"""A line may be so early, a quarter of a poll, else every one would come a poll later than the one before."""


class ProgressTimer:
    """What is said of one run on the terminal, and when it was said last."""

    def __init__(self) -> None:
        self.has_spoken = False
        self._said_at: float | None = None
        self._state = ""

    def is_due(self, summary: Summary, now: float, quiet_for: float) -> bool:
        """Tell whether a line is due: every second while records flow, seldom while not, never when idle."""
        told = f"{summary.state} {summary.headline if summary.state in ('opened', 'waiting') else ''}"
        pause = SPEAK_SECONDS if summary.state == "running" and quiet_for < 5 else SPEAK_RARELY_SECONDS
        if quiet_for > SILENT_AFTER_SECONDS:
            return False
        if summary.state == "running" and not summary.totals.received and quiet_for < SPEAK_SECONDS:
            # It has just begun: a line without a number would put off the one with the first.
            return False
        if told == self._state and self._said_at is not None and now - self._said_at < pause - EARLY_SECONDS:
            return False
        self._state, self._said_at, self.has_spoken = told, now, True
        return True


log = logging.getLogger(__name__)


class OwnRunsPrinter(TerminalPrinter):
    """Hands on to a speaker what concerns the runs that the parent names.

    Args:
        speaker: takes it.
        lifeline: the parent's pipe, on which it writes the names.
    """

    def __init__(self, speaker: TerminalPrinter, lifeline: ParentPipe) -> None:
        self.screen = speaker.screen
        self._speaker = speaker
        self._lock = threading.Lock()
        self._own: set[str] = set()
        self._held: dict[str, Snapshot] = {}
        lifeline.listen(self._take)

    def _take(self, run: str) -> None:
        with self._lock:
            self._own.add(run)
            held = self._held.pop(run, None)
        if held is not None:
            self._speaker.final(held)

    def progress(self, made: Snapshot, elapsed_s: float | None = None, rate: float | None = None) -> None:
        """Tell how far a run is, if it is one of the invocation's."""
        if made.summary.run in self._own:
            self._speaker.progress(made, elapsed_s, rate)

    def final(self, made: Snapshot) -> None:
        """Tell the summary of a run; of another run only that there is one."""
        run = made.summary.run
        with self._lock:
            is_own = run in self._own
            if not is_own:
                # The parent's word may still be on its way.
                self._held[run] = made
        if is_own:
            self._speaker.final(made)
        else:
            log.info("summary of a run that is not of this invocation", extra={"of": run})

    def end(self) -> None:
        """Leave the terminal as it was."""
        self._speaker.end()


def of_invocation(speaker: TerminalPrinter, lifeline: ParentPipe | None) -> TerminalPrinter:
    """Return what speaks of the runs of this process's invocation; of all runs if it belongs to none."""
    return speaker if lifeline is None else OwnRunsPrinter(speaker, lifeline)
