"""Decides before the WebSocket handshake whether a peer may connect, and with which permissions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from services.runtime.access.access_control import AccessControl
from services.runtime.access.tls import HANDSHAKE_SECONDS
from services.runtime.access.tokens import presented
from services.server.connections.connection import FeedConnection
from services.server.connections.refusals import RefusalCounter

METRICS_PATH = "/metrics"


class Gatekeeper:
    """Decides what the peers of a server may do.

    Args:
        access: of the server.
        refusals: counts the refusals.
        is_operator: returns whether a peer may control the run, given the values of ``Authorization`` in its request
            and whether it is trusted for being on this machine.
    """

    def __init__(
        self,
        access: AccessControl,
        refusals: RefusalCounter,
        is_operator: Callable[[Collection[str], bool], bool],
    ) -> None:
        self.access = access
        self._refusals, self._is_operator = refusals, is_operator

    @property
    def tls_options(self) -> dict[str, Any]:
        """Options with which the library listens; empty without TLS."""
        tls = self.access.tls
        return {} if tls is None else {"ssl": tls.context, "ssl_handshake_timeout": HANDSHAKE_SECONDS}

    def check(self, connection: ServerConnection, request: Request, path: str) -> Response | None:
        """Return the answer that refuses a peer; None lets it in, and sets its grant.

        Args:
            connection: of the peer.
            request: its opening request.
            path: that it asks for, without a query.
        """
        if not isinstance(connection, FeedConnection):
            raise TypeError(f"expected a FeedConnection, not {type(connection)}")
        if (why := self.access.refusal(connection.peer, request.headers)) is not None:
            return self._refuse(connection, HTTPStatus.FORBIDDEN, why)
        values = connection.authorization_values()
        is_trusted = connection.is_local and self.access.rules.trusts_loopback
        grant = self.access.grant(presented(values), is_operator=self._is_operator(values, is_trusted))
        if not grant.roles:
            why = "unknown token" if values else "a token is needed: Authorization: Bearer"
            response = self._refuse(connection, HTTPStatus.UNAUTHORIZED, why)
            response.headers["WWW-Authenticate"] = 'Bearer realm="streamgauge"'
            return response
        if path == METRICS_PATH and not grant.permits("metrics"):
            return self._refuse(connection, HTTPStatus.FORBIDDEN, "this token does not permit to read the metrics")
        connection.grant = grant
        return None

    def _refuse(self, connection: FeedConnection, status: HTTPStatus, why: str) -> Response:
        self._refusals.count("unauthorized", "peer not let in", peer=connection.peer, why=why)
        # Closed after the answer was written, without waiting for the peer: it may not hold a place.
        asyncio.get_running_loop().call_soon(connection.transport.close)
        return connection.respond(status, f"{why}\n")
