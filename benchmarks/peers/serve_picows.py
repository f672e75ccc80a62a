"""picows: writes to its transports directly."""

from __future__ import annotations

import asyncio

from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

from benchmarks.peers import pool


async def feed(transports: list[WSTransport], messages: list[bytes], count: int) -> None:
    """Send ``count`` messages, a burst per turn of the event loop, while no connection has too many bytes buffered."""
    write_transports = [transport.underlying_transport for transport in transports]
    for number in range(count):
        message = messages[number % len(messages)]
        for transport in transports:
            transport.send(WSMsgType.TEXT, message)
        if number % pool.BURST == 0:
            await pool.turn(lambda: max(transport_.get_write_buffer_size() for transport_ in write_transports))


async def main() -> None:
    """Serve until stopped; a client that sends a number starts that many messages."""
    port, messages = pool.arguments()
    transports: list[WSTransport] = []
    tasks: set[asyncio.Task[None]] = set()

    class Peer(WSListener):  # type: ignore[misc]
        def on_ws_connected(self, transport: WSTransport) -> None:
            transports.append(transport)

        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            if frame.msg_type == WSMsgType.TEXT:
                count = int(frame.get_payload_as_ascii_text())
                tasks.add(asyncio.get_running_loop().create_task(feed(transports, messages, count)))

    def listener(_: WSUpgradeRequest) -> Peer:
        return Peer()

    server = await ws_create_server(listener, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
