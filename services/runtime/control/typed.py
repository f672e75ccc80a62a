"""What is typed or piped, line by line, beside an event loop."""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import suppress


class Typed:
    """The lines of a descriptor: a terminal, a pipe or a file."""

    def __init__(self, descriptor: int) -> None:
        """Begin to read; an event loop is running."""
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        # A thread, since no event loop waits for a plain file; and one that nobody waits for at the end, since it may
        # be waiting for a line that never comes. It reads the descriptor itself: a stream would stay locked.
        threading.Thread(target=self._read, args=(descriptor,), daemon=True).start()

    async def line(self, seconds: float | None = None) -> str | None:
        """Return the next line without its end and without white space around it, None when there is no more.

        Raises:
            TimeoutError: none came within so many seconds.
        """
        async with asyncio.timeout(seconds):
            return await self._lines.get()

    def _read(self, descriptor: int) -> None:
        rest = b""
        with suppress(OSError):
            while piece := os.read(descriptor, 4096):
                *lines, rest = (rest + piece).split(b"\n")
                self._give(*lines)
        self._give(*([rest] if rest else []))
        self._give(None)

    def _give(self, *lines: bytes | None) -> None:
        # The loop may be closed by now, and nobody listens.
        with suppress(RuntimeError):
            for line in lines:
                text = line if line is None else line.decode(errors="replace").strip()
                self._loop.call_soon_threadsafe(self._lines.put_nowait, text)
