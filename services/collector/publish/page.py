"""The page and its live feed, on one port: the run as HTML, as JSON, as events and as metrics."""

from __future__ import annotations

import asyncio
import errno
import json
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from services.collector.publish import assets, block, metrics
from services.collector.publish.board import Board
from services.collector.publish.guard import HOSTS, Guard
from services.collector.publish.html import report
from services.contract import summary
from services.runtime.errors import BadSettings, PortInUse

STOP_SECONDS = 1.0
FOR_EVER = "public, max-age=31536000, immutable"
"""Of what changes its address when it changes."""


def make_app(board: Board, volumes: Path, page_host: str = "", more: Sequence[Route] = ()) -> ASGIApp:
    """Return the page's application, which shows what is on the board, and blocks of the logs below ``volumes``.

    It answers at ``more`` addresses, too.
    """

    async def summary_json(_request: Request) -> Response:
        if board.snapshot is None:
            return PlainTextResponse("no run yet\n", status_code=404)
        return Response(summary.encode(board.snapshot.summary), media_type="application/json")

    async def report_html(_request: Request) -> Response:
        if board.snapshot is None:
            return PlainTextResponse("no run yet\n", status_code=404)
        return Response(await asyncio.to_thread(report, board.snapshot), media_type="text/html")

    async def events(_request: Request) -> Response:
        return StreamingResponse(board.events(), media_type="text/event-stream")

    async def messages(request: Request) -> Response:
        found = await asyncio.to_thread(block.answer, volumes, request.query_params)
        return Response(found.text, status_code=found.status, media_type="application/json")

    async def healthz(_request: Request) -> Response:
        run = board.snapshot.summary.run if board.snapshot else None
        return Response(json.dumps({"ok": True, "run": run}) + "\n", media_type="application/json")

    async def expose(_request: Request) -> Response:
        made = board.snapshot.summary if board.snapshot else None
        told = metrics.expose(made, board.durations, board.effort, time.monotonic())
        return Response(told, headers={"content-type": metrics.CONTENT_TYPE})

    routes = [
        *_files(),
        Route("/summary.json", summary_json),
        Route("/report.html", report_html),
        Route("/events", events),
        Route("/messages", messages),
        Route("/healthz", healthz),
        Route("/metrics", expose),
        *more,
    ]
    allowed = HOSTS | ({page_host} if page_host not in ("", "0.0.0.0", "::") else set())
    return Guard(Starlette(routes=routes), allowed)


def _files() -> Iterator[Route]:
    yield _file("/", assets.page(), "text/html")
    yield _file(f"/{assets.STYLE}", assets.file(assets.STYLE), "text/css")
    for name in assets.SCRIPTS:
        yield _file(f"/{name}", assets.file(name), "text/javascript")

    async def charts(request: Request) -> Response:
        headers = {"cache-control": FOR_EVER, "vary": "accept-encoding"}
        if "gzip" not in request.headers.get("accept-encoding", ""):
            return Response(assets.charts().script, headers=headers, media_type="text/javascript")
        packed = await asyncio.to_thread(assets.packed_charts)
        return Response(packed, headers={**headers, "content-encoding": "gzip"}, media_type="text/javascript")

    yield Route(assets.charts().path, charts)


def _file(path: str, text: bytes, kind: str) -> Route:
    async def answer(_request: Request) -> Response:
        return Response(text, media_type=kind)

    return Route(path, answer)


class _Server(uvicorn.Server):
    """The service's own lifecycle takes the signals."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take none."""
        yield


class Page:
    """The page's server, in the event loop of the service."""

    def __init__(self, host: str, port: int, board: Board, volumes: Path, more: Sequence[Route] = ()) -> None:
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
