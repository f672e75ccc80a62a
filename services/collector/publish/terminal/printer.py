"""Prints runs: progress line by line, or in place on a terminal, and the summary of each run when it is over."""

from __future__ import annotations

import logging
import os
import shutil
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from services.collector.publish.files import run_files
from services.collector.publish.terminal import summary_text
from services.collector.publish.terminal.progress import progress_line
from services.collector.publish.terminal.text_layout import WIDTH
from services.collector.publish.view_model import view
from services.collector.verdict.snapshot import Snapshot
from services.runtime.parent_pipe import ParentPipe

if TYPE_CHECKING:
    from services.collector.publish.terminal.live_display import LiveDisplay

log = logging.getLogger(__name__)


class TerminalPrinter:
    """Prints progress and summaries.

    Args:
        volumes: the volumes folder.
        write: prints a text.
        display: shows progress in place; None where there is no terminal.
        colour: use ANSI colours in summaries.
    """

    def __init__(
        self, volumes: Path, write: Callable[[str], None], display: LiveDisplay | None = None, *, colour: bool = False
    ) -> None:
        self.display = display
        self._volumes, self._write, self._colour = volumes, write, colour

    @classmethod
    def on_stdout(cls, volumes: Path, *, colour: bool) -> TerminalPrinter:
        """Return a printer to standard output, which shows progress in place if that is a terminal."""
        if not sys.stdout.isatty():
            return cls(volumes, _print)
        # Imported here because it loads rich, which only a terminal needs.
        from services.collector.publish.terminal.live_display import LiveDisplay  # noqa: PLC0415

        display = LiveDisplay(sys.stdout, colour=colour)
        return cls(volumes, display.stop, display, colour=colour)

    def relay_stdin(self) -> None:
        """Print lines that come through a pipe on standard input above the display, from now on, in a thread.

        A parent process sends the log lines of its other children there: only this process may write to the terminal.
        """
        mode = os.fstat(0).st_mode
        if self.display is not None and (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
            threading.Thread(target=self.display.relay, args=(0,), daemon=True).start()

    def print_progress(self, snapshot: Snapshot, elapsed_s: float | None = None, rate: float | None = None) -> None:
        """Print or show how far a run is; the arguments are those of `progress.progress_line`."""
        if self.display is None:
            self._write(progress_line(snapshot.summary, elapsed_s, rate))
        else:
            self.display.show(view(snapshot, ""), elapsed_s, rate)

    def print_summary(self, snapshot: Snapshot) -> None:
        """Print the summary of a run."""
        summary_view = view(snapshot, run_files.places(self._volumes, snapshot.summary.run))
        self._write(summary_text.render(summary_view, colour=self._colour, width=summary_width()))

    def close(self) -> None:
        """Restore the terminal."""
        if self.display is not None:
            self.display.stop()


def summary_width() -> int:
    """Return how many columns a summary on standard output may have: a terminal's, or the most for a log."""
    return shutil.get_terminal_size((WIDTH, 24)).columns if sys.stdout.isatty() else WIDTH


def _print(text: str) -> None:
    print(text, flush=True)


class OwnRunsPrinter(TerminalPrinter):
    """Prints only the runs that the parent process names: others on the same volumes are not part of this invocation.

    Args:
        printer: prints them.
        pipe: the parent's pipe, to which it writes the names.
    """

    def __init__(self, printer: TerminalPrinter, pipe: ParentPipe) -> None:
        self.display = printer.display
        self._printer = printer
        self._lock = threading.Lock()
        self._own_runs: set[str] = set()
        self._unclaimed: dict[str, Snapshot] = {}
        pipe.listen(self._add_own_run)

    def _add_own_run(self, run: str) -> None:
        # The thread of the pipe calls this. Printing happens outside the lock, so that the poller never waits for it.
        with self._lock:
            self._own_runs.add(run)
            snapshot = self._unclaimed.pop(run, None)
        if snapshot is not None:
            self._printer.print_summary(snapshot)

    def print_progress(self, snapshot: Snapshot, elapsed_s: float | None = None, rate: float | None = None) -> None:
        """Print or show how far a run is, if it is part of this invocation."""
        if snapshot.summary.run in self._own_runs:
            self._printer.print_progress(snapshot, elapsed_s, rate)

    def print_summary(self, snapshot: Snapshot) -> None:
        """Print the summary of a run of this invocation; for any other run only log that there is one."""
        run = snapshot.summary.run
        with self._lock:
            is_own = run in self._own_runs
            if not is_own:
                # The parent may not have written the name yet: keep the summary until it does.
                self._unclaimed[run] = snapshot
        if is_own:
            self._printer.print_summary(snapshot)
        else:
            log.info("summary of a run that is not of this invocation", extra={"of": run})

    def close(self) -> None:
        """Restore the terminal."""
        self._printer.close()


def printer_of_invocation(printer: TerminalPrinter, pipe: ParentPipe | None) -> TerminalPrinter:
    """Return a printer for the runs of this process's invocation, or for all runs if it has no parent's pipe."""
    return printer if pipe is None else OwnRunsPrinter(printer, pipe)
