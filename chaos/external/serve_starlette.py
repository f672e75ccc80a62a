"""Starlette on uvicorn: ``python serve_starlette.py PORT CLIENTS COUNT RATE``."""

from __future__ import annotations

import asyncio
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from chaos.external.feed import records


def main(port: int, clients: int, count: int, rate: float) -> None:
    """Serve until killed."""
    greeted: list[WebSocket] = []
    enough = asyncio.Event()

    async def converse(socket: WebSocket) -> None:
        await socket.accept()
        await socket.receive_text()
        greeted.append(socket)
        if len(greeted) == clients:
            enough.set()
        if len(greeted) > 1:
            # The first connection's task is the one that sends.
            await _until_gone(socket)
            return
        await enough.wait()
        async for text in records(count, rate):
            for one in greeted:
                await one.send_text(text)
        await _until_gone(socket)

    app = Starlette(routes=[WebSocketRoute("/", converse)])
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


async def _until_gone(socket: WebSocket) -> None:
    try:
        while True:
            await socket.receive_text()
    except WebSocketDisconnect:
        return


if __name__ == "__main__":
    main(*map(int, sys.argv[1:5]))
