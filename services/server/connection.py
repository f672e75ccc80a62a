"""The server's end of one WebSocket connection: sends without waiting, knows when its peer does not read."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame as WebSocketFrame
from websockets.protocol import State

from services.contract import wire
from services.runtime.clock import Clock
from services.runtime.stamps import Stamps

WRITE_LIMIT = (256 * 1024, 64 * 1024)
"""Bytes buffered in this process above which a peer is sent nothing more, and below which it is again."""

_MOST_BUFFERED = 2 * 1024 * 1024
CLOSE_SECONDS = 1.0


class FeedConnection(ServerConnection):
    """A connection that never makes the sender wait.

    The library's own ``send`` waits for a peer that does not read, without limit, and so do its keepalive and its
    ``close``. Here frames are handed over synchronously; whoever sends looks at ``blocked`` first.
    """

    clock: Clock

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.stamps = Stamps(self.clock)
        self.blocked = False
        self.heard = asyncio.get_running_loop().time()
        self.on_unblocked: Callable[[], None] = lambda: None

    def pause_writing(self) -> None:
        """Note that the peer reads more slowly than it is sent to."""
        super().pause_writing()
        self.blocked = True

    def resume_writing(self) -> None:
        """Note that it has caught up, and say so."""
        super().resume_writing()
        self.blocked = False
        self.heard = asyncio.get_running_loop().time()
        self.on_unblocked()

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
        vars(self.protocol).pop("select_subprotocol", None)
        if self.protocol.parser_exc is not None:
            self.protocol.parser_exc.__traceback__ = None
        # Of asyncio: it has stopped to read.
        getattr(self.transport, "__dict__", {}).pop("_read_ready_cb", None)

    @property
    def buffered(self) -> int:
        """Bytes that wait in this process for the peer to read."""
        return int(self.transport.get_write_buffer_size())

    def hand_over(self, *pieces: bytes) -> None:
        """Send a frame without waiting; a peer that lets too much pile up is cut off.

        The library would put it together anew for every peer. Nothing is negotiated that changes a frame, and none is
        ever sent in fragments, so its head and the pieces, shared by many peers, are all that goes over the wire.
        """
        if self.state is not State.OPEN:
            return
        size = sum(map(len, pieces))
        framed = (_frame_head(size), *pieces)
        sent = 0 if self.buffered else self._written(framed)
        if sent < size + len(framed[0]):
            self.transport.write(memoryview(b"".join(framed))[sent:])
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


def _frame_head(length: int) -> bytes:
    """Return the head of a whole text frame that is not masked (RFC 6455, section 5.2)."""
    if length < 126:
        return bytes((0x81, length))
    return b"\x81\x7e" + length.to_bytes(2) if length < 65_536 else b"\x81\x7f" + length.to_bytes(8)


def connection_of(process_clock: Clock) -> type[FeedConnection]:
    """Return the class of connections that stamp by this clock (the library makes them, by class)."""

    class StampedConnection(FeedConnection):
        clock = process_clock

    return StampedConnection
