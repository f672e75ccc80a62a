"""A peer: a WebSocket handler of aiohttp that sends to every connection in turn, in its quickest way to send bytes."""

from __future__ import annotations

import asyncio

from aiohttp import WSMsgType, web

from benchmarks.peers import pool


async def feed(connections: list[web.WebSocketResponse], messages: list[bytes], count: int) -> None:
    """Send so many messages, a burst a turn of the loop; the library itself waits for a connection that is full."""
    for number in range(count):
        message = messages[number % len(messages)]
        for connection in connections:
            await connection.send_frame(message, WSMsgType.TEXT)
        if number % pool.BURST == 0:
            await asyncio.sleep(0)


def main() -> None:
    """Serve until stopped; whoever says a number has so many messages sent."""
    port, messages = pool.arguments()
    connections: list[web.WebSocketResponse] = []

    async def converse(request: web.Request) -> web.WebSocketResponse:
        connection = web.WebSocketResponse(compress=False)
        await connection.prepare(request)
        connections.append(connection)
        async for said in connection:
            await feed(connections, messages, int(said.data))
        return connection

    application = web.Application()
    application.router.add_get("/", converse)
    web.run_app(application, host="127.0.0.1", port=port, access_log=None, print=None)


if __name__ == "__main__":
    main()
