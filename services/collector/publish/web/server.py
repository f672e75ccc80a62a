"""The page and its live feed, on one port: the run as HTML, as JSON, as events and as metrics."""

from __future__ import annotations

import asyncio
import errno
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.collector.publish.files import page_assets
from services.collector.publish.files.html_report import report
from services.collector.publish.web import block_messages, prometheus
from services.collector.publish.web.events import SnapshotBoard
from services.collector.publish.web.large_responses import MOST_AT_ONCE, ChunkedResponse, MadeOnce, QueuedResponse
from services.collector.publish.web.request_limits import MAX_HEAD, LimitedProtocol
from services.contract import summary
from services.runtime.errors import BadSettings, PortInUse

HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]", "collector"})
"""Names under which the page may be asked for: a foreign name that leads here is another site's trick."""

EMPTY_STYLE = "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
"""The digest of nothing: the charts' script makes an empty style element and adds its rules one by one."""
MAP_STYLE = "'sha256-V2sIX92Uh6ZaGSFTKMHghsB85b9toJtmazgG09AI2uk='"
"""The digest of the style that it brings along for maps; a browser names another one when a new version has one."""

HEADERS = {
    "content-security-policy": (
        # The charts' script positions what it draws by style attributes; elements and scripts come from here alone.
        "default-src 'none'; script-src 'self'; "
        f"style-src-elem 'self' {EMPTY_STYLE} {MAP_STYLE}; style-src-attr 'unsafe-inline'; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


class HostGuard:
    """An application that lets through what asks for one of its names. A header that an answer has is left alone."""

    def __init__(self, app: ASGIApp, allowed: frozenset[str]) -> None:
        self._app, self._allowed = app, allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name for name, _ in message["headers"]}
                extra = [
                    (name.encode(), value.encode()) for name, value in HEADERS.items() if name.encode() not in given
                ]
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        host = dict(scope["headers"]).get(b"host", b"").decode("latin-1").lower()
        if _without_port(host) in self._allowed:
            await self._app(scope, receive, guarded)
        else:
            refusal = PlainTextResponse("this page answers to localhost only\n", status_code=421)
            await refusal(scope, receive, guarded)


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host


STOP_SECONDS = 1.0
BACKLOG = 32
"""Connections that wait to be accepted: so many are accepted at most before there is a look at the bound on them."""
MOST_LISTENERS = 64
"""Connections that listen to the events; the others are for requests that are answered and over."""
REPORT_SECONDS = 1.0
"""While a run goes on its report is made again after this long at the earliest."""
FOR_EVER = "public, max-age=31536000, immutable"
"""Of what changes its address when it changes."""


def make_app(board: SnapshotBoard, volumes: Path, page_host: str = "", more: Sequence[Route] = ()) -> ASGIApp:
    """Return the page's application, which shows what is on the board, and blocks of the logs below ``volumes``.

    It answers at ``more`` addresses, too.
    """
    shown, reading = _Shown(board), asyncio.Semaphore(1)

    async def messages(request: Request) -> Response:
        async with reading:
            found = await asyncio.to_thread(block_messages.answer, volumes, request.query_params)
        return Response(found.text, status_code=found.status, media_type="application/json")

    async def healthz(_request: Request) -> Response:
        run = board.snapshot.summary.run if board.snapshot else None
        return Response(json.dumps({"ok": True, "run": run}) + "\n", media_type="application/json")

    async def expose(_request: Request) -> Response:
        made = board.snapshot.summary if board.snapshot else None
        told = prometheus.expose(made, board.durations, board.effort, time.monotonic())
        return Response(told, headers={"content-type": prometheus.CONTENT_TYPE})

    routes = [
        *_files(),
        Route("/summary.json", shown.summary),
        Route("/report.html", shown.report),
        Route("/events", shown.events),
        Route("/messages", messages),
        Route("/healthz", healthz),
        Route("/metrics", expose),
        *more,
    ]
    allowed = HOSTS | ({page_host} if page_host not in ("", "0.0.0.0", "::") else set())
    return HostGuard(Starlette(routes=routes), allowed)


class _Shown:
    """Answers with what is on the board: made once for all that ask, and sent to a bounded number of them."""

    def __init__(self, board: SnapshotBoard) -> None:
        self._board = board
        self._turns = asyncio.Semaphore(MOST_AT_ONCE)
        self._reports, self._summaries = MadeOnce(REPORT_SECONDS), MadeOnce()
        self._listeners = 0

    async def summary(self, _request: Request) -> Response:
        """Answer with the summary."""
        made, version = self._board.snapshot, self._board.version
        if made is None:
            return PlainTextResponse("no run yet\n", status_code=404)

        async def encoded() -> bytes:
            return summary.encode(made.summary)

        return ChunkedResponse(await self._summaries.get(None, version, encoded), media_type="application/json")

    async def report(self, _request: Request) -> Response:
        """Answer with the report."""
        made = self._board.snapshot
        if made is None:
            return PlainTextResponse("no run yet\n", status_code=404)

        async def current() -> bytes:
            newest, version = self._board.snapshot or made, self._board.version
            of = newest.summary.run, newest.summary.state
            return await self._reports.get(of, version, lambda: asyncio.to_thread(report, newest))

        return QueuedResponse(self._turns, current, "text/html")

    async def events(self, _request: Request) -> Response:
        """Answer with the events, as long as the peer listens."""
        if self._listeners >= MOST_LISTENERS:
            return PlainTextResponse("too many listeners\n", status_code=503, headers={"retry-after": "5"})
        return StreamingResponse(self._listened(), media_type="text/event-stream")

    async def _listened(self) -> AsyncIterator[bytes]:
        self._listeners += 1
        try:
            async for event in self._board.events():
                yield event
        finally:
            self._listeners -= 1


def _files() -> Iterator[Route]:
    yield _file("/", page_assets.page(), "text/html")
    yield _file(f"/{page_assets.STYLE}", page_assets.file(page_assets.STYLE), "text/css")
    for name in page_assets.SCRIPTS:
        yield _file(f"/{name}", page_assets.file(name), "text/javascript")

    packed = MadeOnce()

    async def charts(request: Request) -> Response:
        headers = {"cache-control": FOR_EVER, "vary": "accept-encoding"}
        if "gzip" not in request.headers.get("accept-encoding", ""):
            return ChunkedResponse(page_assets.charts().script, headers=headers, media_type="text/javascript")
        script = await packed.get(None, 0, lambda: asyncio.to_thread(page_assets.packed_charts))
        return ChunkedResponse(script, headers={**headers, "content-encoding": "gzip"}, media_type="text/javascript")

    yield Route(page_assets.charts().path, charts)


def _file(path: str, text: bytes, kind: str) -> Route:
    async def answer(_request: Request) -> Response:
        return ChunkedResponse(text, media_type=kind)

    return Route(path, answer)


class _Server(uvicorn.Server):
    """The service's own lifecycle takes the signals."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take none."""
        yield


class PageServer:
    """The page's server, in the event loop of the service."""

    def __init__(self, host: str, port: int, board: SnapshotBoard, volumes: Path, more: Sequence[Route] = ()) -> None:
        """Take the port.

        Raises:
            PortInUse: another process has it.
            BadSettings: there is no such address here.
        """
        self._board = board
        self._socket = _listen(host, port)
        bound = self._socket.getsockname()[1]
        name = "localhost" if host in ("0.0.0.0", "::", "127.0.0.1") else host
        self.address = f"http://{name}:{bound}/"
        self._server = _Server(
            uvicorn.Config(
                make_app(board, volumes, host, more),
                access_log=False,
                backlog=BACKLOG,
                http=LimitedProtocol,
                h11_max_incomplete_event_size=MAX_HEAD,
                lifespan="off",
                log_config=None,
                log_level="error",  # what a peer does wrong is no fault of ours,
                server_header=False,
                timeout_graceful_shutdown=1,
                ws="none",
            )
        )
        self._served: asyncio.Task[None] | None = None

    async def serve(self) -> None:
        """Serve until `stop`."""
        self._served = asyncio.current_task()
        await self._server.serve(sockets=[self._socket])

    async def stop(self) -> None:
        """Send everybody away and release the port, within a second."""
        self._board.close()
        self._server.should_exit = True
        if self._served is not None and not self._served.done():
            await asyncio.wait([self._served], timeout=STOP_SECONDS)
        self._socket.close()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as problem:
        if problem.errno == errno.EADDRINUSE:
            raise PortInUse("PAGE_PORT", port) from problem
        raise BadSettings([f"PAGE_HOST={host!r}, PAGE_PORT={port}: cannot listen there: {problem}"]) from problem
