"""A peer: picows, whose transports are written to directly."""

from __future__ import annotations

import asyncio

from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

from benchmarks.peers import pool


async def feed(transports: list[WSTransport], messages: list[bytes], count: int) -> None:
    """Send so many messages, a burst a turn of the loop, while no connection has too much waiting."""
    under = [transport.underlying_transport for transport in transports]
    for number in range(count):
        message = messages[number % len(messages)]
        for transport in transports:
            transport.send(WSMsgType.TEXT, message)
        if number % pool.BURST == 0:
            await pool.turn(lambda: max(one.get_write_buffer_size() for one in under))


async def main() -> None:
    """Serve until stopped; whoever says a number has so many messages sent."""
    port, messages = pool.arguments()
    transports: list[WSTransport] = []
    feeding: set[asyncio.Task[None]] = set()

    class Peer(WSListener):  # type: ignore[misc]
        def on_ws_connected(self, transport: WSTransport) -> None:
            transports.append(transport)

        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            if frame.msg_type == WSMsgType.TEXT:
                count = int(frame.get_payload_as_ascii_text())
                feeding.add(asyncio.get_running_loop().create_task(feed(transports, messages, count)))

    def listener(_: WSUpgradeRequest) -> Peer:
        return Peer()

    server = await ws_create_server(listener, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
