"""The server's end of one WebSocket connection: sends without waiting and cuts off a peer that does not read."""

from __future__ import annotations

import asyncio
import logging
import os
import select
from collections.abc import Callable, Collection, Sequence
from typing import Any, Literal

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import CTRL_OPCODES, Opcode
from websockets.frames import Frame as WebSocketFrame
from websockets.protocol import State

from services.contract import bounds, wire
from services.runtime import websocket_io
from services.runtime.access.listen_rules import is_loopback
from services.runtime.access.tokens import NOTHING
from services.runtime.clock import Clock
from services.runtime.websocket_io import ArrivalTimes, SharedReads
from services.server.connections.gate import Gate, MessageAllowance, max_connections
from services.server.connections.refusals import RefusalCounter

WRITE_LIMIT = (256 * 1024, 64 * 1024)
"""Bytes waiting in this process above which a peer counts as blocked, and below which it does not any more."""

CLOSE_SECONDS = float(bounds.CLOSE_SECONDS.value)
"""Time that a peer has to complete a close before it is cut off."""

QUIET_SECONDS = 20.0
"""A peer that has sent nothing for this long is sent a ping; after twice this time it is cut off."""

# Written as bytes, since a connection beyond the limit gets no handshake that the library could answer.
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: %d\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: 21\r\n\r\ntoo many connections\n"
) % bounds.RETRY_AFTER_SECONDS.value
# A peer that broke RFC 6455: protocol error, text that is not UTF-8, message too big.
_LIBRARY_REFUSALS = (1002, 1007, 1009)
# Only Linux reports that the peer has closed while bytes of it wait to be read.
_HUNG_UP = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR
# An empty ping frame, unmasked as every frame of a server.
_PING = b"\x89\x00"
_log = logging.getLogger("websockets.server")


