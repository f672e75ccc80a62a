"""An HTTP server in the event loop of a service: limits what a peer may cost, and stops within a second."""

from __future__ import annotations

import asyncio
import functools
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import uvicorn
from starlette.types import ASGIApp

from services.collector.publish.web.peer_limits import MAX_HEAD, LimitedProtocol, RequestLimits
from services.runtime.access.tls import HANDSHAKE_SECONDS, ServerTls

STOP_SECONDS = 1.0
"""The time that open connections have to end when the server stops."""
BACKLOG = 32
"""Connections that wait to be accepted. asyncio accepts this many in a row before anything else runs, and the bound on
connections is only checked then."""


class _Server(uvicorn.Server):
    """A uvicorn server that leaves signals to the lifecycle of the service, and limits the time of TLS handshakes."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept connections; the library itself would give a peer a minute for the TLS handshake."""
        if self.config.ssl is None:
            await super().startup(sockets)
            return
        make_protocol = functools.partial(
            cast("Callable[..., asyncio.Protocol]", self.config.http_protocol_class),
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        loop = asyncio.get_running_loop()
        self.servers = [
            await loop.create_server(
                make_protocol,
                sock=listener,
                ssl=self.config.ssl,
                backlog=self.config.backlog,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
            )
            for listener in sockets or ()
        ]
        self.started = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture no signals."""
        yield


class HttpServer:
    """Serves an application on listening sockets.

    Args:
        app: the application.
        sockets: bound and listening; they are closed when the server stops.
        limits: what one peer may cost.
        tls: the certificate; None serves without TLS.
    """

    def __init__(
        self, app: ASGIApp, sockets: Sequence[socket.socket], limits: RequestLimits, tls: ServerTls | None = None
    ) -> None:
        self._sockets = list(sockets)
        self._server = _Server(
            uvicorn.Config(
                app,
                access_log=False,  # health checks and scrapes come every few seconds
                backlog=BACKLOG,
                http=functools.partial(LimitedProtocol, limits=limits),  # type: ignore[arg-type]
                h11_max_incomplete_event_size=MAX_HEAD,
                lifespan="off",  # the application has nothing to start or stop
                log_config=None,  # the services log JSON lines
                log_level="error",  # a peer's malformed requests are not worth a warning here
                server_header=False,
                proxy_headers=False,  # the peer is the one that connects; a header proves nothing
                ssl_context_factory=None if tls is None else lambda *_: tls.context,
                timeout_graceful_shutdown=1,
                ws="none",  # the page uses server-sent events
            )
        )
        self._serving: asyncio.Task[None] | None = None

    async def serve(self) -> None:
        """Serve until `stop` is called."""
        self._serving = asyncio.current_task()
        await self._server.serve(sockets=self._sockets)

    async def stop(self) -> None:
        """Close all connections and release the ports, within a second."""
        self._server.should_exit = True
        if self._serving is not None and not self._serving.done():
            await asyncio.wait([self._serving], timeout=STOP_SECONDS)
        for listener in self._sockets:
            listener.close()
