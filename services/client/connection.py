"""The client's end of one WebSocket connection: stamped on arrival, watched for silence."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.connection import broadcast
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame as WebSocketFrame
from websockets.frames import Opcode
from websockets.typing import Subprotocol

from services.client.dial import AddressLookup, reach
from services.contract import wire
from services.runtime.clock import Clock
from services.runtime.websocket_io import ArrivalTimes, SharedReads

# For the server to take note of the goodbye: a connection that is left earlier is reset, and takes it along.
_CLOSE_SECONDS = 3.0
_FRAMES_QUEUED = 64
_WHOLE = (Opcode.TEXT, Opcode.BINARY)


class StampedConnection(ClientConnection, SharedReads):
    """A connection whose messages carry the time at which their bytes arrived."""

    clock: Clock

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.at_once: Callable[[bytes, int], bool] = _nothing_at_once
        """Is given a message and its stamp when nothing waits before it; returns whether it has taken it."""
        self.stamps = ArrivalTimes(self.clock)

    def data_received(self, data: bytes) -> None:
        """Stamp the bytes before anything is made of them."""
        self.stamps.bytes_received()
        super().data_received(data)

    def process_event(self, event: Any) -> None:
        """Have a message taken at once, without a turn of the loop; else it waits, with the stamp of its last bytes."""
        if isinstance(event, WebSocketFrame):
            whole = event.fin and event.opcode in _WHOLE
            if whole and not self.stamps.is_message_waiting and self.at_once(bytes(event.data), self.stamps.now_ns):
                return
            self.stamps.frame_received(event)
        super().process_event(event)

    def say(self, frame: wire.Frame) -> None:
        """Send a frame without waiting; nothing happens on a connection that is closing."""
        broadcast((self,), wire.encode(frame), text=True)

    async def end(self) -> None:
        """Close; a server that does not let us is left after a while."""
        with contextlib.suppress(TimeoutError, ConnectionClosed):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self.close()


def _nothing_at_once(_data: bytes, _received_ns: int) -> bool:
    return False


class _Connect(connect):
    """Reaches the server's machine in bounded time, whatever the time it then has for its answer."""

    lookup: AddressLookup

    async def open_tcp_connection(self) -> ClientConnection:
        self.create_connection_kwargs["sock"] = await reach(self.lookup, self.ws_uri.host, self.ws_uri.port)
        return await super().open_tcp_connection()


async def connect_to(
    url: str, process_clock: Clock, patience_seconds: float, lookup: AddressLookup
) -> StampedConnection:
    """Connect to a server.

    Args:
        url: where it is.
        process_clock: by which messages are stamped.
        patience_seconds: how long the connection and the opening handshake may take together.
        lookup: of the server's name.

    Raises:
        TimeoutError: the server, or something in its place, took the connection and did not answer in time.
        OSError, websockets.exceptions.WebSocketException: it cannot be reached now.
    """

    class Connection(StampedConnection):
        clock = process_clock

    attempt = _Connect(
        url,
        create_connection=Connection,
        subprotocols=[Subprotocol(wire.SUBPROTOCOL)],
        compression=None,
        # A proxy named in the environment is for the web, not for a neighbouring container.
        proxy=None,
        open_timeout=patience_seconds,
        # Silence is watched for by this client itself: a library ping does not get past a stalled write.
        ping_interval=None,
        close_timeout=_CLOSE_SECONDS,
        max_size=wire.MAX_FRAME,
        max_queue=_FRAMES_QUEUED,
    )
    attempt.lookup = lookup
    connection = await attempt
    if not isinstance(connection, StampedConnection):
        raise TypeError(f"connections are made by connect_to(), not {type(connection)}")
    return connection
