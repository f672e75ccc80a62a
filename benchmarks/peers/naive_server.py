"""The naive form's server: every handler encodes and sends every record by itself.

Compression is off as on our own wire, which spares this one most of its processor time.
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
    """Wait for so many clients, send each of them so many records, and print when the first one went."""
    port, path, count, clients = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    records = [json.loads(line) for line in pool.read(path, 1)]
    here, gone = asyncio.Barrier(clients), asyncio.Barrier(clients + 1)
    began: list[float] = []

    async def feed(connection: ServerConnection) -> None:
        await here.wait()
        began.append(time.monotonic())
        for number in range(count):
            await connection.send(json.dumps(records[number % len(records)]))
        await connection.close()
        await gone.wait()

    async with serve(feed, "127.0.0.1", port, compression=None):
        print("listening", flush=True)
        await gone.wait()
    print(min(began))


if __name__ == "__main__":
    asyncio.run(main())
