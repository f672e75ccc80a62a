"""The server process: one port for the feed, ``/healthz`` and ``/metrics``; one ledger; one run after another."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import uuid
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from services.contract import wire
from services.runtime import eventloop, heartbeat
from services.runtime.access.access_control import AccessControl
from services.runtime.clock import Clock, boot_id
from services.runtime.control import token
from services.runtime.saturation import SaturationMonitor
from services.runtime.volumes import check_writable, remove_old_runs_regularly
from services.server.connections.connection import QUIET_SECONDS, WRITE_LIMIT, FeedConnection, connection_class
from services.server.connections.gatekeeper import METRICS_PATH, Gatekeeper
from services.server.connections.listen_sockets import BACKLOG, bind_sockets, listen
from services.server.feed.generator import FeedGenerator
from services.server.metrics import CONTENT_TYPE, ServerMetrics
from services.server.runs import other_servers
from services.server.runs.client_containers import ContainerCounter
from services.server.runs.other_servers import FolderSnapshot
from services.server.runs.run_lifecycle import ExpectedClients, RunLifecycle
from services.server.runs.run_store import RunStore
from services.server.runs.stopping import leave_together
from services.server.settings import ServerSettings
from services.server.streaming.admission import Admission
from services.server.streaming.connection_handler import ConnectionHandler
from services.server.streaming.control import may_control
from services.server.streaming.rebalancing import Rebalancer
from services.server.streaming.stream import Stream

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServerIntervals:
    """Intervals of the server's periodic work, in seconds.

    Attributes:
        sync: between two syncs of the ledger; a crash loses at most the entries of this time.
        touch: between two touches of the ledger, which show other servers that this one lives.
        step: between two decisions whether the run starts, resumes or ends.
        stall_check: between two looks for clients that do not read; with thousands a look takes milliseconds.
        keep_alive: between two looks for quiet peers.
        quiet: after which a quiet peer is sent a ping.
        count: between two counts of the client containers, while a run waits for clients.
        between_runs: from the end of a run to the next, for clients to seal their logs and the collector to close.
        remove_old: between two removals of old runs.
    """

    sync: float = 0.2
    touch: float = 2.0
    step: float = 0.05
    stall_check: float = 0.25
    keep_alive: float = 5.0
    quiet: float = QUIET_SECONDS
    count: float = 0.3
    between_runs: float = 2.0
    remove_old: float = 5.0


class ServerApp:
    """Everything that lives as long as the process.

    Args:
        settings: of the operator.
        feed: generates the records; None makes it from the settings.
        seen: what `other_servers.ensure_alone` returned, if it was called already.
        intervals: of the periodic work.
        count_containers: returns the number of client containers, None if it is unknown; may block.
        invocation: see `RunStore`.

    Raises:
        AnotherServer: another server uses this folder.
        UnwritableFolder: the folder of the ledgers cannot be written to.
    """

    def __init__(
        self,
        settings: ServerSettings,
        feed: FeedGenerator | None = None,
        seen: FolderSnapshot | None = None,
        intervals: ServerIntervals | None = None,
        count_containers: Callable[[], int | None] | None = None,
        invocation: str = "",
    ) -> None:
        self.settings, self.intervals = settings, intervals or ServerIntervals()
        self.clock = Clock()
        self.root = settings.volumes / "ledger"
        feed = feed or FeedGenerator(settings.schema, settings.locale, settings.seed)
        self.saturation = SaturationMonitor()
        self.runs = _run_store(settings, feed, self.clock, self.saturation, invocation)
        # Before the run is opened, so that an unwritable folder is reported together with its remedy.
        check_writable(self.root)
        self.stream = Stream(self.runs.open_or_continue(seen), self.clock)
        self.expected = ExpectedClients(settings.client_service, settings.connections)
        self._count_containers = count_containers or ContainerCounter(settings.client_service).count
        self.lifecycle = RunLifecycle(self.stream.run, asyncio.get_running_loop().time(), self.expected)
        self.admission = Admission(self.stream)
        self.metrics = ServerMetrics(self.stream)
        self.handlers: set[ConnectionHandler] = set()
        self.token = settings.control_token
        self.gatekeeper = Gatekeeper(AccessControl(settings.access), self.stream.refusals, self._is_operator)
        self.is_draining = False
        self._rebalancer, self._moves = Rebalancer(), set[asyncio.Task[None]]()
        # One class for all listening sockets, since it holds the count of all connections.
        self._connection_class = connection_class(
            self.clock,
            self.stream.refusals,
            patience_seconds=settings.send_seconds,
            ping_after_seconds=self.intervals.quiet,
        )

    async def accept(self, listener: socket.socket) -> Server:
        """Accept connections on a listening socket."""
        return await serve(
            self._handle_connection,
            sock=listener,
            create_connection=self._connection_class,
            process_request=self._answer_request,
            select_subprotocol=_subprotocol,
            subprotocols=[Subprotocol(wire.SUBPROTOCOL)],
            # Browsers send the origin of the page that connects, clients of a feed send none: no page may connect.
            origins=[None],
            # Many clients share the bytes of a frame; compressed, the frame would differ for each of them.
            compression=None,
            # Clients send receipts and requests only. A larger limit would let a peer claim memory.
            max_size=wire.MAX_CLIENT_FRAME,
            # More messages than one read can hold, so that short messages do not pause the reading.
            max_queue=64,
            # A peer that does not complete its handshake holds a file descriptor.
            open_timeout=5,
            write_limit=WRITE_LIMIT,
            **self.gatekeeper.tls_options,
            # The library's keepalive is a task and a timer for each connection; `ping_quiet_peers` is one for all.
            ping_interval=None,
            server_header=None,
            backlog=BACKLOG,
        )

    async def _handle_connection(self, connection: ServerConnection) -> None:
        if not isinstance(connection, FeedConnection):
            raise TypeError(f"expected a FeedConnection, not {type(connection)}")
        connection.forget_handshake()
        handler = ConnectionHandler(connection, self.stream, self.admission)
        self.handlers.add(handler)
        try:
            await handler.run()
        finally:
            self.handlers.discard(handler)

    def _answer_request(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer a plain HTTP request; None lets the library continue with the WebSocket handshake."""
        try:
            return self._response(connection, request)
        except Exception as problem:  # noqa: BLE001
            self.stream.refusals.count("fault", "request failed", problem)
            return connection.respond(500, "internal error\n")

    def _response(self, connection: ServerConnection, request: Request) -> Response | None:
        # Not parsed as a URL: a malformed path is neither of the two, and must not raise.
        path = request.path.partition("?")[0]
        if path == "/healthz":
            return connection.respond(200, f"{self.stream.run.state}\n")
        if (refusal := self.gatekeeper.check(connection, request, path)) is not None:
            return refusal
        if path == METRICS_PATH:
            response = connection.respond(200, self.metrics.text())
            del response.headers["Content-Type"]
            response.headers["Content-Type"] = CONTENT_TYPE
            return response
        if self.is_draining:
            return connection.respond(503, "draining\n")
        return connection.respond(503, "too many connections\n") if self._refuse_if_full(connection) else None

    def _is_operator(self, authorization: Collection[str], is_trusted: bool) -> bool:
        return may_control(authorization, self.token, local=is_trusted)

    def _refuse_if_full(self, connection: ServerConnection) -> bool:
        """Return whether only spare places are left, which are for plain requests and holders of the token."""
        if not isinstance(connection, FeedConnection) or not connection.limit.is_nearly_reached:
            return False
        if may_control(connection.authorization_values(), self.token, local=False):
            return False
        self.stream.refusals.count("full", "connection refused: no place", peer=connection.peer)
        # Close after the answer was written, without waiting for the peer: it holds one of the last places.
        asyncio.get_running_loop().call_soon(connection.transport.close)
        return True

    async def sync_ledger(self) -> None:
        """Sync the ledger regularly, and touch it to show other servers that this one lives."""
        touched_at = 0.0
        while True:
            await asyncio.sleep(self.intervals.sync)
            writer, now = self.stream.run.ledger, asyncio.get_running_loop().time()
            if not writer.is_writable:
                writer.flush()
                self.stream.wake()
            if now - touched_at > self.intervals.touch:
                # Also after the end of the run, and while the disk refuses writes: this server still lives.
                with contextlib.suppress(OSError):
                    writer.touch()
                    self._use_common_token()
                touched_at = now
            # The writer logs a failure itself, once.
            with contextlib.suppress(OSError):
                await asyncio.to_thread(writer.sync)

    def published_token(self) -> AbstractContextManager[str]:
        """Return a context in which the control token is in its file; see `token.published`."""
        return token.published(self.root, self.settings.control_token, self._has_siblings)

    def _has_siblings(self) -> bool:
        return self.stream.run.agreement.has_siblings(proven=True)

    def _use_common_token(self) -> None:
        """Use the token of the other servers: two that started together have drawn two, and a third may have gone."""
        if not self.settings.control_token and self._has_siblings():
            self.token = token.common(self.root, self.token)

    async def keep_time(self) -> None:
        """Advance, start, resume and end runs; cut off clients that do not read; open the next run."""
        loop, check_at = asyncio.get_running_loop(), 0.0
        while True:
            step_at = loop.time() + self.intervals.step
            await asyncio.sleep(self.intervals.step)
            self.metrics.add_loop_lag(loop.time() - step_at)
            self.stream.run.follow()
            connected = {name for name, subscription in self.stream.subscriptions.items() if subscription.is_open}
            connected.update(self.stream.run.agreement.connected())
            self.lifecycle.step(loop.time(), connected, self.stream.sent_records)
            if (now := loop.time()) >= check_at:
                self.stream.cut_stalled(now, self.settings.send_seconds)
                check_at = now + self.intervals.stall_check
                self._move_clients(now)
            run = self.stream.run
            # The end must be in the ledger first: without it the collector takes this run for an interrupted one.
            if run.recorded.end is not None and run.ledger.is_writable and self._has_next_run():
                # Another server may have ended the run earlier, and have opened the next one already.
                if not run.agreement.next_run:
                    await asyncio.sleep(self.intervals.between_runs)
                try:
                    self._open_next_run()
                except OSError as problem:
                    log.warning("next run not opened, trying again", extra={"why": str(problem)})

    def _move_clients(self, now: float) -> None:
        """Ask some clients to connect to another server of the run, if this one has more than its share."""
        agreement, run = self.stream.run.agreement, self.stream.run
        if self.is_draining or run.recorded.end is not None or not agreement.has_siblings(proven=True):
            return
        own = {name: subscription.fence for name, subscription in self.stream.subscriptions.items()}
        elsewhere = len(agreement.connected().keys() - own.keys())
        is_waiting = run.recorded.state == "waiting"
        names = set(self._rebalancer.choose(now, own, elsewhere, agreement.server_count(), is_waiting=is_waiting))
        for handler in [handler for handler in self.handlers if names]:
            if handler.subscription is not None and handler.subscription.name in names:
                self._moves.add(moving := asyncio.create_task(handler.move()))
                moving.add_done_callback(self._moves.discard)

    async def count_containers(self) -> None:
        """While a run waits for clients, ask the name server how many containers of clients there are."""
        loop, settings = asyncio.get_running_loop(), self.settings
        while settings.client_service and not settings.clients:
            if self.stream.run.state == "waiting":
                addresses = await asyncio.to_thread(self._count_containers)
                self.expected.add_answer(loop.time(), addresses)
            await asyncio.sleep(self.intervals.count)

    async def ping_quiet_peers(self, servers: Sequence[Server]) -> None:
        """Send pings to quiet peers, and disconnect those that vanished without closing their connection."""
        while True:
            await asyncio.sleep(self.intervals.keep_alive)
            now = asyncio.get_running_loop().time()
            for connection in [connection for server in servers for connection in server.connections]:
                if isinstance(connection, FeedConnection):
                    connection.keep_alive(now)

    def _has_next_run(self) -> bool:
        agreement = self.stream.run.agreement
        has_more = self.settings.runs == 0 or agreement.number < self.settings.runs
        return has_more or bool(agreement.next_run)

    def _open_next_run(self) -> None:
        # Everything that the disk can refuse comes first: if it does, nothing has changed and the caller tries again.
        self.stream.run.ledger.sync()
        run = self.runs.open_new(self.stream.run)
        self.stream.run.ledger.close()
        self.stream.switch_to(run)
        # Nothing is due between two runs, so the pause of a full collection delays no record.
        eventloop.collect_all()
        self.lifecycle = RunLifecycle(run, asyncio.get_running_loop().time(), self.expected)
        self.lifecycle.is_stopping, self._rebalancer = self.is_draining, Rebalancer()
        for handler in self.handlers:
            handler.welcome()

    async def drain(self, servers: Sequence[Server]) -> None:
        """Stop in order: accept no more connections, pause the run, disconnect the clients, record all of it."""
        self.is_draining = True
        for server in servers:
            server.close(close_connections=False)
        run = self.stream.run
        # Before the clients leave: otherwise records would come due, and be late, while no server runs.
        self.lifecycle.is_stopping = True
        await leave_together(run)
        await asyncio.gather(*(handler.drain() for handler in list(self.handlers)))
        log.info("stopped", extra={"run": run.name, "state": run.state})


