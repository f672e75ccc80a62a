"""The page's HTTP server: the newest run as HTML, JSON, server-sent events and metrics, on one port."""

from __future__ import annotations

import asyncio
import errno
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from services.collector.publish.files import html_page
from services.collector.publish.web import block_messages, prometheus
from services.collector.publish.web.access_guard import AccessGuard
from services.collector.publish.web.events import SnapshotBoard
from services.collector.publish.web.host_guard import HOSTS, HostGuard
from services.collector.publish.web.http_server import BACKLOG, HttpServer
from services.collector.publish.web.peer_limits import (
    MAX_AT_ONCE,
    CachedBody,
    ChunkedResponse,
    QueuedResponse,
    RequestLimits,
)
from services.contract import summary
from services.runtime.access.access_control import AccessControl
from services.runtime.access.listen_rules import ListenRules
from services.runtime.errors import BadSettings, PortInUse

MAX_LISTENERS = 64
"""Event streams; the remaining connections are for requests that end with their response."""
REPORT_SECONDS = 1.0
"""While a run is open its report is made at most this often."""
IMMUTABLE = "public, max-age=31536000, immutable"
"""Cache control of content whose address contains its version."""


def make_app(
    board: SnapshotBoard,
    volumes: Path,
    page_host: str = "",
    more: Sequence[Route] = (),
    access: AccessControl | None = None,
    names: frozenset[str] = frozenset(),
) -> ASGIApp:
    """Return the page's application.

    Args:
        board: holds the newest snapshot.
        volumes: the volumes folder, from whose logs blocks are read.
        page_host: the address that the server listens on, which is an allowed host name as well.
        more: additional routes.
        access: decides what peers may do; None lets all of them do everything.
        names: further host names under which the page answers.
    """
    responses, reading = _SnapshotResponses(board), asyncio.Semaphore(1)

    async def messages(request: Request) -> Response:
        # One at a time: a log may have gigabytes.
        async with reading:
            reply = await asyncio.to_thread(block_messages.block_reply, volumes, request.query_params)
        return Response(reply.body, status_code=reply.status, media_type="application/json")

    async def healthz(_request: Request) -> Response:
        run = board.snapshot.summary.run if board.snapshot else None
        return Response(json.dumps({"ok": True, "run": run}) + "\n", media_type="application/json")

    async def metrics(_request: Request) -> Response:
        newest = board.snapshot.summary if board.snapshot else None
        text = prometheus.expose(newest, board.durations, board.effort, time.monotonic())
        return Response(text, headers={"content-type": prometheus.CONTENT_TYPE})

    routes = [
        *_asset_routes(),
        Route("/summary.json", responses.summary),
        Route("/report.html", responses.report),
        Route("/events", responses.events),
        Route("/messages", messages),
        Route("/healthz", healthz),
        Route("/metrics", metrics),
        *more,
    ]
    own_name = f"[{page_host}]" if ":" in page_host else page_host
    allowed = HOSTS | names | ({own_name} if page_host not in ("", "0.0.0.0", "::") else set())
    return HostGuard(AccessGuard(Starlette(routes=routes), access or AccessControl(ListenRules())), allowed)


