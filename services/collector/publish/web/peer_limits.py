"""Limits what peers can cost the page: deadlines, a bound on connections, and bounded memory for large responses.

uvicorn has no deadline for the head of a request and none for a peer that does not read, and once its own limit of
connections is reached, idle ones included, it answers no request any more. A connection buffers what its peer has not
read yet: a hundred peers that each ask for megabytes and do not read them would fill the memory. So a large response is
made once for all requests, and sent in pieces to a few peers at a time.
"""

from __future__ import annotations

import asyncio
import resource
import time
from asyncio import TimerHandle, Transport
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_HEAD = 16 * 1024
"""Bytes of a request's head."""

_PARSED_BYTES = 4 * 1024
"""Bytes of requests that are parsed at a time."""

PIECE = 64 * 1024
"""Bytes handed to the connection at a time."""
MAX_AT_ONCE = 4
"""Peers that are sent a response of one kind at the same time; the others wait."""
WAIT_SECONDS, SEND_SECONDS = 10.0, 60.0
"""How long a request waits until it is served, and how long its peer may take to read the response."""

Make = Callable[[], Awaitable[bytes]]


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
        # The library checks the length of a head only while it is incomplete: in pieces, one read has no more either.
        for start in range(0, len(data), _PARSED_BYTES):
            if self.transport.is_closing():
                return
            super().data_received(data[start : start + _PARSED_BYTES])
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


class CachedBody:
    """A body that is made for the first request, and kept for others until it changes.

    Args:
        fresh_seconds: do not make it again within this time, even if it has changed.
        now: returns monotonic seconds.
    """

    def __init__(self, fresh_seconds: float = 0.0, now: Callable[[], float] = time.monotonic) -> None:
        self._fresh_seconds, self._now = fresh_seconds, now
        self._lock = asyncio.Lock()
        self._kind: Hashable = None
        self._version, self._made_at, self._body = -1, float("-inf"), b""

    async def get(self, kind: Hashable, version: int, make: Make) -> bytes:
        """Return the body.

        Args:
            kind: when it differs, the body is made again even within ``fresh_seconds``.
            version: grows with every change.
            make: makes the body.
        """
        # Requests that arrive while it is made wait for the lock, and then find it made.
        async with self._lock:
            is_current = kind == self._kind and version == self._version
            is_fresh = kind == self._kind and self._now() - self._made_at < self._fresh_seconds
            if not (is_current or is_fresh):
                self._body = await make()
                self._kind, self._version, self._made_at = kind, version, self._now()
            return self._body


class ChunkedResponse(Response):
    """A response that is sent in pieces, so that a connection buffers only a few of them for a peer that is slow."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send the response."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for start in range(0, len(self.body), PIECE):
            piece = bytes(self.body[start : start + PIECE])
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class QueuedResponse(Response):
    """A response that waits until one of a few slots is free before it is made and sent.

    Args:
        slots: shared by all responses of this kind.
        make: makes the body.
        media_type: of the body.
        headers: added to those that every response has.
        wait_seconds: the time after which a request that still waits is answered with 503.
        send_seconds: the time after which a peer that has not read everything is cut.
    """

    def __init__(
        self,
        slots: asyncio.Semaphore,
        make: Make,
        media_type: str,
        headers: Mapping[str, str] | None = None,
        wait_seconds: float = WAIT_SECONDS,
        send_seconds: float = SEND_SECONDS,
    ) -> None:
        super().__init__(media_type=media_type, headers=headers)
        self._slots, self._make, self._extra_headers = slots, make, headers
        self._wait_seconds, self._send_seconds = wait_seconds, send_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait for a slot, make the body and send it.

        Raises:
            TimeoutError: the peer reads too slowly.
        """
        try:
            await asyncio.wait_for(self._slots.acquire(), self._wait_seconds)
        except TimeoutError:
            busy = PlainTextResponse("busy: try again\n", status_code=503, headers={"retry-after": "5"})
            await busy(scope, receive, send)
            return
        try:
            # A peer that does not read must not keep its slot. The error makes uvicorn cut the connection.
            async with asyncio.timeout(self._send_seconds):
                body = await self._make()
                response = ChunkedResponse(body, headers=self._extra_headers, media_type=self.media_type)
                await response(scope, receive, send)
        finally:
            self._slots.release()
