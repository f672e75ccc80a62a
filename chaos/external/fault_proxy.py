"""Harms a feed on its way, by a plan: a proxy that passes every frame on byte for byte, but for those of the plan."""

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
MARK = "harm"
"""A client whose address has this in its query is harmed; the others are passed on as they are."""


class Plan(NamedTuple):
    """Which records do not arrive, arrive twice, and arrive after the next one; no two of them are neighbours."""

    drops: frozenset[int]
    doubles: frozenset[int]
    swaps: frozenset[int]

    @classmethod
    def drawn(cls, count: int, each: int, seed: int) -> Plan:
        """Draw so many of each kind among the records of a feed; its first and last are left alone."""
        places = list(range(5, count - 5, 4))
        chosen = random.Random(seed).sample(places, 3 * each)
        return cls(*(frozenset(chosen[at::3]) for at in range(3)))


@contextlib.asynccontextmanager
async def harmed(url: str, plan: Plan) -> AsyncIterator[tuple[str, Done]]:
    """Listen in front of a server, and yield the address, at which whoever is marked is harmed, and what was done."""
    parts, done = urlsplit(url), Done()

    async def relay(client: ServerConnection) -> None:
        assert client.request is not None
        path, _, query = client.request.path.partition("?")
        kept = "&".join(word for word in query.split("&") if word and word != MARK)
        target = f"{parts.scheme}://{parts.netloc}{path}" + (f"?{kept}" if kept else "")
        async with connect(target, compression=None, proxy=None, max_size=None) as server:
            way = _Way(client, plan if MARK in query.split("&") else Plan(frozenset(), frozenset(), frozenset()), done)
            there = asyncio.create_task(_pass(client, server))
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await way.take(await server.recv())
            there.cancel()
            await client.close()

    async with serve(relay, "127.0.0.1", 0, compression=None, max_size=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"{parts.scheme}://127.0.0.1:{port}{parts.path}" + (f"?{parts.query}" if parts.query else ""), done


async def _pass(source: ServerConnection | ClientConnection, target: ServerConnection | ClientConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        while True:
            await target.send(await source.recv())
    await target.close()


class Done:
    """What was done to the records of a feed: a frame may hold several."""

    def __init__(self) -> None:
        self.dropped = self.doubled = self.swapped = 0


class _Way:
    """From the server to one client."""

    def __init__(self, client: ServerConnection, plan: Plan, done: Done) -> None:
        self._client, self._plan, self._done = client, plan, done
        self._held: str | bytes | None = None

    async def take(self, frame: str | bytes) -> None:
        """Pass a frame on, or do to it what the plan says."""
        seqs = set(map(int, _SEQ.findall(frame.encode() if isinstance(frame, str) else frame)))
        if seqs & self._plan.drops:
            self._done.dropped += len(seqs)
            return
        if seqs & self._plan.swaps and self._held is None:
            self._done.swapped += len(seqs)
            self._held = frame
            return
        await self._client.send(frame)
        if seqs & self._plan.doubles:
            self._done.doubled += len(seqs)
            await self._client.send(frame)
        if seqs and self._held is not None:
            held, self._held = self._held, None
            await self._client.send(held)
