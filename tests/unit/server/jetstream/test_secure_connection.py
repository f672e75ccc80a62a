"""Tests of the connection to NATS that insists on TLS."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("nats")

INFO = b'INFO {"server_id":"x","version":"2.11.0","max_payload":1048576,"auth_required":true}\r\n'


async def _ignore(_problem: Exception) -> None:
    """Do nothing with an error that the test expects."""


async def test_a_password_is_not_sent_without_tls() -> None:
    """To a server that claims to have no TLS, nothing is sent if the address says ``tls://``."""
    # The library is not installed everywhere.
    from services.server.jetstream.secure_connection import SecureConnection  # noqa: PLC0415

    received = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(INFO)
        received.extend(await reader.read(1000))
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    address = f"tls://user:secret@127.0.0.1:{server.sockets[0].getsockname()[1]}"
    connection = SecureConnection()
    with pytest.raises(Exception, match="the server has no TLS"):
        await connection.connect([address], allow_reconnect=False, connect_timeout=2, error_cb=_ignore)
    await connection.close()
    server.close()
    await server.wait_closed()

    assert b"" == received
