"""The server's answers to opening requests: ``/healthz``, ``/metrics``, and refusals before the WebSocket handshake."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from services.contract import bounds
from services.server.connections.connection import FeedConnection
from services.server.connections.gatekeeper import METRICS_PATH, Gatekeeper
from services.server.connections.request_check import host_problem
from services.server.metrics import CONTENT_TYPE, ServerMetrics
from services.server.streaming.control import may_control
from services.server.streaming.stream import Stream


class OpeningRequests:
    """Answers opening requests, or lets the library continue with the handshake.

    Args:
        stream: of the current run.
        metrics: of the process.
        gatekeeper: decides what a peer may do.
        token: returns the control token.

    Attributes:
        is_draining: the server stops: new clients are refused.
    """

    def __init__(
        self, stream: Stream, metrics: ServerMetrics, gatekeeper: Gatekeeper, token: Callable[[], str]
    ) -> None:
        self._stream, self._metrics, self._gatekeeper, self._token = stream, metrics, gatekeeper, token
        self._host_name = socket.gethostname()
        self.is_draining = False

    def answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer a plain HTTP request, or refuse one; None lets the library continue."""
        try:
            return self._response(connection, request)
        except Exception as problem:  # noqa: BLE001
            self._stream.refusals.count("fault", "request failed", problem)
            return connection.respond(500, "internal error\n")

    def count(self, connection: ServerConnection, _request: Request, response: Response) -> None:
        """Count a request that is refused for what it asks, such as one with an ``Origin``."""
        if 400 <= response.status_code < 500 and isinstance(connection, FeedConnection):
            status = response.status_code
            self._stream.refusals.count("request", "request refused", peer=connection.peer, status=status)

    def _response(self, connection: ServerConnection, request: Request) -> Response | None:
        # Not parsed as a URL: a malformed path is neither of the two, and must not raise.
        path = request.path.partition("?")[0]
        is_plain = path in ("/healthz", METRICS_PATH)
        problem = host_problem(request.headers.get_all("Host"), is_plain=is_plain, own_name=self._host_name)
        if problem is not None:
            return connection.respond(problem.status, problem.text)
        if path == "/healthz":
            return connection.respond(200, f"{self._stream.run.state}\n")
        if (refusal := self._gatekeeper.check(connection, request, path)) is not None:
            return refusal
        if path == METRICS_PATH:
            response = connection.respond(200, self._metrics.text())
            del response.headers["Content-Type"]
            response.headers["Content-Type"] = CONTENT_TYPE
            return response
        why = "draining" if self.is_draining else self._why_full(connection)
        if not why:
            return None
        response = connection.respond(503, f"{why}\n")
        response.headers["Retry-After"] = str(bounds.RETRY_AFTER_SECONDS.value)
        return response

    def _why_full(self, connection: ServerConnection) -> str:
        """Return why there is no place for a peer; empty if there is one, as for a holder of the control token."""
        if not isinstance(connection, FeedConnection):
            return ""
        is_full, is_crowded = connection.gate.is_nearly_reached, connection.gate.is_crowded(connection.peer)
        if not (is_full or is_crowded):
            return ""
        if may_control(connection.authorization_values(), self._token(), local=False):
            return ""
        connection.gate.refuse(connection)
        # Close after the answer was written, without waiting for the peer: it holds one of the last places.
        asyncio.get_running_loop().call_soon(connection.transport.close)
        if is_full:
            self._stream.refusals.count("full", "connection refused: no place", peer=connection.peer)
            return "too many connections"
        event = "connection refused: too many of this address without a subscription"
        self._stream.refusals.count("crowded", event, peer=connection.peer)
        return "too many connections of this address without a subscription"
