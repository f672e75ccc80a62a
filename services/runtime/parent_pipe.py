"""A pipe from the parent process: it reaches its end when the parent ends, even if the parent is killed.

The parent holds the only write end, so the kernel closes the pipe with the parent. Until then the parent may write
lines: the names of the runs that it judges. Only ``python -m services`` starts its children with such a pipe.
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
"""Environment variable of a child with the descriptor of the pipe's read end."""

END_SECONDS = 8.0
"""Time for an orderly stop after the parent has ended; afterwards the process kills itself, as no parent would."""

_MAX_LINE_BYTES = 64 * 1024


class ParentPipe:
    """The read end of the pipe, read by a thread, so that a blocked event loop does not delay the end.

    Args:
        descriptor: the read end; made non-inheritable, so that child processes do not get it.
        ended: called in that thread when the parent has ended.
    """

    def __init__(self, descriptor: int, ended: Callable[[], None]) -> None:
        os.set_inheritable(descriptor, False)
        self._descriptor, self._ended = descriptor, ended
        self._lock = threading.Lock()
        self._lines: list[str] = []
        self._accept: Callable[[str], None] = self._lines.append
        threading.Thread(target=self._watch, name="lifeline", daemon=True).start()

    def listen(self, accept: Callable[[str], None]) -> None:
        """Pass every line of the parent to ``accept``, earlier ones included. Thread-safe."""
        with self._lock:
            for line in self._lines:
                accept(line)
            self._lines.clear()
            self._accept = accept

    def _watch(self) -> None:
        rest = b""
        while piece := os.read(self._descriptor, 4096):
            # Bounded, so that a line without an end cannot fill the memory.
            *lines, rest = (rest + piece)[-_MAX_LINE_BYTES:].split(b"\n")
            with self._lock:
                for line in lines:
                    self._accept(line.decode(errors="replace"))
        self._ended()


@functools.cache
def attached() -> ParentPipe | None:
    """Return the pipe from the parent and start to read it; None if the parent passed none."""
    text = os.environ.pop(VARIABLE, "")
    try:
        descriptor = int(text)
        is_pipe = stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    except (ValueError, OverflowError, OSError):
        return None
    return ParentPipe(descriptor, end_with_parent) if is_pipe else None


def end_with_parent() -> None:
    """Send SIGTERM to this process; exit with 105 if it still runs after `END_SECONDS`."""
    # The parent read the output, so a write would fail from now on. A terminal is kept, since it has to be restored.
    null = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):
        if not os.isatty(number):
            os.dup2(null, number)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(END_SECONDS)
    os._exit(EXIT_ABORTED)
