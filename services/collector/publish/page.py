"""The page and its live feed, on one port: the summary as HTML, as JSON, as events and as metrics."""

from __future__ import annotations

import asyncio
import errno
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from importlib import resources

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.collector.publish import metrics
from services.collector.publish.metrics import Effort
from services.collector.reconcile.durations import Durations
from services.contract import summary
from services.contract.summary import Summary
from services.runtime.errors import BadSettings, PortInUse

HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]", "collector"})
"""Names under which the page may be asked for: a foreign name that leads here is another site's trick."""

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
STATIC = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
}
PING_SECONDS = 10.0
STOP_SECONDS = 1.0


class Board:
    """The newest summary, and a bell for those who wait for the next."""

    def __init__(self) -> None:
        self.summary: Summary | None = None
        self.durations: Durations | None = None
        self.effort: Effort | None = None
        self.closed = False
        self.version = 0
        self._bell = asyncio.Event()

    def show(self, made: Summary | None, durations: Durations | None = None, effort: Effort | None = None) -> None:
        """Show a summary, what it was measured by and what it took; the same summary again is no news."""
        self.durations, self.effort = durations, effort
        if made is not None and made is not self.summary:
            self.summary = made
            self._ring()

    def close(self) -> None:
        """Send the listeners away."""
        self.closed = True
        self._ring()

    async def changed(self, seen: int, timeout: float) -> bool:
        """Wait until there is something newer than version ``seen``; return whether there is."""
        if self.version == seen:
            try:
                await asyncio.wait_for(self._bell.wait(), timeout)
            except TimeoutError:
                return False
        return True

    def _ring(self) -> None:
        self.version += 1
        self._bell.set()
        self._bell = asyncio.Event()


def make_app(board: Board, page_host: str = "", more: Sequence[Route] = ()) -> ASGIApp:
    """Return the page's application, which shows what is on the board, and answers at ``more`` addresses."""

    def static(name: str, kind: str) -> Route:
        text = resources.files("services.collector.publish").joinpath("static", name).read_bytes()
        path = next(path for path, (file, _) in STATIC.items() if file == name)

        async def answer(_request: Request) -> Response:
            return Response(text, media_type=kind)

        return Route(path, answer)

    async def summary_json(_request: Request) -> Response:
        if board.summary is None:
            return PlainTextResponse("no run yet\n", status_code=404)
        return Response(summary.encode(board.summary), media_type="application/json")

    async def events(_request: Request) -> Response:
        return StreamingResponse(_events(board), media_type="text/event-stream")

    async def healthz(_request: Request) -> Response:
        run = board.summary.run if board.summary else None
        return Response(json.dumps({"ok": True, "run": run}) + "\n", media_type="application/json")

    async def expose(_request: Request) -> Response:
        told = metrics.expose(board.summary, board.durations, board.effort, time.monotonic())
        return Response(told, headers={"content-type": metrics.CONTENT_TYPE})

    routes = [
        *(static(name, kind) for name, kind in STATIC.values()),
        Route("/summary.json", summary_json),
        Route("/events", events),
        Route("/healthz", healthz),
        Route("/metrics", expose),
        *more,
    ]
    allowed = HOSTS | ({page_host} if page_host not in ("", "0.0.0.0", "::") else set())
    return _Guard(Starlette(routes=routes), allowed)


async def _events(board: Board) -> AsyncIterator[bytes]:
    seen = -1
    while not board.closed:
        if seen == -1 or await board.changed(seen, PING_SECONDS):
            seen = board.version
            if board.summary is not None:
                yield b"data: %b\n\n" % msgspec.json.encode(board.summary)
            else:
                yield b": no run yet\n\n"
        else:
            yield b": still here\n\n"


class _Guard:
    """Answers only to known names, and puts the security headers on everything."""

    def __init__(self, app: ASGIApp, allowed: frozenset[str]) -> None:
        self._app, self._allowed = app, allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                extra = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
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


class _Server(uvicorn.Server):
    """The service's own lifecycle takes the signals."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take none."""
        yield


class Page:
    """The page's server, in the event loop of the service."""

    def __init__(self, host: str, port: int, board: Board, more: Sequence[Route] = ()) -> None:
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
                make_app(board, host, more),
                access_log=False,
                http="h11",
                lifespan="off",
                log_config=None,
                log_level="warning",
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
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as problem:
        if problem.errno == errno.EADDRINUSE:
            raise PortInUse("PAGE_PORT", port) from problem
        raise BadSettings([f"PAGE_HOST={host!r}, PAGE_PORT={port}: cannot listen there: {problem}"]) from problem
