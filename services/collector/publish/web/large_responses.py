"""Answers with many bytes: made once for all that ask, one at a time, and sent in pieces as the peer reads them.

A connection keeps what its peer has not read yet: a hundred peers that ask for megabytes would fill the memory.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable, Mapping

from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

PIECE = 64 * 1024
"""Bytes handed to the connection at a time."""
MOST_AT_ONCE = 4
"""So many peers are sent an answer of one kind at the same time; the others wait."""
WAIT_SECONDS, SEND_SECONDS = 10.0, 60.0
"""So long a peer waits for its turn, and so long it may take to read."""

Make = Callable[[], Awaitable[bytes]]


class MadeOnce:
    """Something that is made for the first that asks, and kept for the others until it changes.

    Args:
        fresh_seconds: for so long it is not made again although it has changed.
        now: monotonic seconds.
    """

    def __init__(self, fresh_seconds: float = 0.0, now: Callable[[], float] = time.monotonic) -> None:
        self._fresh_seconds, self._now = fresh_seconds, now
        self._lock = asyncio.Lock()
        self._kind: Hashable = None
        self._version, self._made_at, self._made = -1, float("-inf"), b""

    async def get(self, kind: Hashable, version: int, make: Make) -> bytes:
        """Return it.

        Args:
            kind: of another kind it is made again at once.
            version: grows whenever it changes.
            make: makes it.
        """
        async with self._lock:
            is_known = kind == self._kind and version == self._version
            is_fresh = kind == self._kind and self._now() - self._made_at < self._fresh_seconds
            if not (is_known or is_fresh):
                self._made = await make()
                self._kind, self._version, self._made_at = kind, version, self._now()
            return self._made


class ChunkedResponse(Response):
    """An answer that is sent in pieces: of one that the peer does not read, the connection keeps a few."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send it."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for start in range(0, len(self.body), PIECE):
            piece = bytes(self.body[start : start + PIECE])
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class QueuedResponse(Response):
    """An answer that is made and sent when it is the request's turn; a few requests have theirs at the same time.

    Args:
        turns: shared by all answers of this kind.
        make: makes the body.
        media_type: of the body.
        headers: beside those that every answer has.
    """

    def __init__(
        self, turns: asyncio.Semaphore, make: Make, media_type: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(media_type=media_type, headers=headers)
        self._turns, self._make, self._more = turns, make, headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait, make and send it; 503 if the turn does not come. A peer that reads too slowly is cut."""
        try:
            await asyncio.wait_for(self._turns.acquire(), WAIT_SECONDS)
        except TimeoutError:
            busy = PlainTextResponse("busy: try again\n", status_code=503, headers={"retry-after": "5"})
            await busy(scope, receive, send)
            return
        try:
            async with asyncio.timeout(SEND_SECONDS):
                body = await self._make()
                await ChunkedResponse(body, headers=self._more, media_type=self.media_type)(scope, receive, send)
        finally:
            self._turns.release()
