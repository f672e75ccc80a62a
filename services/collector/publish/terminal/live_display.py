"""Shows the progress of a run in place on a terminal. The only module that loads rich, so only imported for one."""

from __future__ import annotations

import os
import threading
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from services.collector.publish.terminal.progress import progress_frame
from services.collector.publish.terminal.text_layout import Style
from services.collector.publish.view_model import View

_STYLES: dict[Style, str] = {
    "good": "green", "bad": "red", "doubt": "yellow", "title": "bold", "value": "cyan", "faint": "dim", "": "",
}  # fmt: skip


class LiveDisplay:
    """Redraws a frame in place, and prints lines above it. Thread-safe."""

    def __init__(self, out: TextIO, *, colour: bool) -> None:
        self._console = Console(file=out, no_color=not colour, highlight=False, emoji=False, markup=False)
        self._live: Live | None = None
        self._lock = threading.Lock()

    def show(self, view: View, elapsed_s: float | None = None, rate: float | None = None) -> None:
        """Draw a run in place of the previous frame; the arguments are those of `progress_frame`."""
        with self._lock:
            lines = progress_frame(view, self._console.width, self._console.height, elapsed_s, rate)
            text = Text("\n").join(Text.assemble(*((part, _STYLES[style]) for part, style in line)) for line in lines)
            text.no_wrap = True
            if self._live is None:
                # No refresh thread: it would use the processor while nothing has changed.
                self._live = Live(console=self._console, auto_refresh=False, transient=True)
                self._live.start()
            self._live.update(text, refresh=True)

    def print_above(self, text: str) -> None:
        """Print a text above the frame."""
        with self._lock:
            # Another process's line: its colours are kept, but it is not interpreted as markup.
            self._console.print(Text.from_ansi(text), soft_wrap=True)

    def relay(self, descriptor: int) -> None:
        """Print every line that can be read from a file descriptor above the frame, until its writer closes it."""
        rest = b""
        # os.read instead of a file object: a thread that waits in one holds its lock, and the interpreter's shutdown
        # would wait for that lock.
        while piece := os.read(descriptor, 64 * 1024):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                self.print_above(line.decode(errors="replace"))

    def stop(self, text: str = "") -> None:
        """Remove the frame, print a text in its place, and restore the terminal."""
        with self._lock:
            if self._live is not None:
                self._live.stop()
                self._live = None
            if text:
                self._console.file.write(f"{text}\n")
                self._console.file.flush()