def _subprotocol(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    # A plain WebSocket client that offers no subprotocol may subscribe too.
    return Subprotocol(wire.SUBPROTOCOL) if wire.SUBPROTOCOL in offered else None


async def main(
    settings: ServerSettings,
    stop: asyncio.Event,
    *,
    feed: FeedGenerator | None = None,
    intervals: ServerIntervals | None = None,
    ensure_alone: Callable[[Path, Callable[[], bool]], FolderSnapshot] = other_servers.ensure_alone,
    invocation: str = "",
) -> int:
    """Serve until ``stop`` is set; return the exit code.

    Nothing is written before it is certain that this server may use the folder: a refused start changes nothing.

    Args:
        settings: of the operator.
        stop: set to stop the server.
        feed: generates the records; None makes it from the settings.
        intervals: of the periodic work.
        ensure_alone: see `other_servers.ensure_alone`.
        invocation: see `RunStore`.

    Raises:
        OperatorError: the address, the port or the folder cannot be used, or another server uses the folder.
    """
    with bind_sockets(settings.host, settings.port, is_shared=settings.servers > 1) as sockets:
        feed = feed or FeedGenerator(settings.schema, settings.locale, settings.seed)
        # This store looks at the folder only; that of the server opens the run.
        store = _run_store(settings, feed, Clock(), SaturationMonitor(), invocation)
        store.ensure_alone = ensure_alone
        try:
            seen = await asyncio.to_thread(store.survey, stop.is_set)
        except other_servers.StoppedWhileWatching:
            return 0
        # Only now: a client must not connect to a server that then refuses to start.
        listen(sockets, settings.port)
        app = ServerApp(settings, feed, seen, intervals, invocation=invocation)
        servers = [await app.accept(listener) for listener in sockets]
        with eventloop.gc_frozen(), app.published_token() as app.token:
            log.info("listening", extra={"host": settings.host, "port": settings.port, "run": app.stream.run.name})
            await _serve(app, servers, stop)
    # Closed last, when no thread syncs it any more. If the disk refuses, the writer has logged that already.
    with contextlib.suppress(OSError):
        app.stream.run.ledger.close()
    return 0


def _run_store(
    settings: ServerSettings, feed: FeedGenerator, clock: Clock, saturation: SaturationMonitor, invocation: str
) -> RunStore:
    root, instance = settings.volumes / "ledger", uuid.uuid4().hex[:12]
    return RunStore(root, feed, settings, clock, saturation, boot=boot_id(), instance=instance, invocation=invocation)


async def _serve(app: ServerApp, servers: Sequence[Server], stop: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(work)
            for work in (
                app.stream.play(),
                app.sync_ledger(),
                app.keep_time(),
                app.ping_quiet_peers(servers),
                app.count_containers(),
                app.gatekeeper.access.follow_files(),
                remove_old_runs_regularly(app.root, app.settings.keep_runs, app.intervals.remove_old),
                app.saturation.watch(),
                heartbeat.beat(),
            )
        ]
        await stop.wait()
        await app.drain(servers)
        for task in tasks:
            task.cancel()