class FeedConnection(ServerConnection, SharedReads):
    """A connection on which sending never waits.

    The library's `send` waits without limit for a peer that does not read, and so do its keepalive and its `close`.
    Here frames are written synchronously; a sender checks `is_blocked` first.

    Attributes:
        arrival_times: of the messages that the library has not delivered yet.
        allowance: of messages besides receipts, and of bytes in one read.
        is_blocked: whether the peer reads more slowly than it is sent to.
        last_received: when bytes were last received, monotonic seconds of the event loop.
        on_unblocked: called when a blocked peer has caught up; `do_nothing` for a peer without a subscription.
        take_at_once: is given a text that no earlier message waits before, and returns whether it has handled it; the
            library queues other texts, and `recv` returns them a turn of the loop later.
        grant: what the peer may do; nothing until its opening request was checked.
    """

    # Slots: Python gives an object with more than 29 attributes a dictionary of 1.6 kB, and thousands of connections
    # exist. The library's own attributes leave no room for another one.
    __slots__ = (
        "_acceptance", "_cut_timer", "_descriptor", "_is_counted", "allowance", "arrival_times", "grant",
        "is_blocked", "last_received", "on_unblocked", "take_at_once",
    )  # fmt: skip

    # Set by `connection_class`, since the library constructs connections itself.
    clock: Clock
    gate: Gate[FeedConnection]
    refusals: RefusalCounter
    send_seconds: float
    quiet_seconds: float

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # Half of a connection's memory is the library's: handshake headers, a ping task and its timer, a log adapter,
        # an empty deque. Without them a connection takes 11 kB instead of 21.
        websocket_io.shrink(self, _log)
        self.arrival_times = ArrivalTimes(self.clock)
        self.last_received = asyncio.get_running_loop().time()
        self.on_unblocked: Callable[[], None] = do_nothing
        self.take_at_once: Callable[[bytes], bool] = queue
        self.allowance = MessageAllowance(self.last_received, is_engaged=False)
        self.grant = NOTHING
        self._acceptance = b""
        self.is_blocked = False
        self._is_counted = False
        self._descriptor: int | None = None
        self._cut_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection; if the limit is reached, answer 503 and close it."""
        super().connection_made(transport)
        # With TLS the transport has to encrypt the bytes first.
        if transport.get_extra_info("sslcontext") is None:
            self._descriptor = transport.get_extra_info("socket").fileno()
        self._is_counted = self.gate.acquire(self, self.peer, self.last_received)
        if not self._is_counted:
            self.refusals.count("full", "connection refused: no place", peer=self.peer, most=self.gate.maximum())
            self.transport.write(_FULL)
            self.transport.close()

    @property
    def peer(self) -> str:
        """The address at the other end; empty once it is disconnected."""
        address = self.remote_address
        return str(address[0]) if address else ""

    @property
    def is_local(self) -> bool:
        """Whether the peer is on this machine's loopback."""
        return is_loopback(self.peer)

    @property
    def is_operator(self) -> bool:
        """Whether the peer may control the run."""
        return self.grant.permits("control")

    def authorization_values(self) -> Collection[str]:
        """Return the values of ``Authorization`` in the opening request; none after `forget_handshake`."""
        return [] if self.request is None else self.request.headers.get_all("Authorization")

    def forget_handshake(self) -> None:
        """Release the opening request and response, about a fifth of a connection's memory."""
        websocket_io.forget_handshake(self)
        self.allowance.read_bytes = bounds.FIRST_READ_BYTES.value

    def heard(self) -> None:
        """Note that the peer has sent a frame; see `Gate`."""
        self.gate.heard(self)

    def engage(self) -> None:
        """Note that the peer has a subscription, or may control the run: the limits of a new peer end."""
        self.gate.engage(self)
        if self.allowance.read_bytes != bounds.READ_BYTES.value:
            self.allowance = MessageAllowance(self.last_received, is_engaged=True)

    def pause_writing(self) -> None:
        """Mark the peer as blocked, and start the timer that cuts it off if it has no subscription."""
        super().pause_writing()
        self.is_blocked = True
        self._start_cut_timer()

    def _start_cut_timer(self) -> None:
        self._cut_timer = asyncio.get_running_loop().call_later(self.send_seconds, self._cut_if_unsubscribed)

    def _cut_if_unsubscribed(self) -> None:
        # `Stream.cut_stalled` watches a peer with a subscription: it may stay blocked as long as it reads something.
        if self.on_unblocked is do_nothing:
            self.cut("stalled", "peer cut off: it does not read")
        elif self.is_blocked:
            self._start_cut_timer()

    def _stop_cut_timer(self) -> None:
        if self._cut_timer is not None:
            self._cut_timer.cancel()
            self._cut_timer = None

    def cut(self, cause: Literal["stalled", "too_many"], event: str) -> None:
        """Disconnect the peer without a closing handshake; count and log the reason."""
        if not self.transport.is_closing():
            self.refusals.count(cause, event, peer=self.peer, buffered=self.buffered)
            self.abort()

    def abort(self) -> None:
        """Disconnect the peer at once: without a closing handshake, and without the bytes that wait for it."""
        self.transport.abort()

    def resume_writing(self) -> None:
        """Mark the peer as not blocked and call `on_unblocked`."""
        super().resume_writing()
        self.is_blocked = False
        self._stop_cut_timer()
        # The quiet time starts again: while the peer was blocked it was sent no ping that it could have answered.
        self.last_received = asyncio.get_running_loop().time()
        self.on_unblocked()

    def keep_alive(self, now: float) -> None:
        """Send a ping to a peer that has been quiet; disconnect one that did not answer.

        A blocked peer is left alone: a ping would wait behind the bytes that it has not read. The senders watch it.
        """
        quiet_seconds = now - self.last_received
        if self.is_blocked or self.state is not State.OPEN or quiet_seconds <= self.quiet_seconds:
            return
        if quiet_seconds <= 2 * self.quiet_seconds:
            self.transport.write(_PING)
        else:
            self.cut("stalled", "peer cut off: it does not answer")

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the buffer for the next read: all that it takes is parsed before any other peer has its turn."""
        return super().get_buffer(sizehint)[: self.allowance.read_bytes]

    def data_received(self, data: bytes) -> None:
        """Record the time of the read before the bytes are parsed."""
        self.arrival_times.bytes_received()
        self.last_received = asyncio.get_running_loop().time()
        super().data_received(data)
        state = self.state
        if state is State.CONNECTING and self.request is None:
            # A long request is read in larger pieces: until it is complete, many of them together would fill memory.
            self.allowance.read_bytes = bounds.READ_BYTES.value
        elif state is State.CLOSING and not self.accept_message():
            # The library parses until the peer confirms the close, which one that floods does not do.
            self.cut("too_many", "peer cut off: it sends on after a close")
        # The library answers pings by itself, so its pongs pass no other limit.
        if self.is_blocked and self.buffered > bounds.BUFFERED_BYTES.value:
            self.cut("stalled", "peer cut off: it does not read")

    def send_data(self) -> None:
        """Write everything that the library has to send with one call, such as the pongs for hundreds of pings.

        The acceptance of the WebSocket waits for the greeting, which a handler sends in the same turn of the loop: a
        segment less on the network, which costs about as much as parsing the opening request.
        """
        if self.transport.is_closing():
            # A transport that has found its peer disconnected logs a warning for every further write.
            self.protocol.data_to_send()
            return
        self._send_acceptance()
        if acceptance := websocket_io.take_acceptance(self):
            self._acceptance = acceptance
            asyncio.get_running_loop().call_soon(self._send_acceptance)
            return
        websocket_io.join_writes(self)
        super().send_data()

    def _send_acceptance(self) -> None:
        """Send the acceptance alone, if it still waits for a greeting."""
        if self._acceptance and not self.transport.is_closing():
            self.transport.write(self._acceptance)
        self._acceptance = b""

    def process_event(self, event: Any) -> None:
        """Pair each message with its arrival time; cut off a peer that floods with control frames."""
        if isinstance(event, WebSocketFrame):
            if event.opcode in CTRL_OPCODES and not self.accept_message():
                self.cut("too_many", "peer cut off: too many control frames")
                return
            is_text = event.opcode is Opcode.TEXT and event.fin and not self.arrival_times.is_message_waiting
            if is_text and self.take_at_once(bytes(event.data)):
                return
            self.arrival_times.frame_received(event)
        super().process_event(event)

    def accept_message(self) -> bool:
        """Count a message that is not a receipt; return whether it is within the limit."""
        return self.allowance.consume(self.last_received)

    def pause_reading(self) -> None:
        """Stop reading until `resume_reading`: the peer's bytes wait in the kernel, within the kernel's limits."""
        self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again, unless the library's queue is full: then reading resumes as the queue is emptied."""
        websocket_io.resume_reading(self)

    @property
    def has_hung_up(self) -> bool:
        """Whether the peer has closed the connection, also while it is not read from."""
        if self.transport.is_closing():
            return True
        polled = select.poll()
        polled.register(self.transport.get_extra_info("socket").fileno(), _HUNG_UP)
        return bool(polled.poll(0))

    def connection_lost(self, exc: Exception | None) -> None:
        """Cut the reference cycles of this connection, so that its memory is free at once.

        Otherwise it waits for the garbage collector, which stops a server with thousands of connections for half a
        second.
        """
        super().connection_lost(exc)
        # The transport closes the descriptor after this call, and the next connection may get the same number.
        self._descriptor = None
        self.take_at_once = queue
        self.is_blocked = False
        self._stop_cut_timer()
        if self._is_counted:
            self._is_counted = False
            self.gate.release(self)
        refusal = websocket_io.close_frames(self.protocol).sent
        if refusal is not None and refusal.code in _LIBRARY_REFUSALS:
            self.refusals.count("protocol", "peer broke the WebSocket protocol", code=refusal.code, why=refusal.reason)
        websocket_io.break_cycles(self)

    @property
    def buffered(self) -> int:
        """Bytes that wait in this process for the peer to read."""
        return int(self.transport.get_write_buffer_size())

    def send_pieces(self, *pieces: bytes) -> None:
        """Send a text frame without waiting; cut off a peer for which too many bytes wait already.

        The library would copy the frame together again for every peer, four times. No extension that changes a frame
        is negotiated and no frame is fragmented, so the frame's head and the pieces, which many peers share, are
        exactly the bytes on the wire.
        """
        transport, length = self.transport, sum(map(len, pieces))
        # A transport that has found its peer disconnected logs a warning for every further write.
        if self.protocol.state is not State.OPEN or transport.is_closing():
            return
        head = self._acceptance + _frame_head(length)
        self._acceptance = b""
        frame = (head, *pieces)
        written = 0 if transport.get_write_buffer_size() else self._write_now(frame)
        if written == len(head) + length:
            return
        for piece in frame:
            if written < len(piece):
                transport.write(memoryview(piece)[written:])
            written = max(written - len(piece), 0)
        if self.is_blocked and self.buffered > bounds.BUFFERED_BYTES.value:
            self.cut("stalled", "peer cut off: it does not read")

    def _write_now(self, pieces: Sequence[bytes]) -> int:
        """Write without copying, as asyncio's `writelines` does from Python 3.12 on; return the number of bytes.

        Writes nothing on a connection with TLS.
        """
        if self._descriptor is None:
            return 0
        try:
            return os.writev(self._descriptor, pieces)
        except OSError:
            # The transport will meet the same error with its own write, and handles it.
            return 0

    def send_frame(self, frame: wire.Frame) -> None:
        """Send a frame that consists of a header alone."""
        self.send_pieces(wire.encode(frame))

    async def close_within(self, code: int, reason: str, seconds: float = CLOSE_SECONDS) -> None:
        """Close with a code and a reason; disconnect a peer that has not answered after ``seconds``."""
        try:
            async with asyncio.timeout(seconds):
                await self.close(code, reason)
        except (TimeoutError, ConnectionClosed):
            self.abort()


