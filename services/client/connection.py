"""The client's end of one WebSocket connection, which stamps messages with their arrival time."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.connection import broadcast
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame as WebSocketFrame
from websockets.frames import Opcode
from websockets.typing import Subprotocol

from services.client.dial import AddressLookup, reach
from services.contract import wire
from services.runtime.access.server_access import ServerAccess
from services.runtime.clock import Clock
from services.runtime.websocket_io import ArrivalTimes, SharedReads

# The server needs time to read the goodbye: a connection that is reset earlier loses the data in transit.
_CLOSE_SECONDS = 3.0
_FRAMES_QUEUED = 64
_DEFAULT_PORTS = {"ws": 80, "wss": 443}
_MESSAGE_OPCODES = (Opcode.TEXT, Opcode.BINARY)


class StampedConnection(ClientConnection, SharedReads):
    """A connection that knows when the bytes of each message arrived.

    Attributes:
        clock: of this process; set by a subclass, since the library makes the instances.
        handle_at_once: called with a message and its arrival time (epoch nanoseconds) when no earlier message is
            queued; returns whether it has handled the message. Otherwise the message is queued for `recv`.
        stamps: arrival times of the queued messages.
    """

    clock: Clock

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.handle_at_once: Callable[[bytes, int], bool] = _handle_nothing
        self.stamps = ArrivalTimes(self.clock)

    def data_received(self, data: bytes) -> None:
        """Record the arrival time before the bytes are parsed."""
        self.stamps.bytes_received()
        self.parse(data)

    def parse(self, data: bytes) -> None:
        """Parse the bytes of a read, and handle what they complete."""
        super().data_received(data)

    def process_event(self, event: Any) -> None:
        """Hand a message over in the call that parses it, or queue it with the time at which its last bytes arrived.

        At 1,000 records a second each record is a frame. Without the queue, the future and the extra turn of the event
        loop a client needs 13 % less processor time for each frame.
        """
        if isinstance(event, WebSocketFrame):
            is_whole = event.fin and event.opcode in _MESSAGE_OPCODES
            if (
                is_whole
                and not self.stamps.is_message_waiting
                and self.handle_at_once(bytes(event.data), self.stamps.now_ns)
            ):
                return
            self.stamps.frame_received(event)
        super().process_event(event)

    def send_nowait(self, frame: wire.Frame) -> None:
        """Send a frame without waiting; does nothing on a connection that is closing."""
        # Of the library's public functions only broadcast() writes without waiting for a peer that reads slowly.
        broadcast((self,), wire.encode(frame), text=True)

    async def end(self) -> None:
        """Close; give up on a server that does not complete the close in time."""
        with contextlib.suppress(TimeoutError, ConnectionClosed):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self.close()


Stamped = TypeVar("Stamped", bound=StampedConnection)


def _handle_nothing(_data: bytes, _received_ns: int) -> bool:
    return False


def connection_class(kind: type[Stamped], process_clock: Clock) -> type[Stamped]:
    """Return the class of connections with this clock: the library takes a class and constructs them itself."""
    # Made by a call and not by a statement, which takes no variable as a base class.
    return type(f"Process{kind.__name__}", (kind,), {"clock": process_clock})


def as_made(kind: type[Stamped], connection: ClientConnection) -> Stamped:
    """Return a connection that was made with a `connection_class` under its own type."""
    if not isinstance(connection, kind):
        raise TypeError(f"expected a {kind.__name__}, not {type(connection)}")
    return connection


async def connect_to(
    url: str,
    process_clock: Clock,
    timeout_seconds: float,
    lookup: AddressLookup,
    access: ServerAccess | None = None,
    name: str = "",
) -> StampedConnection:
    """Connect to a server.

    Args:
        url: address of the server.
        process_clock: clock by which messages are stamped.
        timeout_seconds: limit for TCP connection and opening handshake together.
        lookup: of the server's host name.
        access: the client's token, and the certificates that it trusts; None without either.
        name: the client's name, which selects the token.

    Raises:
        BadSettings: a file with the token or with certificates cannot be used any more.
        TimeoutError: TCP connected, but the handshake was not answered in time.
        OSError, websockets.exceptions.WebSocketException: the server cannot be reached now.
    """
    address = urlsplit(url)
    port = address.port or _DEFAULT_PORTS[address.scheme]
    options = access.options_for(name) if access is not None else {}
    began_at = asyncio.get_running_loop().time()
    # TCP first, by itself: reaching the host has a shorter limit than the handshake, and several attempts at a time.
    reached = await reach(lookup, address.hostname or "", port)
    try:
        connection = await connect(
            url,
            sock=reached,
            create_connection=connection_class(StampedConnection, process_clock),
            subprotocols=[Subprotocol(wire.SUBPROTOCOL)],
            # Compression would be measured as latency.
            compression=None,
            # A proxy named in the environment is for the web, not for a neighbouring container.
            proxy=None,
            open_timeout=max(timeout_seconds - (asyncio.get_running_loop().time() - began_at), 0.0),
            # The subscriber sends pings of its own: a library ping does not get past a stalled write.
            ping_interval=None,
            close_timeout=_CLOSE_SECONDS,
            max_size=wire.MAX_FRAME,
            max_queue=_FRAMES_QUEUED,
            **options,
        )
    except ssl.SSLError:
        # A certificate that cannot be verified is a ValueError as well.
        raise
    except ValueError as problem:
        # The library follows no redirect with a socket that was passed to it, and cannot parse some redirects.
        raise ConnectionError(f"the server redirects: {problem}") from problem
    return as_made(StampedConnection, connection)
