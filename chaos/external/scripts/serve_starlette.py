"""Starlette on uvicorn: ``python serve_starlette.py PORT CLIENTS COUNT RATE``."""

from __future__ import annotations

import asyncio
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from chaos.external.scripts.feed import records


def main(port: int, clients: int, count: int, rate: float) -> None:
    """Serve until killed."""
    subscribers: list[WebSocket] = []
    all_subscribed = asyncio.Event()

    async def handle(socket: WebSocket) -> None:
        await socket.accept()
        await socket.receive_text()
        subscribers.append(socket)
        if len(subscribers) == clients:
            all_subscribed.set()
        if len(subscribers) > 1:
            # Only the first connection's task sends.
            await _until_gone(socket)
            return
        await all_subscribed.wait()
        async for text in records(count, rate):
            for subscriber in subscribers:
                await subscriber.send_text(text)
        await _until_gone(socket)

    app = Starlette(routes=[WebSocketRoute("/", handle)])
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


async def _until_gone(socket: WebSocket) -> None:
    try:
        while True:
            await socket.receive_text()
    except WebSocketDisconnect:
        return


if __name__ == "__main__":
    main(*map(int, sys.argv[1:5]))
