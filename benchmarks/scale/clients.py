"""The clients of the cuts benchmark: thousands of real ones in one process, each a plain asyncio protocol."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable

from benchmarks.scale.deliveries import BLOCK, Taker
from benchmarks.scale.reach import reached
from benchmarks.scale.websocket import PING, PONG, TEXT, Frames, framed, opening
from services.contract import wire
from services.runtime.clock import Clock

_AGAIN_SECONDS = 1.0
_OPENING = opening(subprotocol=wire.SUBPROTOCOL)


class Tally:
    """What all clients of a process have met. Latencies are microseconds from due time to arrival."""

    def __init__(self) -> None:
        self.live, self.replayed = array("q"), array("q")
        self.subscribed = self.cuts = self.failed = 0
        self.on_subscribed: Callable[[Client], None] = lambda _: None
        self.on_done: Callable[[], None] = lambda: None


class Client:
    """One client: subscribes, takes, receipts; is cut, stays away, and resumes."""

    def __init__(self, number: int, port: int, taker: Taker, tally: Tally, clock: Clock) -> None:
        self.name, self.taker = f"scale-{number}", taker
        self._number, self._port = number, port
        self._tally, self._clock = tally, clock
        self._link: Link | None = None
        self._missed_us = 0
        self._task: asyncio.Task[None] | None = None
        self._cut: asyncio.TimerHandle | None = None

    def cut_in(self, seconds: float, away: float) -> None:
        """Break the connection off after so long, and come back so long after that."""
        if self._cut is not None:
            self._cut.cancel()
        self._cut = asyncio.get_running_loop().call_later(seconds, self._break_off, away)

    def connect(self) -> None:
        """Begin to connect; whoever is subscribed is counted in the tally."""
        self._task = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                made = await reached(self._number, self._port)
                await loop.create_connection(lambda: Link(self), sock=made)
            except OSError:
                self._tally.failed += 1
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                return

    def linked(self, link: Link) -> None:
        """Note a connection."""
        self._link = link

    def lost(self, link: Link) -> None:
        """Come back after a connection that ended otherwise than by a cut."""
        if link is self._link:
            self._link = None
            self._tally.failed += 1
            asyncio.get_running_loop().call_later(_AGAIN_SECONDS, self.connect)

    def take(self, frame: wire.FromServer, body: bytes, link: Link) -> None:
        """Take what the server says."""
        match frame:
            case wire.Records():
                self._take_records(frame, body, link)
            case wire.Recorded():
                self.taker.unanswered.pop(frame.block, None)
                if self.taker.done():
                    self._tally.on_done()
            case wire.Welcome():
                link.say(wire.encode(self._request(frame.run)))
            case wire.Subscribed():
                self._begin(link)
            case _:
                pass

    def _request(self, run: str) -> wire.Subscribe:
        return wire.Subscribe(
            client=self.name, session=1, instance=self.name, block_size=BLOCK, after=self.taker.after, run=run
        )

    def _begin(self, link: Link) -> None:
        self._missed_us = self._clock.now_us()
        for said in self.taker.unanswered.values():
            link.say(said)
        self._tally.subscribed += 1
        self._tally.on_subscribed(self)

    def _break_off(self, away: float) -> None:
        link, self._link = self._link, None
        if link is not None:
            self._tally.cuts += 1
            link.cut()
            asyncio.get_running_loop().call_later(away, self.connect)

    def _take_records(self, header: wire.Records, body: bytes, link: Link) -> None:
        now_us = self._clock.now_us()
        fresh = self.taker.take(header, body)
        for place in range(header.count - fresh, header.count):
            due_us = wire.due_us(header.due_us, place, header.rate)
            # What was due before this connection was subscribed has been missed, and is replayed.
            kind = self._tally.replayed if due_us < self._missed_us else self._tally.live
            kind.append(now_us - due_us)
        if (said := self.taker.receipt()) is not None:
            link.say(said)


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
            self._client.linked(self)

    def data_received(self, data: bytes) -> None:
        """Hand over every frame that is whole."""
        for opcode, payload in self._frames.take(data):
            if opcode == TEXT:
                self._client.take(*wire.decode_from_server(payload), self)
            elif opcode == PING:
                self._write(framed(payload, PONG))

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the client."""
        self._client.lost(self)

    def say(self, text: bytes) -> None:
        """Send a message."""
        self._write(framed(text))

    def cut(self) -> None:
        """Break off without a goodbye; what is on its way, in either direction, is lost."""
        if self._transport is not None:
            self._transport.abort()

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)
