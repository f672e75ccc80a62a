"""An event loop whose timers are exact to some tens of microseconds, for whoever keeps a schedule."""

from __future__ import annotations

import asyncio
import select
import selectors
from contextlib import suppress
from pathlib import Path

_SLACK = Path("/proc/self/timerslack_ns")


def exact_loop() -> asyncio.AbstractEventLoop:
    """Return an event loop; where the system has no ``epoll``, that which asyncio makes.

    The thread that calls this, a process's first, is woken from then on when it is to be.
    """
    # Linux lets sleepers lie for another 50 µs, to wake several at once.
    with suppress(OSError):
        _SLACK.write_text("1", encoding="ascii")
    return asyncio.SelectorEventLoop(_Exact()) if hasattr(selectors, "EpollSelector") else asyncio.new_event_loop()


if hasattr(selectors, "EpollSelector"):

    class _Exact(selectors.EpollSelector):
        """Waits by ``select``, which counts microseconds, for the one descriptor that stands for all others.

        ``epoll`` itself counts whole milliseconds, rounded up: of a schedule's record due every millisecond that shows.
        """

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            """Return what is ready, waiting at most so many seconds."""
            if timeout is not None and timeout > 0:
                select.select((self.fileno(),), (), (), timeout)
                timeout = 0
            return super().select(timeout)
