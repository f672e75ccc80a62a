"""``websockets.broadcast`` as documented, with messages encoded once and without compression."""

from __future__ import annotations

import asyncio

from websockets.asyncio.server import Server, ServerConnection, broadcast, serve

from benchmarks.peers import pool


async def feed(server: Server, messages: list[bytes], count: int) -> None:
    """Send ``count`` messages, a burst per turn of the event loop, while no connection has too many bytes buffered."""
    connections = server.connections
    for number in range(count):
        broadcast(connections, messages[number % len(messages)], text=True)
        if number % pool.BURST == 0:
            await pool.turn(lambda: max(connection_.transport.get_write_buffer_size() for connection_ in connections))


async def main() -> None:
    """Serve until stopped; a client that sends a number starts that many messages."""
    port, messages = pool.arguments()

    async def handle(connection: ServerConnection) -> None:
        async for message in connection:
            await feed(server, messages, int(message))

    server = await serve(handle, "127.0.0.1", port, compression=None, ping_interval=None)
    await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(main())
