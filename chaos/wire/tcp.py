"""A TCP proxy that injects toxics: it handles bytes and connections and does not parse their contents."""

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
"""``up`` is from the client to the server."""


@dataclass(frozen=True)
class Toxic:
    """The faults of a connection; none by default. Times in seconds.

    Attributes:
        latency: delay of every read before it is passed on.
        jitter: largest additional delay; the order is kept, as TCP keeps it.
        slices: bytes are passed on in slices of 1 to ``slices`` bytes.
        bandwidth: bytes per second in each direction.
        swallow: directions whose bytes are dropped without an error. A connection that lost bytes stays dead in that
            direction, as after a middlebox has dropped its state: TCP cannot lose a byte and continue.
        hold: directions whose bytes wait until the toxic ends, as TCP sends them again after a partition.
        slow_close: delay before one end learns that the other has closed; ends early with the toxic.
        reset_within: the connection is reset after 1 to ``reset_within`` bytes.
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
    """One connection through the proxy: the client's address, two sockets, and the directions that have lost bytes."""

    def __init__(self, client_out: asyncio.StreamWriter, server_out: asyncio.StreamWriter) -> None:
        self.writers = (client_out, server_out)
        self.address = str((client_out.get_extra_info("peername") or ("",))[0])
        self.dead_directions: set[Direction] = set()
        self.bytes_left: int | None = None
        """Bytes to pass on before a reset; None if no reset is due."""

    def reset(self) -> None:
        """Close both sides with RST instead of FIN."""
        for writer in self.writers:
            raw = writer.get_extra_info("socket")
            if raw is not None and raw.fileno() >= 0:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ZERO_LINGER)
            writer.transport.abort()


class TcpProxy:
    """Listens on its own port at ``host``, in front of a server at ``to_host``."""

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
        """The URL of the proxy, for the clients."""
        return f"ws://{self._host}:{self._port}"

    def set_target_host(self, to_host: str) -> None:
        """Connect new connections to another address."""
        self._to = (to_host, self._to[1])

    def set_toxic(self, toxic: Toxic, address: str | None = None) -> None:
        """Apply a toxic to all connections, old and new, or to those from one client's address."""

        def change() -> None:
            if address is None:
                self._toxic = toxic
            else:
                self._toxics[address] = toxic
            self._changed.set()
            self._changed.clear()

        self._background.call(change)

    def heal(self) -> None:
        """Remove all toxics."""

        def forget() -> None:
            self._toxics.clear()

        self._background.call(forget)
        self.set_toxic(NONE)

    def _toxic_of(self, link: _Link) -> Toxic:
        return self._toxics.get(link.address, self._toxic)

    def reset(self) -> int:
        """Reset all connections; return their number."""

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
            pass  # the proxy is closing; asyncio's callback would log the cancellation as an error
        finally:
            self._links.discard(link)
            link.reset()

    async def _pump(
        self, link: _Link, direction: Direction, source: asyncio.StreamReader, sink: asyncio.StreamWriter
    ) -> None:
        # A side that has reset the connection has ended, too.
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65_536):
                await self._delay(link, direction)
                if direction in self._toxic_of(link).swallow:
                    link.dead_directions.add(direction)
                if direction not in link.dead_directions:
                    await self._pass_on(link, data, sink)
        if direction == "down" and "up" in link.dead_directions:
            # A middlebox without state for the connection answers nothing, so the server's bytes are dropped without
            # an error until the server's own watchdog closes the connection.
            with contextlib.suppress(ConnectionError):
                while await source.read(65_536):
                    pass
        await self._close(link, direction, sink)

    async def _close(self, link: _Link, direction: Direction, sink: asyncio.StreamWriter) -> None:
        initial = self._toxic_of(link)
        until = asyncio.get_running_loop().time() + initial.slow_close
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                while initial.slow_close and self._toxic_of(link) is initial:
                    await self._changed.wait()
        if direction not in link.dead_directions and not sink.is_closing():
            with contextlib.suppress(OSError):
                sink.write_eof()

    async def _delay(self, link: _Link, direction: Direction) -> None:
        toxic = self._toxic_of(link)
        if toxic.latency or toxic.jitter:
            await asyncio.sleep(toxic.latency + self._random.uniform(0, toxic.jitter))
        while direction in self._toxic_of(link).hold:
            await self._changed.wait()

    async def _pass_on(self, link: _Link, data: bytes, sink: asyncio.StreamWriter) -> None:
        at = 0
        while at < len(data):
            toxic = self._toxic_of(link)
            part = data[at : at + self._size(link, toxic, len(data) - at)]
            sink.write(part)
            await sink.drain()
            at += len(part)
            if link.bytes_left == 0:
                link.reset()
                raise ConnectionResetError("by the proxy")
            if toxic.bandwidth:
                await asyncio.sleep(len(part) / toxic.bandwidth)
            elif toxic.slices:
                await asyncio.sleep(0)

    def _size(self, link: _Link, toxic: Toxic, waiting: int) -> int:
        """Return how many of the waiting bytes to pass on in one piece."""
        if not toxic.reset_within:
            link.bytes_left = None
        elif link.bytes_left is None:
            link.bytes_left = self._random.randint(1, toxic.reset_within)
        size = waiting
        if toxic.slices:
            size = self._random.randint(1, toxic.slices)
        elif toxic.bandwidth:
            size = max(1, int(toxic.bandwidth / 50))
        if link.bytes_left is not None:
            size = min(size, link.bytes_left)
            link.bytes_left -= min(size, waiting)
        return size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._background.call(self._server.close)
        self.reset()
        self._background.close()
