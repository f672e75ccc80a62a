"""The server's end of one WebSocket connection: sends without waiting, knows when its peer does not read."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
from collections.abc import Callable, Collection, Sequence
from typing import Any, Literal

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import CTRL_OPCODES
from websockets.frames import Frame as WebSocketFrame
from websockets.protocol import State

from services.contract import wire
from services.runtime import websocket_io
from services.runtime.clock import Clock
from services.runtime.rate_limit import TokenBucket
from services.runtime.websocket_io import ArrivalTimes, SharedReads
from services.server.connections.connection_limit import ConnectionLimit, most_connections
from services.server.connections.refusals import RefusalCounter

WRITE_LIMIT = (256 * 1024, 64 * 1024)
"""Bytes buffered in this process above which a peer is sent nothing more, and below which it is again."""

_MOST_BUFFERED = 2 * 1024 * 1024
CLOSE_SECONDS = 1.0

QUIET_SECONDS = 20.0
"""A peer from which nothing has come for so long is asked whether it is there; after as long again it is cut off."""

MESSAGES_AT_ONCE, MESSAGES_PER_SECOND = 200, 50
"""What a peer may send besides receipts, WebSocket pings and pongs included: a client sends five or six at the start
and one a second."""

READ_SIZE = 4096
"""Bytes taken from a peer at a time: what it sends is parsed before the others have their turn."""

_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: 21\r\n\r\ntoo many connections\n"
)
_PING = b"\x89\x00"
_log = logging.getLogger("websockets.server")


class FeedConnection(ServerConnection, SharedReads):
    """A connection that never makes the sender wait.

    The library's own ``send`` waits for a peer that does not read, without limit, and so do its keepalive and its
    ``close``. Here frames are handed over synchronously; whoever sends looks at ``blocked`` first.
    """

    # Else there were one attribute more than Python keeps without a dictionary for each object.
    __slots__ = ("_deaf", "_is_blocked", "_placed", "allowance", "heard", "on_unblocked", "operator", "stamps")

    clock: Clock
    places: ConnectionLimit
    refusals: RefusalCounter
    send_seconds: float

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        websocket_io.shrink(self, _log)
        self.stamps = ArrivalTimes(self.clock)
        self.heard = asyncio.get_running_loop().time()
        self.on_unblocked: Callable[[], None] = nothing
        self.allowance = TokenBucket(MESSAGES_AT_ONCE, MESSAGES_PER_SECOND, self.heard)
        self.operator = False
        self._is_blocked = False
        self._placed = False
        self._deaf: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a place, or say that there is none and close."""
        super().connection_made(transport)
        self._placed = self.places.take()
        if not self._placed:
            self.refusals.note("full", "connection refused: no place", peer=self.peer, most=self.places.most())
            self.transport.write(_FULL)
            self.transport.close()

    @property
    def peer(self) -> str:
        """The address at the other end, as text; empty when it is gone."""
        address = self.remote_address
        return str(address[0]) if address else ""

    @property
    def local(self) -> bool:
        """Whether the peer is on this machine's loopback."""
        try:
            return ipaddress.ip_address(self.peer).is_loopback
        except ValueError:
            return False

    def authority(self) -> Collection[str]:
        """Return the values of ``Authorization`` in the opening request, while that is not forgotten."""
        return [] if self.request is None else self.request.headers.get_all("Authorization")

    def forget_handshake(self) -> None:
        """Let go of what only the opening handshake needed, all of the request: a fifth of a connection's memory."""
        websocket_io.forget_handshake(self)

    @property
    def blocked(self) -> bool:
        """Whether the peer reads more slowly than it is sent to."""
        return self._is_blocked

    def pause_writing(self) -> None:
        """Note that a peer is blocked; one without a subscription is cut off when it stays so."""
        super().pause_writing()
        self._is_blocked = True
        self._await_reading()

    def _await_reading(self) -> None:
        self._deaf = asyncio.get_running_loop().call_later(self.send_seconds, self._cut_deaf)

    def _cut_deaf(self) -> None:
        # A subscribed one takes its time as long as it takes something: `Stream.cut_stalled` sees to that.
        if self.on_unblocked is nothing:
            self.cut("stalled", "peer that does not read cut")
        elif self.blocked:
            self._await_reading()

    def cut(self, cause: Literal["stalled", "too_many"], event: str) -> None:
        """Cut the peer off without a word to it; count and log why."""
        if not self.transport.is_closing():
            self.refusals.note(cause, event, peer=self.peer, buffered=self.buffered)
            self.transport.abort()

    def resume_writing(self) -> None:
        """Note that a blocked peer has caught up, and say so."""
        super().resume_writing()
        self._is_blocked = False
        self._trust_again()
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

    def _trust_again(self) -> None:
        if self._deaf is not None:
            self._deaf.cancel()
            self._deaf = None

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the next bytes go: room for a few of them."""
        return super().get_buffer(sizehint)[:READ_SIZE]

    def data_received(self, data: bytes) -> None:
        """Stamp the bytes before anything is made of them."""
        self.stamps.bytes_received()
        self.heard = asyncio.get_running_loop().time()
        super().data_received(data)
        # What the library answered of itself, pongs, passes no other limit.
        if self._is_blocked and self.buffered > _MOST_BUFFERED:
            self.cut("stalled", "peer that does not read cut")

    def send_data(self) -> None:
        """Write all that the library has to send with one call: pongs for hundreds of pings come at once."""
        websocket_io.join_writes(self)
        super().send_data()

    def process_event(self, event: Any) -> None:
        """Give every message the stamp of its last bytes; cut off a peer that floods with control frames."""
        if isinstance(event, WebSocketFrame):
            if event.opcode in CTRL_OPCODES and not self.allowed():
                self.cut("too_many", "peer that floods with control frames cut")
                return
            self.stamps.frame_received(event)
        super().process_event(event)

    def allowed(self) -> bool:
        """Count something that the peer sent, receipts excepted; return whether it is within the limit."""
        return self.allowance.take(self.heard)

    def hold_reading(self) -> None:
        """Read nothing more until `go_on_reading`: what the peer sends waits in the kernel, within its limits."""
        self.transport.pause_reading()

    def go_on_reading(self) -> None:
        """Read again, unless what has been read already fills the queue: then the one who takes it resumes."""
        websocket_io.resume_reading(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of what holds this connection in a circle: a lost one's memory is free at once.

        Else it waits for the garbage collector, which at thousands of connections holds everybody up for half a second.
        """
        super().connection_lost(exc)
        self._is_blocked = False
        self._trust_again()
        if self._placed:
            self._placed = False
            self.places.leave()
        websocket_io.break_cycles(self)

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


def connection_of(
    process_clock: Clock,
    refused: RefusalCounter | None = None,
    patience_seconds: float = 10.0,
    most: Callable[[], int] = most_connections,
) -> type[FeedConnection]:
    """Return the class of a process's connections (the library makes them, by class).

    Args:
        process_clock: by which they stamp.
        refused: where they count what they refuse.
        patience_seconds: how long a peer without a subscription may take nothing of what waits for it.
        most: returns how many there may be at a time.
    """

    class StampedConnection(FeedConnection):
        __slots__ = ()

        clock = process_clock
        places = ConnectionLimit(most)
        refusals = RefusalCounter() if refused is None else refused
        send_seconds = patience_seconds

    return StampedConnection
