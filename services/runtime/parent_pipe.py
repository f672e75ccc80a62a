"""A pipe from the process that started this one: it ends when that process does, however that came about.

The parent holds the only write end, so the kernel closes the pipe even when the parent is killed. Until then the parent
may write lines, the names of the runs that it judges. Only ``python -m services`` starts its children so.
"""

from __future__ import annotations

import functools
import os
import signal
import stat
import threading
import time
from collections.abc import Callable

from services.runtime.errors import EXIT_ABORTED

VARIABLE = "STREAMGAUGE_LIFELINE"
"""Holds the number of the pipe's read end, in the environment of a child."""

END_SECONDS = 8.0
"""An orderly stop may take so long; a process that still runs then has nobody left that would kill it."""

_MOST_BYTES = 64 * 1024


class ParentPipe:
    """The read end of the pipe, watched by a thread, which needs no event loop that still turns.

    Args:
        descriptor: the read end; it is not inherited by any process that this one starts.
        ended: what is done, in that thread, when the parent is gone.
    """

    def __init__(self, descriptor: int, ended: Callable[[], None]) -> None:
        os.set_inheritable(descriptor, False)
        self._descriptor, self._ended = descriptor, ended
        self._lock = threading.Lock()
        self._lines: list[str] = []
        self._take: Callable[[str], None] = self._lines.append
        threading.Thread(target=self._watch, name="lifeline", daemon=True).start()

    def listen(self, take: Callable[[str], None]) -> None:
        """Hand every line of the parent to ``take``, those that came before too; any thread may call it."""
        with self._lock:
            for line in self._lines:
                take(line)
            self._lines.clear()
            self._take = take

    def _watch(self) -> None:
        rest = b""
        while piece := os.read(self._descriptor, 4096):
            *lines, rest = (rest + piece)[-_MOST_BYTES:].split(b"\n")
            with self._lock:
                for line in lines:
                    self._take(line.decode(errors="replace"))
        self._ended()


@functools.cache
def attached() -> ParentPipe | None:
    """Return the pipe from this process's parent, watched from now on; None when the parent gave none."""
    text = os.environ.pop(VARIABLE, "")
    try:
        descriptor = int(text)
        is_pipe = stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    except (ValueError, OverflowError, OSError):
        return None
    return ParentPipe(descriptor, end_with_parent) if is_pipe else None


def end_with_parent() -> None:
    """Stop this process as SIGTERM does, and make it end if that takes longer than `END_SECONDS`."""
    # The parent read what is printed: a write would fail from now on. A terminal may still be there to be restored.
    nothing = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):
        if not os.isatty(number):
            os.dup2(nothing, number)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(END_SECONDS)
    os._exit(EXIT_ABORTED)
