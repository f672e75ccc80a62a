"""Opens more connections from a machine to itself than a single source address has ports."""

from __future__ import annotations

import asyncio
import socket

_SOURCES = 8
"""Source addresses: each has 28,000 ports, and a cut connection keeps its port for a minute."""

_BIND_ADDRESS_NO_PORT = 24


async def connect_from(number: int, port: int) -> socket.socket:
    """Return a socket that is connected to a local port, from a source address that depends on ``number``.

    Raises:
        OSError: no process listens on the port.
    """
    connected_socket = socket.socket()
    try:
        connected_socket.setblocking(False)
        # Choose the source port only on connecting, so that the same port can be used towards several targets.
        connected_socket.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
        connected_socket.bind((f"127.0.0.{2 + number % _SOURCES}", 0))
        await asyncio.get_running_loop().sock_connect(connected_socket, ("127.0.0.1", port))
    except BaseException:
        connected_socket.close()
        raise
    return connected_socket
