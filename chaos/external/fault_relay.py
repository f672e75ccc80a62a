"""A TCP relay in front of a WebSocket server that injects planned faults into a feed, and changes nothing else.

Bytes to the server pass unchanged, except that the offer of compression is removed from the handshake, since records
could not be found in compressed frames. Bytes to the client are cut into frames, which pass unchanged unless the plan
names a record in them. So subprotocols, headers, pings, close codes and broken connections are the server's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
from collections.abc import AsyncIterator
from typing import NamedTuple
from urllib.parse import urlsplit

_EXTENSIONS = re.compile(rb"Sec-WebSocket-Extensions:[^\r\n]*\r\n", re.IGNORECASE)
_FIRST = 10
_HEAD_END = b"\r\n\r\n"


class RecordFaults(NamedTuple):
    """Records that are dropped, sent twice, and sent after the next one, by their place in the feed from 1.

    No two of them are adjacent.
    """

    drops: frozenset[int] = frozenset()
    duplicates: frozenset[int] = frozenset()
    swaps: frozenset[int] = frozenset()

    @classmethod
    def choose(cls, count: int, numbers: tuple[int, int, int], seed: int) -> RecordFaults:
        """Choose this many drops, duplicates and swaps, none of them near the start or end of the feed."""
        chosen = random.Random(seed).sample(range(5, count - 5, 4), sum(numbers))
        drops, duplicates, _ = numbers
        return cls(
            frozenset(chosen[:drops]),
            frozenset(chosen[drops : drops + duplicates]),
            frozenset(chosen[drops + duplicates :]),
        )


class InjectedCounts:
    """Number of records in dropped, duplicated and swapped frames; a frame may hold several."""

    def __init__(self) -> None:
        self.dropped = self.duplicated = self.swapped = 0


class FaultRelay:
    """A relay that listens; the counts of the injected faults, and the number of records that each client got.

    Args:
        url: the URL of the server.
        record: a pattern that is found once in every record.
        plan: the faults of one client.
        faulty: which connection has the faults, from 1.
        refusal: the answer to every handshake in place of the server's, without a body's end; empty for none.
    """

    def __init__(
        self, url: str, record: re.Pattern[bytes], plan: RecordFaults, faulty: int, refusal: bytes = b""
    ) -> None:
        self._server, self._record, self._plan, self._refusal = urlsplit(url), record, plan, refusal
        self._faulty = faulty
        self.counts = InjectedCounts()
        self.streams: list[_FaultyStream] = []
        self._listener: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Return the URL of the relay, with path and query of the server's."""
        assert self._listener is not None
        port = self._listener.sockets[0].getsockname()[1]
        return self._server._replace(netloc=f"127.0.0.1:{port}").geturl()

    async def listen(self) -> None:
        """Begin to accept connections."""
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)

    def seen(self, pattern: re.Pattern[bytes]) -> int:
        """Return the number of clients that got a frame in which a pattern is found."""
        return sum(any(pattern.search(frame) for frame in stream.first) for stream in self.streams)

    def refuse(self) -> None:
        """Stop accepting connections: the system refuses further ones. Those that exist are kept."""
        assert self._listener is not None
        self._listener.close()

    async def close(self) -> None:
        """Cut all connections."""
        self.refuse()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._relay(reader, writer)
        writer.close()
        self._tasks.discard(task)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(_HEAD_END)
        if self._refusal:
            writer.write(self._refusal)
            await writer.drain()
            return
        server_reader, server_writer = await asyncio.open_connection(self._server.hostname, self._server.port)
        upstream = asyncio.create_task(_pass(reader, server_writer))
        try:
            server_writer.write(_EXTENSIONS.sub(b"", request))
            writer.write(await server_reader.readuntil(_HEAD_END))
            plan = self._plan if len(self.streams) + 1 == self._faulty else RecordFaults()
            stream = _FaultyStream(writer, self._record, plan, self.counts)
            self.streams.append(stream)
            while True:
                stream.forward(*await _read_frame(server_reader))
                await writer.drain()
        finally:
            upstream.cancel()
            server_writer.close()


@contextlib.asynccontextmanager
async def fault_relay(
    url: str, record: re.Pattern[bytes], plan: RecordFaults, faulty: int, refusal: bytes = b""
) -> AsyncIterator[FaultRelay]:
    """Listen in front of a server, as described at `FaultRelay`."""
    relay = FaultRelay(url, record, plan, faulty, refusal)
    await relay.listen()
    try:
        yield relay
    finally:
        await relay.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _read_frame(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Return the head and the payload of a frame from a server, which is never masked."""
    head = await reader.readexactly(2)
    size, more = head[1] & 0x7F, {126: 2, 127: 8}.get(head[1] & 0x7F, 0)
    if more:
        extended = await reader.readexactly(more)
        head, size = head + extended, int.from_bytes(extended)
    return head, await reader.readexactly(size)


class _FaultyStream:
    """The frames from the server to one client."""

    def __init__(
        self, client: asyncio.StreamWriter, record: re.Pattern[bytes], plan: RecordFaults, counts: InjectedCounts
    ) -> None:
        self._client, self._record, self._plan, self._counts = client, record, plan, counts
        self._swapped = b""
        self.place = 0
        """Number of records that the server has sent."""
        self.first: list[bytes] = []
        """The payloads of the first frames."""

    def forward(self, head: bytes, payload: bytes) -> None:
        """Pass a frame on, with the faults of the plan."""
        if len(self.first) < _FIRST:
            self.first.append(payload)
        frame, number = head + payload, len(self._record.findall(payload))
        places = set(range(self.place + 1, self.place + number + 1))
        self.place += number
        if places & self._plan.drops:
            self._counts.dropped += number
            return
        if places & self._plan.swaps and not self._swapped:
            self._counts.swapped += number
            self._swapped = frame
            return
        self._client.write(frame)
        if places & self._plan.duplicates:
            self._counts.duplicated += number
            self._client.write(frame)
        if places and self._swapped:
            self._client.write(self._swapped)
            self._swapped = b""
