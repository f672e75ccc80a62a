"""The server: one port for the feed, ``/healthz`` and ``/metrics``; one ledger; run after run."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from services.contract import wire
from services.runtime import heartbeat, token
from services.runtime.clock import Clock, boot_id
from services.runtime.errors import PortInUse
from services.runtime.files import forget_old_runs, probe
from services.runtime.jsonlogs import Sparingly
from services.runtime.strain import Strain
from services.server import garbage
from services.server.admit import Admission
from services.server.connection import WRITE_LIMIT, FeedConnection, connection_of
from services.server.converse import Conversation
from services.server.generate import Feed
from services.server.lifecycle import Lifecycle
from services.server.metrics import CONTENT_TYPE, ServerMetrics
from services.server.runs import Runs
from services.server.settings import ServerSettings
from services.server.stream import Stream
from services.server.wishes import may_control

log = logging.getLogger(__name__)

_BACKLOG = 1024
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


class App:
    """Everything that lives as long as the process."""

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self.clock = Clock()
        self.root = settings.volumes / "ledger"
        feed = Feed(settings.schema, settings.locale, settings.seed)
        self.strain = Strain()
        instance = uuid.uuid4().hex[:12]
        self.runs = Runs(self.root, feed, settings, self.clock, self.strain, boot=boot_id(), instance=instance)
        self.played = 1
        self.stream = Stream(self.runs.begin(), self.clock)
        self.lifecycle = Lifecycle(self.stream.run, asyncio.get_running_loop().time())
        self.admission = Admission(self.stream)
        self.metrics = ServerMetrics(self.stream)
        self.conversations: set[Conversation] = set()
        self.token = settings.control_token
        self.draining = False
        self._tidying = Sparingly(60)

    async def listen(self) -> Server:
        """Start to listen.

        Raises:
            PortInUse: another process does already.
        """
        try:
            return await serve(
                self._converse,
                None,
                self.settings.port,
                create_connection=connection_of(self.clock, self.stream.refusals, self.settings.send_seconds),
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
                # When all come at once, as after a restart, whoever finds no place here asks again a second later.
                backlog=_BACKLOG,
            )
        except OSError as problem:
            if problem.errno == errno.EADDRINUSE:
                raise PortInUse("PORT", self.settings.port) from problem
            raise

    async def _converse(self, connection: ServerConnection) -> None:
        if not isinstance(connection, FeedConnection):
            raise TypeError(f"connections are made by listen(), not {type(connection)}")
        connection.operator = may_control(connection.authority(), self.token, local=connection.local)
        connection.forget_handshake()
        conversation = Conversation(connection, self.stream, self.admission)
        self.conversations.add(conversation)
        try:
            await conversation.run()
        finally:
            self.conversations.discard(conversation)

    def _answer_plain(self, connection: ServerConnection, request: Request) -> Response | None:
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
            # The ledger says itself what is wrong, once.
            with contextlib.suppress(OSError):
                await asyncio.to_thread(writer.sync)
                if now - touched > _TOUCH_SECONDS:
                    writer.touch()
                    touched = now

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

    async def keep_alive(self, server: Server) -> None:
        """Find the connections whose peer is gone without a word."""
        while True:
            await asyncio.sleep(_ALIVE_SECONDS)
            now = asyncio.get_running_loop().time()
            for connection in server.connections:
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
        garbage.look_at_all()
        self.lifecycle = Lifecycle(run, asyncio.get_running_loop().time())
        for conversation in self.conversations:
            conversation.welcome()

    async def forget_old_runs(self) -> None:
        """Remove old ledgers, as far as the operator wants that."""
        while self.settings.keep_runs:
            try:
                await asyncio.to_thread(forget_old_runs, self.root, self.settings.keep_runs, time.time())
            except OSError as problem:
                if self._tidying.due(time.monotonic()):
                    log.warning("old runs not removed", extra={"path": str(self.root), "why": str(problem)})
            await asyncio.sleep(_TIDY_SECONDS)

    async def drain(self, server: Server) -> None:
        """Stop in good order: pause the run, say goodbye, leave a ledger that tells all."""
        self.draining = True
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
    """Serve until told to stop."""
    probe(Path(settings.volumes) / "ledger")
    app = App(settings)
    server = await app.listen()
    with garbage.settled(), token.handed_on(app.root, settings.control_token) as app.token:
        log.info("listening", extra={"port": settings.port, "run": app.stream.run.name})
        await _serve(app, server, stop)
    # Last, when nobody syncs any more; what is wrong with a disk that refuses has been said.
    with contextlib.suppress(OSError):
        app.stream.run.ledger.close()
    return 0


async def _serve(app: App, server: Server, stop: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(work)
            for work in (
                app.stream.play(),
                app.keep_ledger(),
                app.keep_time(),
                app.keep_alive(server),
                app.forget_old_runs(),
                app.strain.watch(),
                heartbeat.beat(),
            )
        ]
        await stop.wait()
        await app.drain(server)
        for task in tasks:
            task.cancel()
