"""``aiohttp``: ``python serve_aiohttp.py PORT CLIENTS COUNT RATE``."""

from __future__ import annotations

import asyncio
import sys

from aiohttp import web

from chaos.external.feed import records


def main(port: int, clients: int, count: int, rate: float) -> None:
    """Serve until killed."""
    greeted: list[web.WebSocketResponse] = []
    playing: list[asyncio.Task[None]] = []

    async def play() -> None:
        async for text in records(count, rate):
            for one in greeted:
                await one.send_str(text)

    async def converse(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive_str()
        greeted.append(socket)
        if len(greeted) == clients:
            playing.append(asyncio.create_task(play()))
        async for _ in socket:
            pass
        return socket

    app = web.Application()
    app.add_routes([web.get("/", converse)])
    web.run_app(app, host="127.0.0.1", port=port, print=None)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:5]))
