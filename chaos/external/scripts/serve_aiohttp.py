"""``aiohttp``: ``python serve_aiohttp.py PORT CLIENTS COUNT RATE``."""

from __future__ import annotations

import asyncio
import sys

from aiohttp import web

from chaos.external.scripts.feed import records


def main(port: int, clients: int, count: int, rate: float) -> None:
    """Serve until killed."""
    subscribers: list[web.WebSocketResponse] = []
    tasks: list[asyncio.Task[None]] = []

    async def send_feed() -> None:
        async for text in records(count, rate):
            for subscriber in subscribers:
                await subscriber.send_str(text)

    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive_str()
        subscribers.append(socket)
        if len(subscribers) == clients:
            tasks.append(asyncio.create_task(send_feed()))
        async for _ in socket:
            pass
        return socket

    app = web.Application()
    app.add_routes([web.get("/", handle)])
    web.run_app(app, host="127.0.0.1", port=port, print=None)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:5]))
