"""The server's end of one WebSocket connection: sends without waiting, knows when its peer does not read."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Sequence
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame as WebSocketFrame
from websockets.protocol import State

from services.contract import wire
from services.runtime.clock import Clock
from services.runtime.reading import SharedReads
from services.runtime.stamps import Stamps

WRITE_LIMIT = (256 * 1024, 64 * 1024)
"""Bytes buffered in this process above which a peer is sent nothing more, and below which it is again."""

_MOST_BUFFERED = 2 * 1024 * 1024
CLOSE_SECONDS = 1.0

QUIET_SECONDS = 20.0
"""A peer from which nothing has come for so long is asked whether it is there; after as long again it is cut off."""

_PING = b"\x89\x00"
_log = logging.getLogger("websockets.server")


class FeedConnection(ServerConnection, SharedReads):
    """A connection that never makes the sender wait.

    The library's own ``send`` waits for a peer that does not read, without limit, and so do its keepalive and its
    ``close``. Here frames are handed over synchronously; whoever sends looks at ``blocked`` first.
    """

    # Else there were one attribute more than Python keeps without a dictionary for each object.
    __slots__ = ("heard", "on_unblocked", "stamps")

    clock: Clock

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # The library makes an adapter for each connection, and a queue for those who wait to write: here there is one
        # at most, and memory counts with thousands.
        self.logger = self.protocol.logger = _log
        self.drain_waiters = []  # type: ignore[assignment]
        self.stamps = Stamps(self.clock)
        self.heard = asyncio.get_running_loop().time()
        self.on_unblocked: Callable[[], None] = nothing

    def forget_handshake(self) -> None:
        """Let go of what only the opening handshake needed: a fifth of a connection's memory.

        Of the request the peer's authority stays.
        """
        if self.request is not None:
            authority = self.request.headers.get_all("Authorization")
            # In place: the parser has it too.
            self.request.headers.clear()
            for said in authority:
                self.request.headers["Authorization"] = said
        self.response = None
        del self.request_rcvd
        self._let_go_of_choice()

    @property
    def blocked(self) -> bool:
        """Whether the peer reads more slowly than it is sent to."""
        return self.paused

    def resume_writing(self) -> None:
        """Note that a blocked peer has caught up, and say so."""
        super().resume_writing()
        self.heard = asyncio.get_running_loop().time()
        self.on_unblocked()

    def keep_alive(self, now: float) -> None:
        """Ask a peer that has been quiet whether it is there; cut off one that has not said so.

        A blocked one is quiet because it has not come to the question yet: whoever sends sees to that.
        """
        quiet = now - self.heard
        if self.blocked or self.state is not State.OPEN or quiet <= QUIET_SECONDS:
            return
        if quiet <= 2 * QUIET_SECONDS:
            self.transport.write(_PING)
        else:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Stamp the bytes before anything is made of them."""
        self.stamps.bytes_came()
        self.heard = asyncio.get_running_loop().time()
        super().data_received(data)

    def process_event(self, event: Any) -> None:
        """Give every message the stamp of its last bytes."""
        if isinstance(event, WebSocketFrame):
            self.stamps.frame_came(event)
        super().process_event(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of what holds this connection in a circle: a lost one's memory is free at once.

        Else it waits for the garbage collector, which at thousands of connections holds everybody up for half a second.
        """
        super().connection_lost(exc)
        # At its end the parser is not asked any more.
        self.protocol.parser.close()
        self._let_go_of_choice()
        if self.protocol.parser_exc is not None:
            self.protocol.parser_exc.__traceback__ = None
        # Of asyncio: it has stopped to read.
        getattr(self.transport, "__dict__", {}).pop("_read_ready_cb", None)

    def _let_go_of_choice(self) -> None:
        # Not by vars(): that would make a dictionary, which takes more than it gives.
        with contextlib.suppress(AttributeError):
            del self.protocol.select_subprotocol

    @property
    def buffered(self) -> int:
        """Bytes that wait in this process for the peer to read."""
        return int(self.transport.get_write_buffer_size())

    def hand_over(self, *pieces: bytes) -> None:
        """Send a frame without waiting; a peer that lets too much pile up is cut off.

        The library would put it together anew for every peer. Nothing is negotiated that changes a frame, and none is
        ever sent in fragments, so its head and the pieces, shared by many peers, are all that goes over the wire.
        """
        # A transport that has found its peer gone would complain, as often as it is given more.
        if self.state is not State.OPEN or self.transport.is_closing():
            return
        size = sum(map(len, pieces))
        framed = (_frame_head(size), *pieces)
        sent = 0 if self.buffered else self._written(framed)
        for piece in framed:
            if sent < len(piece):
                self.transport.write(memoryview(piece)[sent:])
            sent = max(sent - len(piece), 0)
        if self.blocked and self.buffered > _MOST_BUFFERED:
            self.transport.abort()

    def _written(self, pieces: Sequence[bytes]) -> int:
        """Write from where the pieces are, as the transport of later Pythons does; return how many bytes went."""
        try:
            return os.writev(self.transport.get_extra_info("socket").fileno(), pieces)
        except OSError:
            # The transport will find it too, and knows what to do.
            return 0

    def say(self, frame: wire.Frame) -> None:
        """Send a frame that is a header alone."""
        self.hand_over(wire.encode(frame))

    async def end(self, code: int, reason: str, seconds: float = CLOSE_SECONDS) -> None:
        """Close with a code; a peer that does not let us is cut off after so long."""
        try:
            async with asyncio.timeout(seconds):
                await self.close(code, reason)
        except (TimeoutError, ConnectionClosed):
            self.transport.abort()


def nothing() -> None:
    """Do nothing."""


def _frame_head(length: int) -> bytes:
    """Return the head of a whole text frame that is not masked (RFC 6455, section 5.2)."""
    if length < 126:
        return bytes((0x81, length))
    return b"\x81\x7e" + length.to_bytes(2) if length < 65_536 else b"\x81\x7f" + length.to_bytes(8)


def connection_of(process_clock: Clock) -> type[FeedConnection]:
    """Return the class of connections that stamp by this clock (the library makes them, by class)."""

    class StampedConnection(FeedConnection):
        __slots__ = ()

        clock = process_clock

    return StampedConnection
