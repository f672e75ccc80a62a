"""Uses of a WebSocket connection beyond the public interface of ``websockets``.

Three things: one read buffer for all connections, the arrival time of each message, and access to the library's
private attributes. `INTERNALS` lists every private name that is used anywhere in the project; one test compares the
list with the installed library, so that an upgrade fails with a sentence instead of a leak or a silent slowdown.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from services.runtime.clock import Clock

if TYPE_CHECKING:  # a client must not load the library's server
    from websockets.asyncio.connection import Connection
    from websockets.asyncio.server import ServerConnection
    from websockets.frames import Close
    from websockets.protocol import Protocol as WebSocketProtocol

_FIRST_CONTROL_OPCODE = 8
"""WebSocket frames with this opcode or a higher one are control frames and belong to no message (RFC 6455, 5.2)."""

_BUFFER_BYTES = 256 * 1024
_buffer = memoryview(bytearray(_BUFFER_BYTES))

_TCP_CORK: int | None = getattr(socket, "TCP_CORK", None)
"""Option that only Linux has: no partly filled segment is sent."""


class SharedReads(asyncio.BufferedProtocol):
    """Reads the bytes of every connection of an event loop into one buffer.

    `data_received` gets a view that the next read overwrites, so it must parse or copy before it returns.
    """

    # asyncio's default protocol allocates and frees 256 KiB for each read; the shared buffer saves 18 % of a client's
    # processor time for each frame.

    __slots__ = ()

    def data_received(self, data: Any) -> None:
        """Parse the bytes that were read; the view is valid during this call only."""
        raise NotImplementedError

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the buffer for the next read."""
        del sizehint
        return _buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Pass on the bytes that the event loop has read."""
        self.data_received(_buffer[:nbytes])


class _WebSocketFrame(Protocol):
    @property
    def opcode(self) -> int: ...

    @property
    def fin(self) -> bool: ...


class ArrivalTimes:
    """Arrival times of the messages that the library has queued, oldest first.

    The library delivers a message after a queue and a task switch. The time that a message waits there is part of this
    process's latency, so the time of the read is kept for each message before its bytes are parsed.
    """

    __slots__ = ("_clock", "_waiting", "now_ns")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.now_ns = 0
        """Time of the last read from the socket, epoch nanoseconds."""
        self._waiting: list[int] = []  # rarely longer than one; an empty deque needs ten times the memory of a list

    def bytes_received(self) -> None:
        """Record the time of a read from the socket."""
        self.now_ns = self._clock.now_ns()

    def frame_received(self, frame: _WebSocketFrame) -> None:
        """Queue the time of the last read if this frame completes a message."""
        if frame.fin and frame.opcode < _FIRST_CONTROL_OPCODE:
            self._waiting.append(self.now_ns)

    @property
    def is_message_waiting(self) -> bool:
        """Whether a message has arrived whose time was not popped yet."""
        return bool(self._waiting)

    def pop_ns(self) -> int:
        """Return the arrival time of the message that the library has just delivered, epoch nanoseconds."""
        return self._waiting.pop(0) if self._waiting else self._clock.now_ns()


class Internal(NamedTuple):
    """A private attribute or method of a library that the project relies on.

    Attributes:
        path: dotted path from a server's connection object.
        reason: its use.
    """

    path: str
    reason: str


INTERNALS = (
    Internal("drain_waiters", "shrink() replaces the empty deque, 760 bytes, by a list"),
    Internal("protocol.logger", "shrink() replaces the logging adapter made for each connection by one logger"),
    Internal("request_rcvd", "forget_handshake() deletes the future that only the opening handshake awaits"),
    Internal("protocol.select_subprotocol", "the bound method refers back to the connection and keeps it alive"),
    Internal("protocol.parser", "break_cycles() closes the generator, whose frame refers to the protocol"),
    Internal("protocol.parser_exc", "break_cycles() clears the traceback, whose frames refer to the connection"),
    Internal("protocol.handshake_exc", "break_cycles() clears the traceback, as that of parser_exc"),
    Internal(
        "transport._read_ready_cb", "break_cycles() removes asyncio's bound method, which refers to the transport"
    ),
    Internal("protocol.writes", "join_writes() joins the answers to many pings into one write, and take_acceptance()"),
    Internal("recv_messages.paused", "resume_reading() must not override the library's own back-pressure"),
    Internal("process_event", "overridden to pair each message with its arrival time and to count control frames"),
    Internal("send_data", "overridden to call join_writes()"),
    Internal("transport", "its abort() disconnects at once; the public close() waits for a peer that does not read"),
    Internal("protocol.close_rcvd", "close_frames(): the exception with it is raised only after the last message"),
    Internal("protocol.close_sent", "close_frames(), as for close_rcvd"),
    Internal("protocol.close_rcvd_then_sent", "close_frames(): which side closed first"),
    Internal("protocol.max_message_size", "plain_message_limit(): most bytes of a message, after which it is refused"),
    Internal("protocol.current_size", "plain_message_limit(): bytes of the pieces of a message whose end is not here"),
    Internal("data_received", "overridden to parse the frames that are whole messages without the library"),
    Internal("eof_received", "overridden, as is connection_lost(), to pass the beginning of a frame to the library"),
)


def shrink(connection: Connection, logger: logging.Logger) -> None:
    """Replace what the library allocates for each connection but this project does not need.

    Args:
        connection: one that was just constructed.
        logger: shared by all connections.
    """
    connection.logger = connection.protocol.logger = logger
    # At most one coroutine of a connection waits to write; the methods that the library uses exist in a list too.
    connection.drain_waiters = []  # type: ignore[assignment]


def forget_handshake(connection: ServerConnection) -> None:
    """Release the opening request and response, about a fifth of a connection's memory, once the handshake is over."""
    if connection.request is not None:
        # Emptied rather than dropped, because the parser refers to the same object.
        connection.request.headers.clear()
        connection.request.path = ""
    connection.response = None
    del connection.request_rcvd
    _drop_subprotocol_choice(connection)


