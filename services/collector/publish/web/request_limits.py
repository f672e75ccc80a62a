"""What one peer can cost the page: a deadline for every request and every answer, and a bound on connections.

The server library has no deadline for the head of a request, none for a peer that does not read, and answers nobody
any more once its own limit of connections is reached, idle ones included.
"""

from __future__ import annotations

import resource
from asyncio import TimerHandle, Transport
from typing import cast

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0
"""A request has to be there this long after its first byte, the first one this long after the connection."""
SEND_SECONDS = 20.0
"""A peer that takes no byte of an answer for this long is cut."""
MAX_HEAD = 16 * 1024
"""Bytes of a request's head."""
MOST_CONNECTIONS = 128


def most_connections() -> int:
    """Return how many connections may be open: fewer where a process may have few files."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_CONNECTIONS if files == resource.RLIM_INFINITY else min(MOST_CONNECTIONS, files // 4)


class LimitedProtocol(H11Protocol):
    """A connection whose peer is cut when it asks or reads too slowly, or when there are too many."""

    _request_due: TimerHandle | None = None
    _reading_due: TimerHandle | None = None
    _since = 0.0

    @property
    def is_answering(self) -> bool:
        """Whether a request has come whose answer is not sent."""
        # Before the first request there is none, whatever the library's types say.
        return bool(self.cycle) and not self.cycle.response_complete

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Begin, and cut the longest idle connection if there is one too many; without an idle one, this one."""
        super().connection_made(transport)
        self._since = self.loop.time()
        self._await_request()
        if len(self.connections) > most_connections():
            others = cast("set[LimitedProtocol]", self.connections)
            idle = [one for one in others if one is not self and not one.is_answering]
            min(idle, key=lambda one: one._since, default=self).abort()  # noqa: SLF001

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadlines."""
        super().connection_lost(exc)
        for timer in (self._request_due, self._reading_due):
            if timer is not None:
                timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Take bytes of a request."""
        super().data_received(data)
        self._await_request()

    def pause_writing(self) -> None:
        """Begin to wait for a peer that does not read."""
        super().pause_writing()
        self._reading_due = self.loop.call_later(SEND_SECONDS, self.abort)

    def resume_writing(self) -> None:
        """Go on: the peer has read."""
        super().resume_writing()
        if self._reading_due is not None:
            self._reading_due.cancel()

    def abort(self) -> None:
        """Cut the connection; what was not sent is dropped."""
        # Already out of the count, so that of many that come at once each makes room.
        self.connections.discard(self)
        self.transport.abort()

    def _await_request(self) -> None:
        if self.is_answering:
            if self._request_due is not None:
                self._request_due.cancel()
                self._request_due = None
        elif self._request_due is None:
            self._request_due = self.loop.call_later(HEAD_SECONDS, self._check_request)

    def _check_request(self) -> None:
        self._request_due = None
        # An answer may have been sent meanwhile: the library has its own deadline for an idle connection then.
        if not self.is_answering and self.timeout_keep_alive_task is None:
            self.abort()
