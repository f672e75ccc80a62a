"""Feeds of one kind of decoding: ``python serve_decoding.py KIND PORT CLIENTS COUNT RATE``.

The connections of one run share a feed. Values, frame sizes and cuts of the next run's feed are drawn with another
seed.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Iterable, Iterator

from websockets.asyncio.server import ServerConnection, broadcast, serve

from chaos.external.decodings import DECODINGS, Record, record


async def play(kind: str, seed: int, connections: Iterable[ServerConnection], count: int, rate: float) -> None:
    """Send one feed to some connections."""
    sent = 0

    def records() -> Iterator[Record]:
        nonlocal sent
        chance = random.Random(seed)
        for seq in range(1, count + 1):
            sent = seq
            yield record(seq, time.time_ns() // 1_000_000, chance)

    loop = asyncio.get_running_loop()
    began = loop.time()
    for frame in DECODINGS[kind].frames(records(), random.Random(seed)):
        broadcast(connections, frame)
        await asyncio.sleep(began + sent / rate - loop.time())


async def main(kind: str, port: int, clients: int, count: int, rate: float) -> None:
    """Serve until killed; a feed begins when enough clients are connected."""
    waiting: list[ServerConnection] = []
    feeds: list[asyncio.Task[None]] = []

    async def handle(connection: ServerConnection) -> None:
        waiting.append(connection)
        if len(waiting) == clients:
            feeds.append(asyncio.create_task(play(kind, len(feeds), tuple(waiting), count, rate)))
            waiting.clear()
        async for _ in connection:
            pass
        if connection in waiting:
            waiting.remove(connection)

    async with serve(handle, "127.0.0.1", port):
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:6])))
