"""An event loop whose timers are exact to some tens of microseconds, for whoever keeps a schedule."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import select
import selectors
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from services.runtime.jsonlogs import RateLimitedLog

log = logging.getLogger(__name__)

ACCEPTED_AT_ONCE = 32
"""Connections taken in one turn of the loop, per listening socket; the others wait in the kernel."""

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_SAID_SECONDS = 60.0
_SLACK = Path("/proc/self/timerslack_ns")


def exact_loop() -> asyncio.AbstractEventLoop:
    """Return an event loop; where the system has no ``epoll``, that which asyncio makes.

    The thread that calls this, a process's first, is woken from then on when it is to be.
    """
    # Linux lets sleepers lie for another 50 µs, to wake several at once.
    with suppress(OSError):
        _SLACK.write_text("1", encoding="ascii")
    return _Loop(_Exact()) if hasattr(selectors, "EpollSelector") else asyncio.new_event_loop()


class _Listening:
    """A listening socket as asyncio's loop of ``accept`` is to see it.

    That loop goes on after a failure for want of descriptors, as often as the backlog is long, and plans another
    attempt for each failure (python/cpython#151615): thousands of lines of log, and a processor's time. Here one
    failure ends the turn.
    """

    __slots__ = ("_left", "_socket")

    def __init__(self, listening: socket.socket) -> None:
        self._socket, self._left = listening, 0

    def begin(self) -> None:
        """Begin a turn."""
        self._left = ACCEPTED_AT_ONCE

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection.

        Raises:
            BlockingIOError: this turn is over.
            OSError: it failed; the next call ends the turn.
        """
        if not self._left:
            raise BlockingIOError
        self._left -= 1
        try:
            return self._socket.accept()
        except OSError as problem:
            if problem.errno in _EXHAUSTED:
                self._left = 0
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


class _Loop(asyncio.SelectorEventLoop):
    """Stays quiet and cheap when no descriptor is left for a connection, and goes on when there is one again."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        super().__init__(selector)
        self._sparingly = RateLimitedLog(_SAID_SECONDS)

    def _accept_connection(self, protocol_factory: Any, sock: Any, *arguments: Any, **options: Any) -> None:
        # Of asyncio; without it every connection that waits would be accepted at once, and nothing else would change.
        listening = sock if isinstance(sock, _Listening) else _Listening(sock)
        listening.begin()
        super()._accept_connection(protocol_factory, listening, *arguments, **options)  # type: ignore[misc]

    def call_exception_handler(self, context: Any) -> None:
        """Log that connections wait for want of descriptors now and then; everything else as asyncio does."""
        problem = context.get("exception")
        if not (isinstance(problem, OSError) and problem.errno in _EXHAUSTED and "accept" in context["message"]):
            super().call_exception_handler(context)
        elif self._sparingly.due(self.time()):
            log.warning("connections wait: no descriptor is left for them", extra={"why": str(problem)})


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


@contextmanager
def settled() -> Iterator[None]:
    """Have full collections pass over what is here now, and all that earlier ones found in use, until the block ends.

    With 5,000 connections a full collection takes half a second, in which nobody is sent anything; they come again and
    again as connections do. What is passed over is freed all the same as soon as nothing refers to it, and a connection
    that is over leaves nothing behind that only a collection would find.
    """
    gc.callbacks.append(_freeze)
    gc.freeze()
    try:
        yield
    finally:
        gc.callbacks.remove(_freeze)
        gc.unfreeze()


def look_at_all() -> None:
    """Collect whatever there is, once, when nothing is due."""
    gc.unfreeze()
    gc.collect()


def _freeze(phase: str, facts: dict[str, int]) -> None:
    if phase == "stop" and facts["generation"] == 2:
        gc.freeze()
