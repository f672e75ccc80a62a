"""The event loop of a process that keeps a schedule: precise timers, cheap refusals, and no long garbage collections.

Three properties of Python's default delay the records of a server with thousands of connections: timers are rounded up
to whole milliseconds, a process without free descriptors spins on ``accept``, and a full garbage collection stops it
for half a second. `exact_loop` returns a loop without the first two; `gc_frozen` avoids the third.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import select
import selectors
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from services.contract import bounds
from services.runtime.jsonlogs import RateLimitedLog

log = logging.getLogger(__name__)

ACCEPTED_AT_ONCE = bounds.ACCEPTED_AT_ONCE.value
"""Connections accepted in one turn of the loop for each listening socket; the others wait in the kernel's backlog."""

_NO_DESCRIPTOR = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_LOG_SECONDS = 60.0
_TIMER_SLACK = Path("/proc/self/timerslack_ns")


def exact_loop() -> asyncio.AbstractEventLoop:
    """Return an event loop whose timers are accurate to some tens of microseconds.

    Also sets the timer slack of the calling thread. Without ``epoll``, asyncio's default loop is returned.
    """
    # Linux may delay wake-ups by 50 µs so that several timers share one: reduce that to 1 ns.
    with suppress(OSError):
        _TIMER_SLACK.write_text("1", encoding="ascii")
    if sys.platform == "linux" and hasattr(selectors, "EpollSelector"):
        return _AcceptLimitingLoop(_MicrosecondSelector())
    return asyncio.new_event_loop()


if sys.platform == "linux" and hasattr(selectors, "EpollSelector"):

    class _MicrosecondSelector(selectors.EpollSelector):
        """An epoll selector that waits with microsecond resolution.

        ``epoll_wait`` takes whole milliseconds, which Python rounds up; a schedule with a record every millisecond
        would run late. ``select`` takes microseconds, and one descriptor is enough: an epoll object is readable when
        any descriptor in it is ready.
        """

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            """Return the ready descriptors, after waiting for at most ``timeout`` seconds."""
            if timeout is not None and timeout > 0:
                select.select((self.fileno(),), (), (), timeout)
                timeout = 0
            return super().select(timeout)


class _LimitedListener:
    """A listening socket that limits how many connections asyncio accepts in one turn of the loop.

    When no descriptor is left, asyncio's accept loop continues for the whole backlog and schedules a retry for each
    failure (python/cpython#151615): thousands of log lines, and a whole processor. Here the first failure ends the
    turn.
    """

    __slots__ = ("_left", "_socket")

    def __init__(self, listening: socket.socket) -> None:
        self._socket, self._left = listening, 0

    def begin_turn(self) -> None:
        """Allow the next `ACCEPTED_AT_ONCE` connections."""
        self._left = ACCEPTED_AT_ONCE

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection.

        Raises:
            BlockingIOError: the limit of this turn is reached; asyncio then waits for the next turn.
            OSError: accepting failed; if no descriptor was left, the next call ends the turn.
        """
        if not self._left:
            raise BlockingIOError
        self._left -= 1
        try:
            return self._socket.accept()
        except OSError as error:
            if error.errno in _NO_DESCRIPTOR:
                # Further calls in this turn would fail for the same reason.
                self._left = 0
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


class _AcceptLimitingLoop(asyncio.SelectorEventLoop):
    """An event loop that stays responsive and logs once a minute while no descriptor is left for new connections."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        super().__init__(selector)
        self._rate_limit = RateLimitedLog(_LOG_SECONDS)

    def _accept_connection(self, protocol_factory: Any, sock: Any, *arguments: Any, **options: Any) -> None:
        # A private method of asyncio. Should it disappear, this override is never called and all that is lost is the
        # limit: the loop accepts the whole backlog in one turn, as asyncio does by default.
        listener = sock if isinstance(sock, _LimitedListener) else _LimitedListener(sock)
        listener.begin_turn()
        super()._accept_connection(protocol_factory, listener, *arguments, **options)  # type: ignore[misc]

    def call_exception_handler(self, context: Any) -> None:
        """Log a lack of descriptors at most once a minute; handle all other errors as asyncio does."""
        error = context.get("exception")
        if not (isinstance(error, OSError) and error.errno in _NO_DESCRIPTOR and "accept" in context["message"]):
            super().call_exception_handler(context)
        elif self._rate_limit.allow(self.time()):
            log.warning("connections wait: no descriptor is left for them", extra={"why": str(error)})


@contextmanager
def gc_frozen() -> Iterator[None]:
    """Exclude from full garbage collections, until the block ends, all objects that exist now or survive one.

    With 5,000 connections a full collection takes half a second, in which nothing is sent, and it recurs as connections
    are made. Frozen objects are still freed by reference counting, and a lost connection leaves no reference cycles
    behind (see `websocket_io.break_cycles`), so nothing leaks.
    """
    gc.callbacks.append(_freeze_after_full_collection)
    gc.freeze()
    try:
        yield
    finally:
        gc.callbacks.remove(_freeze_after_full_collection)
        gc.unfreeze()


def collect_all() -> None:
    """Run one garbage collection over all objects, frozen ones included; for times at which nothing is due."""
    gc.unfreeze()
    gc.collect()


def _freeze_after_full_collection(phase: str, info: dict[str, int]) -> None:
    if phase == "stop" and info["generation"] == 2:
        gc.freeze()
