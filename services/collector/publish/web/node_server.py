"""A node's HTTP server: hands out its logs and ledgers, read-only, to collectors that send the token."""

from __future__ import annotations

import asyncio
import errno
import hmac
import logging
import re
import socket
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from services.collector.nodes import shared_files
from services.collector.nodes.node_client import PIECE
from services.collector.nodes.shared_files import NoSuchFile
from services.collector.publish.web.http_server import BACKLOG, HttpServer
from services.collector.publish.web.peer_limits import ChunkedResponse, RequestLimits
from services.contract.nodes import NodeInfo, NodeListing
from services.runtime.access.tls import ServerTls
from services.runtime.errors import BadSettings, PortInUse
from services.runtime.jsonlogs import RateLimitedLog
from services.runtime.setting_tables.parsers import ALL_INTERFACES

log = logging.getLogger(__name__)

NODE_LIMITS = RequestLimits(connections=32)
"""A connection holds at most one `PIECE`, so all of them together at most 32 MiB."""
_AT_ONCE = 4
"""Requests for which the disk is read at the same time; the others wait."""
_LOG_SECONDS = 10.0
_RANGE = re.compile(r"bytes=([0-9]{1,16})-([0-9]{1,16})?")
_HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


class TokenGuard:
    """ASGI middleware that answers requests without the token with 401, except for those of the probe.

    Args:
        app: the application behind it.
        token: the token.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._expected = app, f"Bearer {token}".encode()
        self._log = RateLimitedLog(_LOG_SECONDS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        # In constant time, so that the duration of a refusal does not reveal how much of a guess is right.
        is_allowed = len(given) == 1 and hmac.compare_digest(given[0], self._expected)
        if is_allowed or scope["path"] == "/healthz":
            await self._app(scope, receive, send)
            return
        if self._log.allow(time.monotonic()):
            peer = scope["client"][0] if scope.get("client") else ""
            log.warning("request without the token refused", extra={"peer": peer})
        headers = {"www-authenticate": "Bearer", **_HEADERS}
        await PlainTextResponse("a token is required\n", status_code=401, headers=headers)(scope, receive, send)


def make_app(volumes: Path, token: str, node: str) -> ASGIApp:
    """Return the application of a node.

    Args:
        volumes: the volumes folder.
        token: that every request has to send.
        node: name of the node.
    """
    reading = asyncio.Semaphore(_AT_ONCE)

    async def healthz(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def info(_request: Request) -> Response:
        async with reading:
            return _json(await asyncio.to_thread(shared_files.info, volumes, node))

    async def files(request: Request) -> Response:
        async with reading:
            return _json(await asyncio.to_thread(shared_files.listing, volumes, request.query_params.get("run", "")))

    async def file(request: Request) -> Response:
        span = _RANGE.fullmatch(request.headers.get("range", ""))
        if span is None:
            return _refusal(416, "expected a header like Range: bytes=0-1048575\n")
        first = int(span[1])
        last = int(span[2]) if span[2] else first + PIECE - 1
        query = request.query_params
        which = volumes, query.get("run", ""), query.get("client"), query.get("name", "")
        async with reading:
            found = await asyncio.to_thread(shared_files.read_part, *which, first, min(last - first + 1, PIECE))
        if not found.data:
            return _refusal(416, "there is nothing at this offset\n", {"content-range": f"bytes */{found.size}"})
        given = f"bytes {first}-{first + len(found.data) - 1}/{found.size}"
        headers = {"content-range": given, **_HEADERS}
        return ChunkedResponse(found.data, status_code=206, headers=headers, media_type="application/octet-stream")

    routes = [Route("/healthz", healthz), Route("/node", info), Route("/files", files), Route("/file", file)]
    handlers = {NoSuchFile: _no_such_file, OSError: _unreadable}
    return TokenGuard(Starlette(routes=routes, exception_handlers=handlers), token)


def _json(content: NodeInfo | NodeListing) -> Response:
    return ChunkedResponse(msgspec.json.encode(content), headers=_HEADERS, media_type="application/json")


def _refusal(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    return PlainTextResponse(text, status_code=status, headers={**_HEADERS, **(headers or {})})


async def _no_such_file(_request: Request, _problem: Exception) -> Response:
    return _refusal(404, "no such file\n")


_unreadable_log = RateLimitedLog(_LOG_SECONDS)


async def _unreadable(_request: Request, problem: Exception) -> Response:
    if _unreadable_log.allow(time.monotonic()):
        log.warning("file not handed out", extra={"why": str(problem)})
    return _refusal(503, "the file cannot be read\n")


class NodeServer:
    """The server of a node, in the event loop of the service.

    Args:
        hosts: addresses to listen on, or `ALL_INTERFACES` alone.
        port: the port; 0 takes any free one.
        app: the application.
        tls: the certificate; None serves without TLS.

    Raises:
        PortInUse: another process listens on this port.
        BadSettings: this machine does not have such an address.
    """

    def __init__(self, hosts: Sequence[str], port: int, app: ASGIApp, tls: ServerTls | None = None) -> None:
        sockets = [_listen(host, port) for host in hosts]
        self.port: int = sockets[0].getsockname()[1]
        self._server = HttpServer(app, sockets, NODE_LIMITS, tls)

    async def serve(self) -> None:
        """Serve until `stop` is called."""
        await self._server.serve()

    async def stop(self) -> None:
        """Close all connections and release the port, within a second."""
        await self._server.stop()


def _listen(host: str, port: int) -> socket.socket:
    try:
        if host == ALL_INTERFACES:
            if socket.has_dualstack_ipv6():
                everywhere = ("", port)
                return socket.create_server(everywhere, family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG)
            host = "0.0.0.0"
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUse("NODE_PORT", port) from error
        raise BadSettings([f"HOST={host!r}, NODE_PORT={port}: cannot listen there: {error}"]) from error
