"""One client of the profile: takes what comes, is cut as planned, returns, and writes down when all of it happened."""

from __future__ import annotations

import asyncio
import socket
import struct
from functools import partial

from benchmarks.profile.deliveries import Arrival, Connection, Log
from benchmarks.profile.protocols import Speaker
from benchmarks.scale.reach import reached
from benchmarks.scale.websocket import CLOSE, PING, PONG, TEXT, Frames, framed
from services.runtime.clock import Clock

_AGAIN_SECONDS = 1.0
_RESET = struct.pack("ii", 1, 0)


class Tally:
    """What all clients of a process have met.

    ``taken`` counts the messages as they come off the connections, whatever is written down of them. ``late_us`` has
    every cut that was made: how long after its time. Once it is ``over``, nothing is taken any more.
    """

    def __init__(self) -> None:
        self.taken = self.failed = self.ended_by_server = self.unmade = 0
        self.late_us: list[int] = []
        self.taken_us = 0
        self.over = False
        self.came = asyncio.Semaphore(0)


class Client:
    """One client, over all its connections; ``log`` is what it wrote down."""

    def __init__(self, number: int, port: int, speaker: Speaker, tally: Tally, clock: Clock) -> None:
        self.log = Log(number, [], [])
        self._port, self._speaker, self._tally, self._clock = port, speaker, tally, clock
        self._link: Link | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def ready(self) -> bool:
        """Whether it is connected, and the server has confirmed it."""
        return self._link is not None and self.log.connections[-1].ready_us is not None

    def connect(self) -> None:
        """Begin to connect, again and again until it is done; `Tally.came` is released when the server confirms."""
        task = asyncio.get_running_loop().create_task(self._connect())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            begun_us = self._clock.now_us()
            try:
                made = await reached(self.log.client, self._port)
                await loop.create_connection(partial(Link, self, self._speaker, begun_us), sock=made)
            except OSError:
                self._tally.failed += 1
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                return

    def cut(self, planned_us: int, away: float) -> None:
        """Break the connection off, and come back so many seconds later; a client that is not there is not cut."""
        if self._link is None or not self.ready:
            self._tally.unmade += 1
            return
        now_us = self._clock.now_us()
        self._tally.late_us.append(now_us - planned_us)
        self._note(ended_us=now_us)
        link, self._link = self._link, None
        link.reset()
        asyncio.get_running_loop().call_later(away, self.connect)

    def linked(self, link: Link, begun_us: int) -> None:
        """Note a connection."""
        self._link = link
        self.log.connections.append(Connection(begun_us))

    def confirmed(self) -> None:
        """Note that the server has confirmed it."""
        self._note(ready_us=self._clock.now_us())
        self._tally.came.release()

    def lost(self, link: Link) -> None:
        """Come back after a connection that ended otherwise than by a cut."""
        if link is not self._link:
            return
        if self.ready:
            self._tally.ended_by_server += 1
        else:
            self._tally.failed += 1
        self._note(ended_us=self._clock.now_us())
        self._link = None
        asyncio.get_running_loop().call_later(_AGAIN_SECONDS, self.connect)

    def hear(self, text: bytes, link: Link) -> None:
        """Take what the server says."""
        if self._tally.over:
            return
        heard = self._speaker.hear(text)
        for said in heard.says:
            link.say(said)
        if heard.ready:
            self.confirmed()
        if heard.messages:
            now_us, over = self._clock.now_us(), len(self.log.connections) - 1
            self.log.arrivals.extend(Arrival(number, sent_us, now_us, over) for number, sent_us in heard.messages)
            self._tally.taken += len(heard.messages)
            self._tally.taken_us = now_us

    def _note(self, **times: int) -> None:
        self.log.connections[-1] = self.log.connections[-1]._replace(**times)


class Link(asyncio.Protocol):
    """One connection of a client."""

    def __init__(self, client: Client, speaker: Speaker, begun_us: int) -> None:
        self._client, self._speaker, self._begun_us = client, speaker, begun_us
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Open the WebSocket."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
            transport.write(self._speaker.opening)
            self._client.linked(self, self._begun_us)

    def data_received(self, data: bytes) -> None:
        """Hand over every frame that is whole."""
        was_open = self._frames.opened
        frames = self._frames.take(data)
        if self._frames.opened and not was_open and self._speaker.ready_when_open:
            self._client.confirmed()
        for opcode, payload in frames:
            if opcode == TEXT:
                self._client.hear(payload, self)
            elif opcode == PING:
                self._write(framed(payload, PONG))
            elif opcode == CLOSE and self._transport is not None:
                self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the client."""
        self._client.lost(self)

    def say(self, text: bytes) -> None:
        """Send a message."""
        self._write(framed(text))

    def reset(self) -> None:
        """Break off without a goodbye; what is on its way, in either direction, is lost."""
        if self._transport is not None:
            made = self._transport.get_extra_info("socket")
            # A socket that does not linger resets: the peer learns of it at once, and no port is kept for a minute.
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._transport.abort()

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)
