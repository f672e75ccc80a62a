"""A plain TCP proxy with toxics: it knows bytes and connections and nothing of what they mean."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

from tests.faults.wire.background import Background
from tests.integration.processes import free_port

Direction = Literal["up", "down"]
"""Up is from the client to the server."""


@dataclass(frozen=True)
class Toxic:
    """What is done to every connection; nothing by default. Times in seconds.

    Attributes:
        latency: every read waits so long before it is passed on,
        jitter: or up to so much longer; order is kept, as TCP keeps it.
        slices: bytes are passed on in slices of 1 to so many.
        bandwidth: bytes per second in each direction.
        swallow: bytes in these directions vanish, and the sender is never told. A connection that lost bytes is dead
            in that direction for good, as after a middle box has forgotten it: TCP cannot lose a byte and go on.
        hold: bytes in these directions wait until this toxic is gone, as TCP sends again after a partition.
        slow_close: so long passes before one end is told that the other one has closed.
    """

    latency: float = 0.0
    jitter: float = 0.0
    slices: int = 0
    bandwidth: float = 0.0
    swallow: frozenset[Direction] = frozenset()
    hold: frozenset[Direction] = frozenset()
    slow_close: float = 0.0


NONE = Toxic()
_ZERO_LINGER = struct.pack("ii", 1, 0)


class _Link:
    """One connection through the proxy: two sockets, and which directions have lost bytes."""

    def __init__(self, *writers: asyncio.StreamWriter) -> None:
        self.writers = writers
        self.dead: set[Direction] = set()

    def reset(self) -> None:
        """Cut both sides with RST instead of FIN."""
        for writer in self.writers:
            raw = writer.get_extra_info("socket")
            if raw is not None and raw.fileno() >= 0:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ZERO_LINGER)
            writer.transport.abort()


class TcpProxy:
    """Listens on a port of its own in front of a port of this machine."""

    def __init__(self, to_port: int, seed: int) -> None:
        self.connections = 0
        self._toxic = NONE
        self._random = random.Random(seed)
        self._port, self._to_port = free_port(), to_port
        self._links: set[_Link] = set()
        self._background = Background()
        self._changed = self._background.call(asyncio.Event)
        self._server = self._background.run(asyncio.start_server(self._serve, "127.0.0.1", self._port, limit=65_536))

    @property
    def url(self) -> str:
        """Where clients are to connect."""
        return f"ws://127.0.0.1:{self._port}"

    def poison(self, toxic: Toxic) -> None:
        """From now on do this to every connection, old and new."""

        def change() -> None:
            self._toxic = toxic
            self._changed.set()
            self._changed.clear()

        self._background.call(change)

    def heal(self) -> None:
        """From now on do nothing."""
        self.poison(NONE)

    def reset(self) -> int:
        """Reset every connection; return how many there were."""

        def cut() -> int:
            links = list(self._links)
            for link in links:
                link.reset()
            return len(links)

        return self._background.call(cut)

    async def _serve(self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter) -> None:
        try:
            server_in, server_out = await asyncio.open_connection("127.0.0.1", self._to_port)
        except OSError:
            client_out.transport.abort()
            return
        self.connections += 1
        link = _Link(client_out, server_out)
        self._links.add(link)
        try:
            await asyncio.gather(
                self._pump(link, "up", client_in, server_out), self._pump(link, "down", server_in, client_out)
            )
        except asyncio.CancelledError:
            pass  # the proxy closes; asyncio's own callback would log this as an error
        finally:
            self._links.discard(link)
            link.reset()

    async def _pump(
        self, link: _Link, way: Direction, source: asyncio.StreamReader, sink: asyncio.StreamWriter
    ) -> None:
        # A side that has reset is at its end too.
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65_536):
                await self._delay(way)
                if way in self._toxic.swallow:
                    link.dead.add(way)
                if way not in link.dead:
                    await self._pass_on(data, sink)
        await asyncio.sleep(self._toxic.slow_close)
        if way not in link.dead and not sink.is_closing():
            with contextlib.suppress(OSError):
                sink.write_eof()

    async def _delay(self, way: Direction) -> None:
        toxic = self._toxic
        if toxic.latency or toxic.jitter:
            await asyncio.sleep(toxic.latency + self._random.uniform(0, toxic.jitter))
        while way in self._toxic.hold:
            await self._changed.wait()

    async def _pass_on(self, data: bytes, sink: asyncio.StreamWriter) -> None:
        at = 0
        while at < len(data):
            toxic = self._toxic
            size = len(data) - at
            if toxic.slices:
                size = self._random.randint(1, toxic.slices)
            elif toxic.bandwidth:
                size = max(1, int(toxic.bandwidth / 50))
            part = data[at : at + size]
            sink.write(part)
            await sink.drain()
            at += size
            if toxic.bandwidth:
                await asyncio.sleep(len(part) / toxic.bandwidth)
            elif toxic.slices:
                await asyncio.sleep(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._background.call(self._server.close)
        self.reset()
        self._background.close()
