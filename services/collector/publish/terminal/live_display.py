"""A terminal on which a run is shown in place. The only module that needs rich: loaded where there is a terminal."""

from __future__ import annotations

import os
import threading
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from services.collector.publish.terminal.progress import frame
from services.collector.publish.terminal.text_table import Style
from services.collector.publish.view_model import View

_STYLES: dict[Style, str] = {
    "good": "green", "bad": "red", "doubt": "yellow", "title": "bold", "value": "cyan", "faint": "dim", "": "",
}  # fmt: skip


class LiveDisplay:
    """Shows a run in place, and leaves what is said above it. Any thread may call."""

    def __init__(self, out: TextIO, *, colour: bool) -> None:
        self._console = Console(file=out, no_color=not colour, highlight=False, emoji=False, markup=False)
        self._live: Live | None = None
        self._lock = threading.Lock()

    def show(self, view: View, elapsed_s: float | None = None, rate: float | None = None) -> None:
        """Show a run as it stands, in place of what is shown; the arguments are those of `frame`."""
        with self._lock:
            lines = frame(view, self._console.width, self._console.height, elapsed_s, rate)
            text = Text("\n").join(Text.assemble(*((part, _STYLES[style]) for part, style in line)) for line in lines)
            text.no_wrap = True
            if self._live is None:
                self._live = Live(console=self._console, auto_refresh=False, transient=True)
                self._live.start()
            self._live.update(text, refresh=True)

    def say(self, text: str) -> None:
        """Write a text above what is shown."""
        with self._lock:
            self._console.print(Text.from_ansi(text), soft_wrap=True)

    def relay(self, descriptor: int) -> None:
        """Say every line that can be read there, until no more come: others may have lines and no terminal."""
        rest = b""
        # Not by a file object: its lock would be held for ever by the thread that waits here when the process ends.
        while piece := os.read(descriptor, 64 * 1024):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                self.say(line.decode(errors="replace"))

    def end(self, text: str = "") -> None:
        """Take away what is shown, write a text in its place, and leave the terminal as it was."""
        with self._lock:
            if self._live is not None:
                self._live.stop()
                self._live = None
            if text:
                self._console.file.write(f"{text}\n")
                self._console.file.flush()
