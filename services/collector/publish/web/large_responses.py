"""Bounds the memory that large responses need: made once for all requests, and sent in pieces to a few peers at a time.

A connection buffers what its peer has not read yet: a hundred peers that each ask for megabytes and do not read them
would fill the memory.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable, Mapping

from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

PIECE = 64 * 1024
"""Bytes handed to the connection at a time."""
MAX_AT_ONCE = 4
"""Peers that are sent a response of one kind at the same time; the others wait."""
WAIT_SECONDS, SEND_SECONDS = 10.0, 60.0
"""How long a request waits until it is served, and how long its peer may take to read the response."""

Make = Callable[[], Awaitable[bytes]]


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
