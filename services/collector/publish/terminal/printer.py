"""Says how runs go: a line a second, or in place on a terminal; and the summary of each when it is over."""

from __future__ import annotations

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

if TYPE_CHECKING:
    from services.collector.publish.terminal.live_display import Screen


class Speaker:
    """The voice of the collector.

    Args:
        volumes: the volumes folder.
        say: takes a text.
        screen: takes what is shown in place; None where there is no terminal.
        colour: use the terminal's colours.
    """

    def __init__(
        self, volumes: Path, say: Callable[[str], None], screen: Screen | None = None, *, colour: bool = False
    ) -> None:
        self.screen = screen
        self._volumes, self._say, self._colour = volumes, say, colour

    @classmethod
    def on_stdout(cls, volumes: Path, *, colour: bool) -> Speaker:
        """Return one that speaks on standard output, in place if that is a terminal."""
        if not sys.stdout.isatty():
            return cls(volumes, _print)
        # Where there is no terminal nothing else needs it.
        from services.collector.publish.terminal.live_display import Screen  # noqa: PLC0415

        screen = Screen(sys.stdout, colour=colour)
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
