"""Standard output of the supervisor, written by a thread, so that a slow reader delays nothing else.

If the supervisor waited for its reader, the services would wait for the supervisor, and the measurement would show that
instead of the feed.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable

MAX_BYTES = 8 * 1024 * 1024
"""Buffer for a reader that does not read; beyond it the oldest lines are dropped."""
CHECK_SECONDS = 0.5
"""Interval at which the writer checks, while it has nothing to write, whether the reader still exists."""


class StdoutWriter:
    """Writes text in order, in a thread of its own. Thread-safe.

    Args:
        descriptor: a file, a pipe or a terminal.
        encoding: of the text; characters that it cannot encode become question marks.
        lost: called once, in the writing thread, when the reader is gone.
        max_bytes: size of the buffer.
    """

    def __init__(self, descriptor: int, encoding: str, lost: Callable[[], None], max_bytes: int = MAX_BYTES) -> None:
        self._descriptor, self._encoding, self._lost, self._max_bytes = descriptor, encoding, lost, max_bytes
        self._waiting: deque[bytes] = deque()
        self._bytes = self._dropped = 0
        self._is_writing = self._is_closed = False
        self._change = threading.Condition()
        threading.Thread(target=self._write_all, name="output", daemon=True).start()

    @property
    def is_done(self) -> bool:
        """Whether all text has been written, or none can be written any more."""
        with self._change:
            return self._is_closed or not (self._waiting or self._is_writing)

    def write_line(self, line: str) -> None:
        """Queue a line; the newline is added."""
        self.write(f"{line}\n")

    def write(self, text: str) -> None:
        """Queue a text."""
        data = text.encode(self._encoding, errors="replace")
        with self._change:
            if self._is_closed:
                return
            self._waiting.append(data)
            self._bytes += len(data)
            # The newest lines are kept, since the verdict comes last.
            while self._bytes > self._max_bytes and len(self._waiting) > 1:
                self._bytes -= len(self._waiting.popleft())
                self._dropped += 1
            self._change.notify()

    def _write_all(self) -> None:
        try:
            while True:
                data = self._next_piece()
                if data:
                    self._put(data)
                elif _is_hung_up(self._descriptor):
                    break
        except OSError:
            pass
        with self._change:
            self._is_closed = True
            self._waiting.clear()
        self._lost()

    def _next_piece(self) -> bytes:
        """Return the next piece to write; empty if there was none for `CHECK_SECONDS`."""
        with self._change:
            self._is_writing = False
            if not self._waiting:
                self._change.wait(CHECK_SECONDS)
            if not self._waiting:
                return b""
            self._is_writing, dropped, self._dropped = True, self._dropped, 0
            data = self._waiting.popleft()
            self._bytes -= len(data)
        note = f"({dropped:,} lines are not shown: they were not read in time)\n" if dropped else ""
        return note.encode(self._encoding, errors="replace") + data

    def _put(self, data: bytes) -> None:
        # Not with a file object: a blocked write would hold its lock, on which Python waits when the process exits.
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:
                # Another process has made the shared terminal or pipe non-blocking.
                select.select([], [self._descriptor], [])


def _is_hung_up(descriptor: int) -> bool:
    """Return whether the reader is gone: the other end of the pipe is closed, or the terminal is."""
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))
