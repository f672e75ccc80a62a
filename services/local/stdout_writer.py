"""Standard output of the supervisor: lines are written by a thread, so that a slow reader holds nothing else up.

If the supervisor waited for its reader, the services would wait for the supervisor: that is what would be measured.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable

MOST_BYTES = 8 * 1024 * 1024
"""So much is kept for a reader that does not read; then the oldest lines go."""
LOOK_SECONDS = 0.5
"""How often it is looked whether the reader is still there, when there is nothing to write."""


class StdoutWriter:
    """Takes lines from any thread and writes them in their order.

    Args:
        descriptor: of the file, the pipe or the terminal that is written to.
        encoding: of text; a character that it does not have becomes a question mark.
        lost: called once, in the writing thread, when the reader is gone.
    """

    def __init__(self, descriptor: int, encoding: str, lost: Callable[[], None]) -> None:
        self._descriptor, self._encoding, self._lost = descriptor, encoding, lost
        self._waiting: deque[bytes] = deque()
        self._bytes = self._dropped = 0
        self._writing = self._closed = False
        self._change = threading.Condition()
        threading.Thread(target=self._write_all, name="output", daemon=True).start()

    @property
    def is_done(self) -> bool:
        """Whether everything has been written, or nothing can be written any more."""
        with self._change:
            return self._closed or not (self._waiting or self._writing)

    def say(self, line: str) -> None:
        """Have a line written; its newline is added."""
        self.write(f"{line}\n")

    def write(self, text: str) -> None:
        """Have a text written as it stands."""
        data = text.encode(self._encoding, errors="replace")
        with self._change:
            if self._closed:
                return
            self._waiting.append(data)
            self._bytes += len(data)
            while self._bytes > MOST_BYTES and len(self._waiting) > 1:
                self._bytes -= len(self._waiting.popleft())
                self._dropped += 1
            self._change.notify()

    def _write_all(self) -> None:
        try:
            while True:
                data = self._next()
                if data:
                    self._put(data)
                elif _is_hung_up(self._descriptor):
                    break
        except OSError:
            pass
        with self._change:
            self._closed = True
            self._waiting.clear()
        self._lost()

    def _next(self) -> bytes:
        """Return what is to be written next, nothing when there was nothing for `LOOK_SECONDS`."""
        with self._change:
            self._writing = False
            if not self._waiting:
                self._change.wait(LOOK_SECONDS)
            if not self._waiting:
                return b""
            self._writing, dropped, self._dropped = True, self._dropped, 0
            data = self._waiting.popleft()
            self._bytes -= len(data)
        note = f"({dropped:,} lines are not shown: they were not read in time)\n" if dropped else ""
        return note.encode(self._encoding, errors="replace") + data

    def _put(self, data: bytes) -> None:
        # Not by a file object: a write may hold its lock for ever, and Python waits for it when the process ends.
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:
                # Another process has made the terminal or the pipe non-blocking, for all that share it.
                select.select([], [self._descriptor], [])


def _is_hung_up(descriptor: int) -> bool:
    """Tell whether there is no reader any more: the other end of a pipe is closed, or a terminal is gone."""
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(found & (select.POLLERR | select.POLLHUP) for _, found in poll.poll(0))