class _SnapshotResponses:
    """Responses made from the newest snapshot: once for all requests, and sent to a bounded number of peers."""

    def __init__(self, board: SnapshotBoard) -> None:
        self._board = board
        self._slots = asyncio.Semaphore(MAX_AT_ONCE)
        self._report, self._summary = CachedBody(REPORT_SECONDS), CachedBody()
        self._listeners = 0

    async def summary(self, _request: Request) -> Response:
        """Return the summary."""
        snapshot, version = self._board.snapshot, self._board.version
        if snapshot is None:
            return PlainTextResponse("no run yet\n", status_code=404)

        async def encode() -> bytes:
            return summary.encode(snapshot.summary)

        return ChunkedResponse(await self._summary.get(None, version, encode), media_type="application/json")

    async def report(self, _request: Request) -> Response:
        """Return the report."""
        snapshot = self._board.snapshot
        if snapshot is None:
            return PlainTextResponse("no run yet\n", status_code=404)

        async def make() -> bytes:
            # The newest snapshot when it is this request's turn, which may be seconds later.
            newest, version = self._board.snapshot or snapshot, self._board.version
            kind = newest.summary.run, newest.summary.state
            # In a thread: a report of thousands of clients takes seconds, in which events must not stop.
            return await self._report.get(kind, version, lambda: asyncio.to_thread(html_page.report, newest))

        return QueuedResponse(self._slots, make, "text/html")

    async def events(self, _request: Request) -> Response:
        """Return the event stream, which lasts as long as the peer listens."""
        if self._listeners >= MAX_LISTENERS:
            return PlainTextResponse("too many listeners\n", status_code=503, headers={"retry-after": "5"})
        return StreamingResponse(self._counted_events(), media_type="text/event-stream")

    async def _counted_events(self) -> AsyncIterator[bytes]:
        self._listeners += 1
        try:
            async for event in self._board.events():
                yield event
        finally:
            self._listeners -= 1


def _asset_routes() -> Iterator[Route]:
    yield _asset_route("/", html_page.live_page(), "text/html")
    yield _asset_route(f"/{html_page.STYLE}", html_page.read_asset(html_page.STYLE), "text/css")
    for name in html_page.SCRIPTS:
        yield _asset_route(f"/{name}", html_page.read_asset(name), "text/javascript")

    compressed = CachedBody()

    async def chart_script(request: Request) -> Response:
        headers = {"cache-control": IMMUTABLE, "vary": "accept-encoding"}
        if "gzip" not in request.headers.get("accept-encoding", ""):
            return ChunkedResponse(html_page.chart_script().script, headers=headers, media_type="text/javascript")
        script = await compressed.get(None, 0, lambda: asyncio.to_thread(html_page.compressed_chart_script))
        return ChunkedResponse(script, headers={**headers, "content-encoding": "gzip"}, media_type="text/javascript")

    yield Route(html_page.chart_script().path, chart_script)


def _asset_route(path: str, content: bytes, media_type: str) -> Route:
    async def asset(_request: Request) -> Response:
        return ChunkedResponse(content, media_type=media_type)

    return Route(path, asset)


class PageServer:
    """The page's server, in the event loop of the service.

    Args:
        host: the address to listen on.
        port: the port; 0 takes any free one.
        board: holds the newest snapshot.
        volumes: the volumes folder.
        more: additional routes.
        limits: what one peer may cost.
        access: decides what peers may do, and has the page's certificate; None lets all of them do everything.
        names: further host names under which the page answers.

    Raises:
        PortInUse: another process listens on this port.
        BadSettings: this machine does not have such an address.
    """

    def __init__(
        self,
        host: str,
        port: int,
        board: SnapshotBoard,
        volumes: Path,
        more: Sequence[Route] = (),
        limits: RequestLimits = RequestLimits(),  # noqa: B008 - frozen
        access: AccessControl | None = None,
        names: frozenset[str] = frozenset(),
    ) -> None:
        self._board = board
        self._socket = _listen(host, port)
        bound = self._socket.getsockname()[1]
        # Addresses that mean all interfaces cannot be opened in a browser.
        name = "localhost" if host in ("0.0.0.0", "::", "127.0.0.1") else host
        tls = access.tls if access is not None else None
        self.address = f"{'http' if tls is None else 'https'}://{name}:{bound}/"
        self._server = HttpServer(make_app(board, volumes, host, more, access, names), [self._socket], limits, tls)

    async def serve(self) -> None:
        """Serve until `stop` is called."""
        await self._server.serve()

    def close(self) -> None:
        """Release the port without having served."""
        self._socket.close()

    async def stop(self) -> None:
        """Close all connections and release the port, within a second."""
        self._board.close()
        await self._server.stop()


def _listen(host: str, port: int) -> socket.socket:
    # Bound here and not by uvicorn, which would log an error and exit instead of naming the setting.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUse("PAGE_PORT", port) from error
        raise BadSettings([f"PAGE_HOST={host!r}, PAGE_PORT={port}: cannot listen there: {error}"]) from error
