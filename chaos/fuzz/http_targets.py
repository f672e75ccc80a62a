"""Requests of the page and of a node's ``serve``: bytes on a connection in memory, handled by the real protocol."""

from __future__ import annotations

import asyncio
import functools
import tempfile
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from chaos.fuzz.target import Target
from services.collector.publish.web import control, node_server, server
from services.collector.publish.web.events import SnapshotBoard
from services.collector.publish.web.peer_limits import MAX_HEAD, LimitedProtocol, RequestLimits
from services.contract import wire
from services.runtime.control.commands import ServerUnreachable

TOKEN = "a-token-of-the-fuzzer"
RUN = "20261122T073000Z"
_ANSWER_SECONDS = 5.0


class InternalError(Exception):
    """A request was answered with 500: its handler has raised an error."""


class _MemoryTransport(asyncio.Transport):
    """The server's end of a connection whose peer reads everything."""

    def __init__(self) -> None:
        super().__init__()
        self.sent, self._is_closing = bytearray(), False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return the addresses of a connection on this machine."""
        return ("127.0.0.1", 50_000) if name in ("peername", "sockname") else default

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep the bytes."""
        self.sent += data

    def is_closing(self) -> bool:
        """Return whether the server has closed it."""
        return self._is_closing

    def close(self) -> None:
        """Close it."""
        self._is_closing = True

    def abort(self) -> None:
        """Close it."""
        self._is_closing = True

    def pause_reading(self) -> None:
        """Do nothing: everything was given at once."""

    def resume_reading(self) -> None:
        """Do nothing."""


class _Connections:
    """Makes connections to one application, in an event loop that stays."""

    def __init__(self, app: ASGIApp) -> None:
        self._loop = asyncio.new_event_loop()
        self._config = uvicorn.Config(
            app, access_log=False, lifespan="off", log_config=None, ws="none", http=LimitedProtocol,
            h11_max_incomplete_event_size=MAX_HEAD, log_level="critical", proxy_headers=False, server_header=False,
        )  # fmt: skip
        self._config.load()

    def send(self, data: bytes) -> None:
        """Send what a peer sends, let the server answer, and disconnect.

        Raises:
            InternalError: an answer is 500.
        """
        if not data:
            # asyncio calls no protocol without any bytes.
            return
        sent = self._loop.run_until_complete(self._send(data))
        if b"HTTP/1.1 500 " in sent:
            raise InternalError(bytes(sent[:200]))

    async def _send(self, data: bytes) -> bytearray:
        state, transport = ServerState(), _MemoryTransport()
        protocol = LimitedProtocol(self._config, state, {}, self._loop, limits=RequestLimits())
        protocol.connection_made(transport)
        protocol.data_received(data)
        for _ in range(20):
            await asyncio.sleep(0)
        protocol.connection_lost(None)
        if state.tasks:
            await asyncio.wait(state.tasks, timeout=_ANSWER_SECONDS)
        return transport.sent


@functools.cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    for name in (f"ledger/{RUN}/aaaaaaaaaaaa.jsonl", f"logs/{RUN}/client-1/0001-0001.jsonl"):
        (path := folder / name).parent.mkdir(parents=True)
        path.write_bytes(b"a line\n" * 100)
    return folder


async def _no_server(_request: wire.Control) -> wire.Controlled:
    raise ServerUnreachable("there is no server")


@functools.cache
def _page() -> _Connections:
    return _Connections(server.make_app(SnapshotBoard(), _folder(), more=control.routes(_no_server)))


@functools.cache
def _node() -> _Connections:
    return _Connections(node_server.make_app(_folder(), TOKEN, "node"))


TARGETS: tuple[Target, ...] = (
    Target("page-request", lambda data: _page().send(data)),
    Target("node-request", lambda data: _node().send(data)),
)