def break_cycles(connection: ServerConnection) -> None:
    """Cut the reference cycles of a connection that is lost, so that its memory is free at once.

    Otherwise it is freed by a full garbage collection only, which stops a server with thousands of connections for
    half a second.
    """
    protocol = connection.protocol
    protocol.parser.close()
    _drop_subprotocol_choice(connection)
    _drop_tracebacks(protocol.parser_exc)
    _drop_tracebacks(protocol.handshake_exc)
    # A TLS transport has no such attribute, and another loop's transport may have no dictionary.
    getattr(connection.transport, "__dict__", {}).pop("_read_ready_cb", None)


def _drop_tracebacks(fault: BaseException | None) -> None:
    """Release the frames that an exception, and those that led to it, refer to."""
    while fault is not None:
        fault.__traceback__ = None
        fault = fault.__cause__ or fault.__context__


def _drop_subprotocol_choice(connection: ServerConnection) -> None:
    # Not with vars(), which would create the dictionary that Python saves as long as nothing asks for it.
    with suppress(AttributeError):
        del connection.protocol.select_subprotocol


def join_writes(connection: Connection) -> None:
    """Join the bytes that the library is about to write one by one, such as the pongs for hundreds of pings.

    The end of the stream goes out together with the last bytes before it, such as a close frame.
    """
    writes = connection.protocol.writes
    if len(writes) > 1:
        # An empty element asks for the end of the stream; it is always the last.
        ends = not writes[-1]
        connection.protocol.writes = [b"".join(writes), *([b""] if ends else [])]
        if ends and connection.transport.can_write_eof() and _TCP_CORK is not None:
            # The kernel then waits for the end of the stream, which always follows, and sends both in one segment.
            with suppress(OSError):
                connection.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, _TCP_CORK, 1)


_ACCEPTANCE = b"HTTP/1.1 101 "
"""How the answer begins that accepts a WebSocket; a frame begins with a byte above 127."""


def take_acceptance(connection: ServerConnection) -> bytes:
    """Return the answer that accepts a WebSocket, if the library is about to write it and nothing else.

    The caller writes it instead of the library.
    """
    writes = connection.protocol.writes
    if len(writes) != 1 or not writes[0].startswith(_ACCEPTANCE):
        return b""
    connection.protocol.writes = []
    return writes[0]


class CloseFrames(NamedTuple):
    """The close frames of a connection, as far as it has them; ``was_received_first`` is None unless it has both."""

    received: Close | None
    sent: Close | None
    was_received_first: bool | None


def close_frames(protocol: WebSocketProtocol) -> CloseFrames:
    """Return the close frames of a connection that is closing or closed."""
    return CloseFrames(protocol.close_rcvd, protocol.close_sent, protocol.close_rcvd_then_sent)


def plain_message_limit(protocol: WebSocketProtocol) -> int | None:
    """Return the most bytes of a message in one frame; None while the library waits for further pieces of a message."""
    return (protocol.max_message_size or sys.maxsize) if protocol.current_size is None else None


def fragment_limit(protocol: WebSocketProtocol) -> int:
    """Return the most bytes of the next frame, after the pieces of its message that have come."""
    return (protocol.max_message_size or sys.maxsize) - (protocol.current_size or 0)


def resume_reading(connection: Connection) -> None:
    """Read from the socket again, unless the library's message queue is full: then its reader resumes."""
    if not connection.recv_messages.paused:
        connection.transport.resume_reading()
