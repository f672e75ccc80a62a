"""aiohttp: a WebSocket handler that sends to every connection in turn, with the fastest call for bytes."""

from __future__ import annotations

import asyncio

from aiohttp import WSMsgType, web

from benchmarks.peers import pool


async def feed(connections: list[web.WebSocketResponse], messages: list[bytes], count: int) -> None:
    """Send ``count`` messages, a burst per turn of the event loop; the library waits for full connections."""
    for number in range(count):
        message = messages[number % len(messages)]
        for connection in connections:
            await connection.send_frame(message, WSMsgType.TEXT)
        if number % pool.BURST == 0:
            await asyncio.sleep(0)


def main() -> None:
    """Serve until stopped; a client that sends a number starts that many messages."""
    port, messages = pool.arguments()
    connections: list[web.WebSocketResponse] = []

    async def handle(request: web.Request) -> web.WebSocketResponse:
        connection = web.WebSocketResponse(compress=False)
        await connection.prepare(request)
        connections.append(connection)
        async for message in connection:
            await feed(connections, messages, int(message.data))
        return connection

    application = web.Application()
    application.router.add_get("/", handle)
    web.run_app(application, host="127.0.0.1", port=port, access_log=None, print=None)


if __name__ == "__main__":
    main()
