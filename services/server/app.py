"""The server: one port for the feed, ``/healthz`` and ``/metrics``; one ledger; run after run."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
import uuid
from collections.abc import Sequence

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from services.contract import wire
from services.runtime import eventloop, heartbeat
from services.runtime.clock import Clock, boot_id
from services.runtime.control import token
from services.runtime.jsonlogs import RateLimitedLog
from services.runtime.saturation import SaturationMonitor
from services.runtime.volumes import check_writable, remove_old_runs
from services.server.connections.admission import Admission
from services.server.connections.connection import WRITE_LIMIT, FeedConnection, connection_of
from services.server.connections.connection_handler import ConnectionHandler
from services.server.connections.control import may_control
from services.server.connections.listen_sockets import BACKLOG, bound, listen
from services.server.feed.generator import FeedGenerator
from services.server.metrics import CONTENT_TYPE, ServerMetrics
from services.server.runs import expected_clients, other_servers
from services.server.runs.expected_clients import ExpectedClients
from services.server.runs.other_servers import FolderLook
from services.server.runs.run_lifecycle import RunLifecycle
from services.server.runs.run_store import RunStore
from services.server.settings import ServerSettings
from services.server.stream import Stream

log = logging.getLogger(__name__)

_SYNC_SECONDS = 0.2
_STEP_SECONDS = 0.05
_LOOK_SECONDS = 0.25
"""How often it is looked for clients that do not read: a look at thousands takes milliseconds."""
_TOUCH_SECONDS = 2.0
_TIDY_SECONDS = 5.0
_ALIVE_SECONDS = 5.0
"""How often it is looked for peers that have been quiet."""
_BETWEEN_RUNS_SECONDS = 2.0
"""After the end of a run: time for clients to seal, and for the collector to close."""
_COUNT_SECONDS = 0.3
"""Between two questions how many containers of clients have been started, while a run waits for them."""


class ServerApp:
    """Everything that lives as long as the process.

    Args:
        settings: what the operator chose.
        feed: what is played, when it has been made already.
        seen: what `another.watch` returned, when the folder was watched already.

    Raises:
        AnotherServer: another server plays in this folder.
        UnwritableFolder: the folder of the ledgers refuses.
    """

    def __init__(
        self, settings: ServerSettings, feed: FeedGenerator | None = None, seen: FolderLook | None = None
    ) -> None:
        self.settings = settings
        self.clock = Clock()
        self.root = settings.volumes / "ledger"
        feed = feed or FeedGenerator(settings.schema, settings.locale, settings.seed)
        self.strain = SaturationMonitor()
        instance = uuid.uuid4().hex[:12]
        self.runs = RunStore(self.root, feed, settings, self.clock, self.strain, boot=boot_id(), instance=instance)
        self.played = 1
        check_writable(self.root)
        self.stream = Stream(self.runs.begin(seen), self.clock)
        self.expected = ExpectedClients(settings.client_service, settings.connections)
        self.lifecycle = RunLifecycle(self.stream.run, asyncio.get_running_loop().time(), self.expected)
        self.admission = Admission(self.stream)
        self.metrics = ServerMetrics(self.stream)
        self.conversations: set[ConnectionHandler] = set()
        self.token = settings.control_token
        self.draining = False
        self._tidying = RateLimitedLog(60)
        # One class for all sockets, which counts the connections of all.
        self._connections = connection_of(self.clock, self.stream.refusals, settings.send_seconds)

    async def accept(self, listener: socket.socket) -> Server:
        """Accept connections of a socket that listens."""
        return await serve(
            self._converse,
            sock=listener,
            create_connection=self._connections,
            process_request=self._answer_plain,
            select_subprotocol=_subprotocol,
            subprotocols=[Subprotocol(wire.SUBPROTOCOL)],
            # A page in somebody's browser says its origin; clients of a feed have none.
            origins=[None],
            compression=None,
            max_size=wire.MAX_CLIENT_FRAME,
            # More than are read at a time: what is answered at once is not to stop the reading.
            max_queue=64,
            open_timeout=5,
            write_limit=WRITE_LIMIT,
            # It would have a task for every connection: see keep_alive.
            ping_interval=None,
            server_header=None,
            backlog=BACKLOG,
        )

    async def _converse(self, connection: ServerConnection) -> None:
        if not isinstance(connection, FeedConnection):
            raise TypeError(f"connections are made by listen(), not {type(connection)}")
        connection.operator = may_control(connection.authority(), self.token, local=connection.local)
        connection.forget_handshake()
        conversation = ConnectionHandler(connection, self.stream, self.admission)
        self.conversations.add(conversation)
        try:
            await conversation.run()
        finally:
            self.conversations.discard(conversation)

    def _answer_plain(self, connection: ServerConnection, request: Request) -> Response | None:
        try:
            return self._plain(connection, request)
        except Exception as problem:  # noqa: BLE001
            self.stream.refusals.note("fault", "request failed", problem)
            return connection.respond(500, "internal error\n")

    def _plain(self, connection: ServerConnection, request: Request) -> Response | None:
        # As it stands: what is no address at all is none of the two.
        path = request.path.partition("?")[0]
        if path == "/healthz":
            return connection.respond(200, f"{self.stream.run.state}\n")
        if path == "/metrics":
            response = connection.respond(200, self.metrics.text())
            del response.headers["Content-Type"]
            response.headers["Content-Type"] = CONTENT_TYPE
            return response
        if self.draining:
            return connection.respond(503, "draining\n")
        return connection.respond(503, "too many connections\n") if self._refused_a_place(connection) else None

    def _refused_a_place(self, connection: ServerConnection) -> bool:
        """Tell whether only spare places are left, which are for plain requests and for holders of the token."""
        if not isinstance(connection, FeedConnection) or not connection.places.crowded:
            return False
        if may_control(connection.authority(), self.token, local=False):
            return False
        self.stream.refusals.note("full", "connection refused: no place", peer=connection.peer)
        # Behind the answer, which goes out first: the peer is not waited for, since it has one of the last places.
        asyncio.get_running_loop().call_soon(connection.transport.close)
        return True

    async def keep_ledger(self) -> None:
        """Sync the ledger every 200 ms, and show that this server lives."""
        touched = 0.0
        while True:
            await asyncio.sleep(_SYNC_SECONDS)
            writer, now = self.stream.run.ledger, asyncio.get_running_loop().time()
            if not writer.writable:
                writer.flush()
                self.stream.wake()
            if now - touched > _TOUCH_SECONDS:
                # Of an ended run too, and on a disk that refuses what is written: another server sees that this lives.
                with contextlib.suppress(OSError):
                    writer.touch()
                touched = now
            # The ledger says itself what is wrong, once.
            with contextlib.suppress(OSError):
                await asyncio.to_thread(writer.sync)

    async def keep_time(self) -> None:
        """Start, resume and end runs; cut off who does not read; play the next run."""
        loop, look_at = asyncio.get_running_loop(), 0.0
        while True:
            step_at = loop.time() + _STEP_SECONDS
            await asyncio.sleep(_STEP_SECONDS)
            self.metrics.note_loop_lag(loop.time() - step_at)
            connected = {name for name, session in self.stream.sessions.items() if session.open}
            self.lifecycle.step(loop.time(), connected, self.stream.delivered)
            if (now := loop.time()) >= look_at:
                self.stream.cut_stalled(now, self.settings.send_seconds)
                look_at = now + _LOOK_SECONDS
            if self.stream.run.state == "ended" and self.stream.run.ledger.writable and self._more_runs():
                await asyncio.sleep(_BETWEEN_RUNS_SECONDS)
                try:
                    self._next_run()
                except OSError as problem:
                    log.warning("next run not opened, trying again", extra={"why": str(problem)})

    async def keep_count(self) -> None:
        """Find out, while a run waits, how many clients have been started, where a name server tells."""
        loop, chosen = asyncio.get_running_loop(), self.settings
        while chosen.client_service and not chosen.clients:
            if self.stream.run.state == "waiting":
                addresses = await asyncio.to_thread(expected_clients.count, chosen.client_service)
                self.expected.note(loop.time(), addresses)
            await asyncio.sleep(_COUNT_SECONDS)

    async def keep_alive(self, servers: Sequence[Server]) -> None:
        """Find the connections whose peer is gone without a word."""
        while True:
            await asyncio.sleep(_ALIVE_SECONDS)
            now = asyncio.get_running_loop().time()
            for connection in [connection for server in servers for connection in server.connections]:
                if isinstance(connection, FeedConnection):
                    connection.keep_alive(now)

    def _more_runs(self) -> bool:
        return self.settings.runs == 0 or self.played < self.settings.runs

    def _next_run(self) -> None:
        # All that may be refused comes first: then nothing has changed, and it is tried again.
        self.stream.run.ledger.sync()
        run = self.runs.open()
        self.stream.run.ledger.close()
        self.played += 1
        self.stream.begin(run)
        eventloop.collect_all()
        self.lifecycle = RunLifecycle(run, asyncio.get_running_loop().time(), self.expected)
        for conversation in self.conversations:
            conversation.welcome()

    async def remove_old_runs(self) -> None:
        """Remove old ledgers, as far as the operator wants that."""
        while self.settings.keep_runs:
            try:
                await asyncio.to_thread(remove_old_runs, self.root, self.settings.keep_runs, time.time())
            except OSError as problem:
                if self._tidying.due(time.monotonic()):
                    log.warning("old runs not removed", extra={"path": str(self.root), "why": str(problem)})
            await asyncio.sleep(_TIDY_SECONDS)

    async def drain(self, servers: Sequence[Server]) -> None:
        """Stop in good order: pause the run, say goodbye, leave a ledger that tells all."""
        self.draining = True
        for server in servers:
            server.close(close_connections=False)
        run = self.stream.run
        if run.book.goes:
            run.pace(None)
        await asyncio.gather(*(conversation.drain() for conversation in list(self.conversations)))
        log.info("stopped", extra={"run": run.name, "state": run.state})


def _subprotocol(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    # A plain WebSocket client that offers none may watch too.
    return Subprotocol(wire.SUBPROTOCOL) if wire.SUBPROTOCOL in offered else None


async def main(settings: ServerSettings, stop: asyncio.Event) -> int:
    """Serve until told to stop.

    Nothing is written before it is certain that this server may play: a refused start changes nothing.

    Raises:
        OperatorError: the address, the port or the folder cannot be used, or another server plays in the folder.
    """
    with bound(settings.host, settings.port) as sockets:
        feed = FeedGenerator(settings.schema, settings.locale, settings.seed)
        try:
            seen = await asyncio.to_thread(other_servers.watch, settings.volumes / "ledger", stop.is_set)
        except other_servers.StoppedWhileWatching:
            return 0
        listen(sockets, settings.port)
        app = ServerApp(settings, feed, seen)
        servers = [await app.accept(listener) for listener in sockets]
        with eventloop.gc_frozen(), token.published(app.root, settings.control_token) as app.token:
            log.info("listening", extra={"host": settings.host, "port": settings.port, "run": app.stream.run.name})
            await _serve(app, servers, stop)
    # Last, when nobody syncs any more; what is wrong with a disk that refuses has been said.
    with contextlib.suppress(OSError):
        app.stream.run.ledger.close()
    return 0


async def _serve(app: ServerApp, servers: Sequence[Server], stop: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(work)
            for work in (
                app.stream.play(),
                app.keep_ledger(),
                app.keep_time(),
                app.keep_alive(servers),
                app.keep_count(),
                app.remove_old_runs(),
                app.strain.watch(),
                heartbeat.beat(),
            )
        ]
        await stop.wait()
        await app.drain(servers)
        for task in tasks:
            task.cancel()
