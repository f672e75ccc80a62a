"""Connections from one machine to itself, more of them than a single address has ports."""

from __future__ import annotations

import asyncio
import socket

_SOURCES = 8
"""Addresses that connections come from: one alone has 28,000 ports, and a cut one keeps its port for a minute."""

_BIND_ADDRESS_NO_PORT = 24


async def reached(number: int, port: int) -> socket.socket:
    """Return a socket that is connected to this port of this machine, from an address that the number decides.

    Raises:
        OSError: nobody listens there.
    """
    made = socket.socket()
    try:
        made.setblocking(False)
        # The port is chosen on connecting: then the same one serves towards another peer.
        made.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
        made.bind((f"127.0.0.{2 + number % _SOURCES}", 0))
        await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", port))
    except BaseException:
        made.close()
        raise
    return made
