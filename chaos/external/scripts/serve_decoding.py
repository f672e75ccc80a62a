"""A feed of one kind of decoding: ``python serve_decoding.py KIND SEED PORT CLIENTS COUNT RATE``."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Iterator

from websockets.asyncio.server import ServerConnection, broadcast, serve

from chaos.external.decodings import DECODINGS, Record, record


async def main(kind: str, seed: int, port: int, clients: int, count: int, rate: float) -> None:
    """Serve until killed; the feed begins when all clients are connected."""
    connections: set[ServerConnection] = set()
    all_connected = asyncio.Event()

    async def handle(connection: ServerConnection) -> None:
        connections.add(connection)
        if len(connections) == clients:
            all_connected.set()
        async for _ in connection:
            pass
        connections.discard(connection)

    sent = 0

    def records() -> Iterator[Record]:
        nonlocal sent
        chance = random.Random(seed)
        for seq in range(1, count + 1):
            sent = seq
            yield record(seq, time.time_ns() // 1_000_000, chance)

    async with serve(handle, "127.0.0.1", port):
        await all_connected.wait()
        loop = asyncio.get_running_loop()
        began = loop.time()
        for frame in DECODINGS[kind].frames(records(), random.Random(seed)):
            broadcast(connections, frame)
            await asyncio.sleep(began + sent / rate - loop.time())
        await loop.create_future()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:7])))
