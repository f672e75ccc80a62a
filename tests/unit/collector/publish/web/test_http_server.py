"""Tests of services/collector/publish/web/http_server.py."""

from __future__ import annotations

import asyncio
import socket

from starlette.responses import PlainTextResponse

from services.collector.publish.web.http_server import HttpServer
from services.collector.publish.web.peer_limits import RequestLimits


async def test_a_stop_releases_the_port_in_spite_of_a_peer() -> None:
    """A server answers on its socket, and stops while a peer holds a connection without a request."""
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    server = HttpServer(PlainTextResponse("here\n"), [listener], RequestLimits())
    serving = asyncio.create_task(server.serve())
    _, held = await asyncio.open_connection(*address)
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    await server.stop()
    await asyncio.wait([serving], timeout=10)
    for peer in (held, writer):
        peer.close()

    assert answer.endswith(b"here\n")
    socket.create_server(address).close()
