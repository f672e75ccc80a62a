"""A peer: ``websockets.broadcast`` as its documentation shows it, with nothing encoded twice and nothing compressed."""

from __future__ import annotations

import asyncio

from websockets.asyncio.server import Server, ServerConnection, broadcast, serve

from benchmarks.peers import pool


async def feed(server: Server, messages: list[bytes], count: int) -> None:
    """Send so many messages, a burst a turn of the loop, while no connection has too much waiting."""
    connections = server.connections
    for number in range(count):
        broadcast(connections, messages[number % len(messages)], text=True)
        if number % pool.BURST == 0:
            await pool.turn(lambda: max(one.transport.get_write_buffer_size() for one in connections))


async def main() -> None:
    """Serve until stopped; whoever says a number has so many messages sent."""
    port, messages = pool.arguments()

    async def converse(connection: ServerConnection) -> None:
        async for said in connection:
            await feed(server, messages, int(said))

    server = await serve(converse, "127.0.0.1", port, compression=None, ping_interval=None)
    await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(main())
