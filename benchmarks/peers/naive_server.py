"""The naive server: the handler of each connection encodes and sends every record itself.

Compression is off, as in the project's own server; it would take most of the CPU time.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

from websockets.asyncio.server import ServerConnection, serve

from benchmarks.peers import pool


async def main() -> None:
    """Wait for all clients, send the records to each of them, and print the time of the first send."""
    port, path, count, clients = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    records = [json.loads(line) for line in pool.read(path, 1)]
    all_connected, all_closed = asyncio.Barrier(clients), asyncio.Barrier(clients + 1)
    began: list[float] = []

    async def feed(connection: ServerConnection) -> None:
        await all_connected.wait()
        began.append(time.monotonic())
        for number in range(count):
            await connection.send(json.dumps(records[number % len(records)]))
        await connection.close()
        await all_closed.wait()

    async with serve(feed, "127.0.0.1", port, compression=None):
        print("listening", flush=True)
        await all_closed.wait()
    print(min(began))


if __name__ == "__main__":
    asyncio.run(main())