def do_nothing() -> None:
    """Do nothing: the value of `FeedConnection.on_unblocked` without a subscription."""


def queue(_text: bytes) -> bool:
    """Handle nothing: the value of `FeedConnection.take_at_once` without a subscription."""
    return False


def _frame_head(length: int) -> bytes:
    """Return the head of an unfragmented, unmasked text frame (RFC 6455, section 5.2)."""
    if length < 126:
        return bytes((0x81, length))
    return b"\x81\x7e" + length.to_bytes(2) if length < 65_536 else b"\x81\x7f" + length.to_bytes(8)


def connection_class(
    process_clock: Clock,
    process_refusals: RefusalCounter | None = None,
    *,
    patience_seconds: float = 10.0,
    ping_after_seconds: float = QUIET_SECONDS,
    maximum: Callable[[], int] = max_connections,
) -> type[FeedConnection]:
    """Return the class of a process's connections; the library takes a class and constructs them itself.

    Args:
        process_clock: gives the arrival times.
        process_refusals: counts the refusals.
        patience_seconds: how long a peer without a subscription may stay blocked.
        ping_after_seconds: how long a peer may be quiet before it is sent a ping.
        maximum: returns the greatest number of connections.
    """

    class ProcessConnection(FeedConnection):
        __slots__ = ()

        clock = process_clock
        gate = Gate[FeedConnection](maximum)
        refusals = RefusalCounter() if process_refusals is None else process_refusals
        send_seconds = patience_seconds
        quiet_seconds = ping_after_seconds

    return ProcessConnection
