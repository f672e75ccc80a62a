"""The clients of the cuts benchmark: thousands of real ones in one process, each a plain asyncio protocol."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable

from benchmarks.scale.deliveries import BLOCK, RecordCounter
from benchmarks.scale.reach import connect_from
from benchmarks.scale.websocket import PING, PONG, TEXT, Frames, frame_message, opening
from services.contract import wire
from services.runtime.clock import Clock

_RETRY_SECONDS = 1.0
_OPENING = opening(subprotocol=wire.SUBPROTOCOL)


class Tally:
    """Counters of all clients of a process. Latencies are microseconds from due time to arrival."""

    def __init__(self) -> None:
        self.live, self.replayed = array("q"), array("q")
        self.subscribed = self.cuts = self.failed = 0
        self.on_subscribed: Callable[[Client], None] = lambda _: None
        self.on_done: Callable[[], None] = lambda: None


class Client:
    """One client: subscribes, receives and sends receipts; is cut, stays away, and resumes."""

    def __init__(self, number: int, port: int, counter: RecordCounter, tally: Tally, clock: Clock) -> None:
        self.name, self.counter = f"scale-{number}", counter
        self._number, self._port = number, port
        self._tally, self._clock = tally, clock
        self._link: Link | None = None
        self._missed_us = 0
        self._task: asyncio.Task[None] | None = None
        self._cut: asyncio.TimerHandle | None = None

    def cut_in(self, seconds: float, away: float) -> None:
        """Cut the connection after ``seconds``, and reconnect ``away`` seconds later."""
        if self._cut is not None:
            self._cut.cancel()
        self._cut = asyncio.get_running_loop().call_later(seconds, self._cut_now, away)

    def connect(self) -> None:
        """Connect in the background; the tally counts the client once it is subscribed."""
        self._task = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connected_socket = await connect_from(self._number, self._port)
                await loop.create_connection(lambda: Link(self), sock=connected_socket)
            except OSError:
                self._tally.failed += 1
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return

    def on_connected(self, link: Link) -> None:
        """Store a new connection."""
        self._link = link

    def on_lost(self, link: Link) -> None:
        """Reconnect after a connection that was not ended by a cut."""
        if link is self._link:
            self._link = None
            self._tally.failed += 1
            asyncio.get_running_loop().call_later(_RETRY_SECONDS, self.connect)

    def receive(self, frame: wire.FromServer, body: bytes, link: Link) -> None:
        """Handle a frame from the server."""
        match frame:
            case wire.Records():
                self._receive_records(frame, body, link)
            case wire.Recorded():
                self.counter.unanswered.pop(frame.block, None)
                if self.counter.done():
                    self._tally.on_done()
            case wire.Welcome():
                link.send(wire.encode(self._request(frame.run)))
            case wire.Subscribed():
                self._on_subscribed(link)
            case _:
                pass

    def _request(self, run: str) -> wire.Subscribe:
        return wire.Subscribe(
            client=self.name, session=1, instance=self.name, block_size=BLOCK, after=self.counter.after, run=run
        )

    def _on_subscribed(self, link: Link) -> None:
        self._missed_us = self._clock.now_us()
        for receipt_bytes in self.counter.unanswered.values():
            link.send(receipt_bytes)
        self._tally.subscribed += 1
        self._tally.on_subscribed(self)

    def _cut_now(self, away: float) -> None:
        link, self._link = self._link, None
        if link is not None:
            self._tally.cuts += 1
            link.cut()
            asyncio.get_running_loop().call_later(away, self.connect)

    def _receive_records(self, header: wire.Records, body: bytes, link: Link) -> None:
        now_us = self._clock.now_us()
        fresh = self.counter.add(header, body)
        for place in range(header.count - fresh, header.count):
            due_us = wire.due_us(header.due_us, place, header.rate)
            # Records that were due before this connection's subscription were missed, and are replayed.
            kind = self._tally.replayed if due_us < self._missed_us else self._tally.live
            kind.append(now_us - due_us)
        if (receipt_bytes := self.counter.receipt()) is not None:
            link.send(receipt_bytes)


class Link(asyncio.Protocol):
    """One connection of a client."""

    def __init__(self, client: Client) -> None:
        self._client, self._frames = client, Frames()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Open the WebSocket."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
            transport.write(_OPENING)
            self._client.on_connected(self)

    def data_received(self, data: bytes) -> None:
        """Handle every complete frame."""
        for opcode, payload in self._frames.feed(data):
            if opcode == TEXT:
                self._client.receive(*wire.decode_from_server(payload), self)
            elif opcode == PING:
                self._write(frame_message(payload, PONG))

    def connection_lost(self, exc: Exception | None) -> None:
        """Notify the client."""
        self._client.on_lost(self)

    def send(self, text: bytes) -> None:
        """Send a message."""
        self._write(frame_message(text))

    def cut(self) -> None:
        """Abort the connection; data in flight in either direction is lost."""
        if self._transport is not None:
            self._transport.abort()

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)
