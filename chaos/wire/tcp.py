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

from chaos.wire.background import Background
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
        slow_close: so long passes, or until this toxic is gone, before one end is told that the other one has closed.
        reset_within: each connection is reset in the middle of what it passes on, after 1 to so many bytes.
    """

    latency: float = 0.0
    jitter: float = 0.0
    slices: int = 0
    bandwidth: float = 0.0
    swallow: frozenset[Direction] = frozenset()
    hold: frozenset[Direction] = frozenset()
    slow_close: float = 0.0
    reset_within: int = 0


NONE = Toxic()
_ZERO_LINGER = struct.pack("ii", 1, 0)


class _Link:
    """One connection through the proxy: who made it, its two sockets, and which directions have lost bytes."""

    def __init__(self, client_out: asyncio.StreamWriter, server_out: asyncio.StreamWriter) -> None:
        self.writers = (client_out, server_out)
        self.address = str((client_out.get_extra_info("peername") or ("",))[0])
        self.dead: set[Direction] = set()
        self.left: int | None = None
        """How many bytes it will still pass on before it is reset, where it will be."""

    def reset(self) -> None:
        """Cut both sides with RST instead of FIN."""
        for writer in self.writers:
            raw = writer.get_extra_info("socket")
            if raw is not None and raw.fileno() >= 0:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ZERO_LINGER)
            writer.transport.abort()


class TcpProxy:
    """Listens on a port of its own, at ``host``, in front of a server at ``to_host``."""

    def __init__(self, to_port: int, seed: int, *, to_host: str = "127.0.0.1", host: str = "127.0.0.1") -> None:
        self.connections = 0
        self._toxic = NONE
        self._toxics: dict[str, Toxic] = {}
        self._random = random.Random(seed)
        self._host, self._port, self._to = host, free_port(), (to_host, to_port)
        self._links: set[_Link] = set()
        self._background = Background()
        self._changed = self._background.call(asyncio.Event)
        self._server = self._background.run(asyncio.start_server(self._serve, host, self._port, limit=65_536))

    @property
    def url(self) -> str:
        """Where clients are to connect."""
        return f"ws://{self._host}:{self._port}"

    def aim(self, to_host: str) -> None:
        """From now on the server is at another address."""
        self._to = (to_host, self._to[1])

    def poison(self, toxic: Toxic, address: str | None = None) -> None:
        """From now on do this to every connection, old and new, or to those of one client's address."""

        def change() -> None:
            if address is None:
                self._toxic = toxic
            else:
                self._toxics[address] = toxic
            self._changed.set()
            self._changed.clear()

        self._background.call(change)

    def heal(self) -> None:
        """From now on do nothing, to anybody."""

        def forget() -> None:
            self._toxics.clear()

        self._background.call(forget)
        self.poison(NONE)

    def _of(self, link: _Link) -> Toxic:
        return self._toxics.get(link.address, self._toxic)

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
            server_in, server_out = await asyncio.open_connection(*self._to)
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
                await self._delay(link, way)
                if way in self._of(link).swallow:
                    link.dead.add(way)
                if way not in link.dead:
                    await self._pass_on(link, data, sink)
        if way == "down" and "up" in link.dead:
            # The server's bytes reach nobody any more, and it is not told so: what has forgotten the connection
            # answers nothing. It finds out by itself.
            with contextlib.suppress(ConnectionError):
                while await source.read(65_536):
                    pass
        await self._close(link, way, sink)

    async def _close(self, link: _Link, way: Direction, sink: asyncio.StreamWriter) -> None:
        began = self._of(link)
        until = asyncio.get_running_loop().time() + began.slow_close
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                while began.slow_close and self._of(link) is began:
                    await self._changed.wait()
        if way not in link.dead and not sink.is_closing():
            with contextlib.suppress(OSError):
                sink.write_eof()

    async def _delay(self, link: _Link, way: Direction) -> None:
        toxic = self._of(link)
        if toxic.latency or toxic.jitter:
            await asyncio.sleep(toxic.latency + self._random.uniform(0, toxic.jitter))
        while way in self._of(link).hold:
            await self._changed.wait()

    async def _pass_on(self, link: _Link, data: bytes, sink: asyncio.StreamWriter) -> None:
        at = 0
        while at < len(data):
            toxic = self._of(link)
            part = data[at : at + self._size(link, toxic, len(data) - at)]
            sink.write(part)
            await sink.drain()
            at += len(part)
            if link.left == 0:
                link.reset()
                raise ConnectionResetError("by the proxy")
            if toxic.bandwidth:
                await asyncio.sleep(len(part) / toxic.bandwidth)
            elif toxic.slices:
                await asyncio.sleep(0)

    def _size(self, link: _Link, toxic: Toxic, waiting: int) -> int:
        """Return how many of the bytes that wait are passed on at once."""
        if not toxic.reset_within:
            link.left = None
        elif link.left is None:
            link.left = self._random.randint(1, toxic.reset_within)
        size = waiting
        if toxic.slices:
            size = self._random.randint(1, toxic.slices)
        elif toxic.bandwidth:
            size = max(1, int(toxic.bandwidth / 50))
        if link.left is not None:
            size = min(size, link.left)
            link.left -= min(size, waiting)
        return size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._background.call(self._server.close)
        self.reset()
        self._background.close()
