"""A connection of `nats-py` that speaks TLS with a server whose address says so, or sends it nothing."""

from __future__ import annotations

from typing import Any

from nats.aio.client import Client
from nats.errors import Error as NatsError


class SecureConnection(Client):
    """A connection to NATS.

    The library decides by what the server says, not by the address: to a server that claims to have no TLS it would
    send user and password in plain text, although the address begins with ``tls://``.
    """

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        # The server's first line, of every connection; user and password are sent after it.
        server = self._current_server
        if initial_connection and server is not None and server.uri.scheme == "tls" and not info.get("tls_required"):
            raise NatsError("the address says tls://, and the server has no TLS")
        await super()._process_info(info, initial_connection)
