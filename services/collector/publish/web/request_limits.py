"""Limits what one peer can cost the page: deadlines for requests and responses, and a bound on connections.

uvicorn has no deadline for the head of a request and none for a peer that does not read, and once its own limit of
connections is reached, idle ones included, it answers no request any more.
"""

from __future__ import annotations

import resource
from asyncio import TimerHandle, Transport
from dataclasses import dataclass
from typing import Any, cast

from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_HEAD = 16 * 1024
"""Bytes of a request's head."""


@dataclass(frozen=True)
class RequestLimits:
    """Limits of a connection.

    Attributes:
        head_seconds: a request has to be complete this long after its first byte, the first one this long after the
            connection was made.
        send_seconds: a peer that reads no byte of a response for this long is cut.
        connections: open connections.
    """

    head_seconds: float = 10.0
    send_seconds: float = 20.0
    connections: int = 128


def max_connections(configured: int) -> int:
    """Return how many connections may be open: at most a quarter of the files that the process may have open."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return configured if files == resource.RLIM_INFINITY else min(configured, files // 4)


class LimitedProtocol(H11Protocol):
    """A connection whose peer is cut when it sends or reads too slowly, or when there are too many connections."""

    _request_timer: TimerHandle | None = None
    _send_timer: TimerHandle | None = None
    _connected_at = 0.0

    def __init__(self, *arguments: Any, limits: RequestLimits = RequestLimits(), **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._limits = limits

    @property
    def is_answering(self) -> bool:
        """Whether a request was received whose response is not sent completely."""
        # Before the first request `cycle` is None, although the library's types say otherwise.
        return bool(self.cycle) and not self.cycle.response_complete

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Start; if there are too many connections, cut the one that has been idle longest, or else this one."""
        super().connection_made(transport)
        self._connected_at = self.loop.time()
        self._start_request_timer()
        if len(self.connections) > max_connections(self._limits.connections):
            others = cast("set[LimitedProtocol]", self.connections)
            # An idle connection, because one whose response is being sent would lose it.
            idle = [other for other in others if other is not self and not other.is_answering]
            min(idle, key=lambda other: other._connected_at, default=self).abort()  # noqa: SLF001

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the deadlines."""
        super().connection_lost(exc)
        for timer in (self._request_timer, self._send_timer):
            if timer is not None:
                timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Handle bytes of a request."""
        super().data_received(data)
        self._start_request_timer()

    def pause_writing(self) -> None:
        """Start the deadline of a peer that does not read."""
        super().pause_writing()
        self._send_timer = self.loop.call_later(self._limits.send_seconds, self.abort)

    def resume_writing(self) -> None:
        """Cancel this deadline: the peer has read."""
        super().resume_writing()
        if self._send_timer is not None:
            self._send_timer.cancel()

    def abort(self) -> None:
        """Cut the connection; data that was not sent yet is dropped."""
        # Removed from the count here and not when the loss is reported: of many connections that are made at once,
        # each must cut another one.
        self.connections.discard(self)
        self.transport.abort()

    def _start_request_timer(self) -> None:
        if self.is_answering:
            if self._request_timer is not None:
                self._request_timer.cancel()
                self._request_timer = None
        elif self._request_timer is None:
            self._request_timer = self.loop.call_later(self._limits.head_seconds, self._check_request)

    def _check_request(self) -> None:
        self._request_timer = None
        # A response may have been sent meanwhile: then uvicorn's own keep-alive deadline applies.
        if not self.is_answering and self.timeout_keep_alive_task is None:
            self.abort()
