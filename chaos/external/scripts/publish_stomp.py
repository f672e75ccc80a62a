"""Publishes to RabbitMQ by STOMP over WebSocket, once a file exists.

``python publish_stomp.py URL FILE CLIENTS COUNT RATE``
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from chaos.external.scripts.feed import records

_CONNECT = "CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\nheart-beat:0,0\n\n\x00"


async def main(url: str, start: Path, count: int, rate: float) -> None:
    """Publish all records, and stay connected until killed."""
    async with connect(url, subprotocols=[Subprotocol("v12.stomp")], proxy=None) as broker:
        await broker.send(_CONNECT)
        await broker.recv()
        while not await asyncio.to_thread(start.exists):  # noqa: ASYNC110 - another process writes the file
            await asyncio.sleep(0.02)
        # Clients subscribe as soon as they are connected, and the server does not answer the request.
        await asyncio.sleep(0.5)
        async for text in records(count, rate):
            await broker.send(f"SEND\ndestination:/topic/ticks\n\n{text}\x00")
        await broker.wait_closed()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[4]), float(sys.argv[5])))
