"""``websockets``, as its documentation shows a broadcast: ``python serve_websockets.py PORT CLIENTS COUNT RATE``."""

from __future__ import annotations

import asyncio
import sys

from websockets.asyncio.server import ServerConnection, broadcast, serve

from chaos.external.feed import records


async def main(port: int, clients: int, count: int, rate: float) -> None:
    """Serve until killed."""
    greeted: set[ServerConnection] = set()
    enough = asyncio.Event()

    async def converse(connection: ServerConnection) -> None:
        await connection.recv()
        greeted.add(connection)
        if len(greeted) == clients:
            enough.set()
        await connection.wait_closed()
        greeted.discard(connection)

    async with serve(converse, "127.0.0.1", port):
        await enough.wait()
        async for text in records(count, rate):
            broadcast(greeted, text)
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:5])))
