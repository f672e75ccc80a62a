"""A proxy that injects planned faults into a feed, and passes all other frames on unchanged."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
from collections.abc import AsyncIterator
from typing import NamedTuple
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

_SEQ = re.compile(rb'"seq": ?(\d+)')
FAULTY_MARK = "faulty"
"""Word in the query of a client's URL that makes the proxy inject faults into its feed."""


class RecordFaults(NamedTuple):
    """Records that are dropped, sent twice, and sent after the next one; no two of them are adjacent."""

    drops: frozenset[int]
    duplicates: frozenset[int]
    swaps: frozenset[int]

    @classmethod
    def choose(cls, count: int, each: int, seed: int) -> RecordFaults:
        """Choose ``each`` records for each kind of fault, none of them near the start or end of the feed."""
        places = list(range(5, count - 5, 4))
        chosen = random.Random(seed).sample(places, 3 * each)
        return cls(*(frozenset(chosen[offset::3]) for offset in range(3)))


@contextlib.asynccontextmanager
async def fault_proxy(url: str, plan: RecordFaults) -> AsyncIterator[tuple[str, InjectedCounts]]:
    """Listen in front of a server; yield the URL of the proxy, and the counts of the injected faults."""
    parts, counts = urlsplit(url), InjectedCounts()

    async def relay(client: ServerConnection) -> None:
        assert client.request is not None
        path, _, query = client.request.path.partition("?")
        kept = "&".join(word for word in query.split("&") if word and word != FAULTY_MARK)
        target = f"{parts.scheme}://{parts.netloc}{path}" + (f"?{kept}" if kept else "")
        async with connect(target, compression=None, proxy=None, max_size=None) as server:
            no_faults = RecordFaults(frozenset(), frozenset(), frozenset())
            stream = _FaultyStream(client, plan if FAULTY_MARK in query.split("&") else no_faults, counts)
            upstream = asyncio.create_task(_pass(client, server))
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await stream.forward(await server.recv())
            upstream.cancel()
            await client.close()

    async with serve(relay, "127.0.0.1", 0, compression=None, max_size=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"{parts.scheme}://127.0.0.1:{port}{parts.path}" + (f"?{parts.query}" if parts.query else ""), counts


async def _pass(source: ServerConnection | ClientConnection, target: ServerConnection | ClientConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        while True:
            await target.send(await source.recv())
    await target.close()


class InjectedCounts:
    """Number of records in dropped, duplicated and swapped frames; a frame may hold several."""

    def __init__(self) -> None:
        self.dropped = self.duplicated = self.swapped = 0


class _FaultyStream:
    """The frames from the server to one client."""

    def __init__(self, client: ServerConnection, plan: RecordFaults, counts: InjectedCounts) -> None:
        self._client, self._plan, self._counts = client, plan, counts
        self._swapped: str | bytes | None = None

    async def forward(self, frame: str | bytes) -> None:
        """Pass a frame on, with the faults of the plan."""
        seqs = set(map(int, _SEQ.findall(frame.encode() if isinstance(frame, str) else frame)))
        if seqs & self._plan.drops:
            self._counts.dropped += len(seqs)
            return
        if seqs & self._plan.swaps and self._swapped is None:
            self._counts.swapped += len(seqs)
            self._swapped = frame
            return
        await self._client.send(frame)
        if seqs & self._plan.duplicates:
            self._counts.duplicated += len(seqs)
            await self._client.send(frame)
        if seqs and self._swapped is not None:
            swapped, self._swapped = self._swapped, None
            await self._client.send(swapped)
