"""``websockets`` with its documented broadcast: ``python serve_websockets.py PORT CLIENTS COUNT RATE``."""

from __future__ import annotations

import asyncio
import sys

from websockets.asyncio.server import ServerConnection, broadcast, serve

from chaos.external.scripts.feed import records


async def main(port: int, clients: int, count: int, rate: float) -> None:
    """Serve until killed."""
    subscribers: set[ServerConnection] = set()
    all_subscribed = asyncio.Event()

    async def handle(connection: ServerConnection) -> None:
        await connection.recv()
        subscribers.add(connection)
        if len(subscribers) == clients:
            all_subscribed.set()
        await connection.wait_closed()
        subscribers.discard(connection)

    async with serve(handle, "127.0.0.1", port):
        await all_subscribed.wait()
        async for text in records(count, rate):
            broadcast(subscribers, text)
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:5])))
