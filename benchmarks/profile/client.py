"""One client of the profile: receives messages, is cut as planned, reconnects, and logs the times of everything."""

from __future__ import annotations

import asyncio
import socket
import struct
from functools import partial

from benchmarks.profile.deliveries import Arrival, Connection, Log
from benchmarks.profile.protocols import Dialect
from benchmarks.scale.reach import connect_from
from benchmarks.scale.websocket import CLOSE, PING, PONG, TEXT, Frames, frame_message
from services.runtime.clock import Clock

_RETRY_SECONDS = 1.0
_RESET = struct.pack("ii", 1, 0)


class Tally:
    """Counters of all clients of a process.

    ``received`` counts messages independently of the clients' logs. ``late_us`` has the delay of every cut that was
    made. Once ``is_over`` is set, messages are ignored.
    """

    def __init__(self) -> None:
        self.received = self.failed = self.ended_by_server = self.skipped_cuts = 0
        self.late_us: list[int] = []
        self.received_us = 0
        self.is_over = False
        self.confirmed_count = asyncio.Semaphore(0)


class Client:
    """One client, over all its connections; ``log`` has its connections and arrivals."""

    def __init__(self, number: int, port: int, dialect: Dialect, tally: Tally, clock: Clock) -> None:
        self.log = Log(number, [], [])
        self._port, self._dialect, self._tally, self._clock = port, dialect, tally, clock
        self._link: Link | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def ready(self) -> bool:
        """Whether it is connected and confirmed by the server."""
        return self._link is not None and self.log.connections[-1].ready_us is not None

    def connect(self) -> None:
        """Connect in the background, with retries; `Tally.confirmed_count` is released when the server confirms."""
        task = asyncio.get_running_loop().create_task(self._connect())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            begun_us = self._clock.now_us()
            try:
                connected_socket = await connect_from(self.log.client, self._port)
                await loop.create_connection(partial(Link, self, self._dialect, begun_us), sock=connected_socket)
            except OSError:
                self._tally.failed += 1
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return

    def cut(self, planned_us: int, away: float) -> None:
        """Cut the connection, and reconnect after ``away`` seconds; does nothing if the client is not connected."""
        if self._link is None or not self.ready:
            self._tally.skipped_cuts += 1
            return
        now_us = self._clock.now_us()
        self._tally.late_us.append(now_us - planned_us)
        self._note(ended_us=now_us)
        link, self._link = self._link, None
        link.reset()
        asyncio.get_running_loop().call_later(away, self.connect)

    def on_connected(self, link: Link, begun_us: int) -> None:
        """Log a new connection."""
        self._link = link
        self.log.connections.append(Connection(begun_us))

    def on_confirmed(self) -> None:
        """Log that the server has confirmed the connection."""
        self._note(ready_us=self._clock.now_us())
        self._tally.confirmed_count.release()

    def on_lost(self, link: Link) -> None:
        """Reconnect after a connection that was not ended by a cut."""
        if link is not self._link:
            return
        if self.ready:
            self._tally.ended_by_server += 1
        else:
            self._tally.failed += 1
        self._note(ended_us=self._clock.now_us())
        self._link = None
        asyncio.get_running_loop().call_later(_RETRY_SECONDS, self.connect)

    def receive(self, text: bytes, link: Link) -> None:
        """Handle a text frame from the server."""
        if self._tally.is_over:
            return
        meaning = self._dialect.receive(text)
        for reply in meaning.replies:
            link.send(reply)
        if meaning.ready:
            self.on_confirmed()
        if meaning.messages:
            now_us, index = self._clock.now_us(), len(self.log.connections) - 1
            self.log.arrivals.extend(Arrival(number, sent_us, now_us, index) for number, sent_us in meaning.messages)
            self._tally.received += len(meaning.messages)
            self._tally.received_us = now_us

    def _note(self, **times: int) -> None:
        self.log.connections[-1] = self.log.connections[-1]._replace(**times)


class Link(asyncio.Protocol):
    """One connection of a client."""

    def __init__(self, client: Client, dialect: Dialect, begun_us: int) -> None:
        self._client, self._dialect, self._begun_us = client, dialect, begun_us
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Open the WebSocket."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
            transport.write(self._dialect.opening)
            self._client.on_connected(self, self._begun_us)

    def data_received(self, data: bytes) -> None:
        """Handle every complete frame."""
        was_open = self._frames.opened
        frames = self._frames.feed(data)
        if self._frames.opened and not was_open and self._dialect.ready_when_open:
            self._client.on_confirmed()
        for opcode, payload in frames:
            if opcode == TEXT:
                self._client.receive(payload, self)
            elif opcode == PING:
                self._write(frame_message(payload, PONG))
            elif opcode == CLOSE and self._transport is not None:
                self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Notify the client."""
        self._client.on_lost(self)

    def send(self, text: bytes) -> None:
        """Send a message."""
        self._write(frame_message(text))

    def reset(self) -> None:
        """Reset the connection; data in flight in either direction is lost."""
        if self._transport is not None:
            connected_socket = self._transport.get_extra_info("socket")
            # A linger time of 0 makes close() send a reset: the server notices at once, and no port stays in TIME_WAIT.
            connected_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._transport.abort()

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)
