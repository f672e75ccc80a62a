"""The server process: one port for the feed, ``/healthz`` and ``/metrics``; one ledger; one run after another."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.typing import Subprotocol

from services.contract import bounds, wire
from services.runtime import eventloop, heartbeat
from services.runtime.access.access_control import AccessControl
from services.runtime.clock import Clock, boot_id
from services.runtime.control import token
from services.runtime.errors import NoSuchRun
from services.runtime.saturation import SaturationMonitor
from services.runtime.volumes import check_writable, remove_old_runs_regularly
from services.server.connections.connection import CLOSE_SECONDS, WRITE_LIMIT, FeedConnection, connection_class
from services.server.connections.gate import max_connections
from services.server.connections.gatekeeper import Gatekeeper
from services.server.connections.listen_sockets import BACKLOG, bind_sockets, listen
from services.server.feed.feed import Feed
from services.server.feed.generator import FeedGenerator
from services.server.intervals import ServerIntervals
from services.server.metrics import ServerMetrics
from services.server.opening_requests import OpeningRequests
from services.server.runs import other_servers
from services.server.runs.client_containers import ContainerCounter
from services.server.runs.exchange import LedgerExchange
from services.server.runs.other_servers import FolderSnapshot
from services.server.runs.process_identity import new_instance
from services.server.runs.run_lifecycle import ExpectedClients, RunLifecycle
from services.server.runs.run_store import RunStore
from services.server.runs.stopping import leave_together
from services.server.runs.timed_runs import store_class
from services.server.settings import ServerSettings
from services.server.streaming.admission import Admission
from services.server.streaming.connection_handler import ConnectionHandler, refuse_unsubscribed
from services.server.streaming.control import may_control
from services.server.streaming.rebalancing import Rebalancer
from services.server.streaming.stream import Stream

log = logging.getLogger(__name__)

_HELD_UP_SECONDS = 1.0
"""A timer that fires this late shows that the process did not run."""

_STEP_SHARE, _MAX_STEP_SECONDS = 0.01, 0.2
"""Part of the time that the steps of `ServerApp.keep_time` may take before they become rarer, and their longest
interval. A step looks at every client, which takes milliseconds with thousands of them."""


class ServerApp:
    """Everything that lives as long as the process.

    Args:
        settings: of the operator.
        feed: has the records; None generates them by the settings.
        seen: what `RunStore.survey` of ``runs`` returned, if it was called already.
        intervals: of the periodic work.
        count_containers: returns the number of client containers, None if it is unknown; may block.
        runs: opens, continues and joins the runs; None makes it from the settings.

    Raises:
        AnotherServer: another server uses this folder.
        UnwritableFolder: the folder of the ledgers cannot be written to.
    """

    def __init__(
        self,
        settings: ServerSettings,
        feed: Feed | None = None,
        seen: FolderSnapshot | None = None,
        intervals: ServerIntervals | None = None,
        count_containers: Callable[[], int | None] | None = None,
        runs: RunStore | None = None,
    ) -> None:
        self.settings, self.intervals = settings, intervals or ServerIntervals()
        self.root = settings.volumes / "ledger"
        self.runs = runs or _run_store(settings, feed)
        self.clock, self.saturation = self.runs.clock, self.runs.saturation
        # Before the run is opened, so that an unwritable folder is reported together with its remedy.
        check_writable(self.root)
        self.stream = Stream(self.runs.open_or_continue(seen), self.clock)
        self.expected = ExpectedClients(settings.client_service, settings.connections)
        counter = ContainerCounter(settings.client_service, settings.compose_project_name)
        self._count_containers = count_containers or counter.count
        self.lifecycle = RunLifecycle(self.stream.run, asyncio.get_running_loop().time(), self.expected)
        self.admission = Admission(self.stream)
        self.metrics = ServerMetrics(self.stream)
        self.handlers: set[ConnectionHandler] = set()
        self.token = settings.control_token
        self.gatekeeper = Gatekeeper(AccessControl(settings.access), self.stream.refusals, self._is_operator)
        self._requests = OpeningRequests(self.stream, self.metrics, self.gatekeeper, lambda: self.token)
        self._has_missed_runs = False
        self._rebalancer, self._closing = Rebalancer(), set[asyncio.Task[None]]()
        # One class for all listening sockets, since it holds the count of all connections.
        self._connection_class = connection_class(
            self.clock,
            self.stream.refusals,
            patience_seconds=settings.send_seconds,
            ping_after_seconds=self.intervals.quiet,
            maximum=lambda: max_connections(settings.clients),
        )
        self._gate = self._connection_class.gate

    async def accept(self, listener: socket.socket) -> Server:
        """Accept connections on a listening socket."""
        return await serve(
            self._handle_connection,
            sock=listener,
            create_connection=self._connection_class,
            process_request=self._requests.answer,
            process_response=self._requests.count,
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
            open_timeout=bounds.HANDSHAKE_SECONDS.value,
            write_limit=WRITE_LIMIT,
            **self.gatekeeper.tls_options,
            # A peer that broke the protocol may have filled the queue of messages: then its end is not read.
            close_timeout=CLOSE_SECONDS,
            # The library's keepalive is a task and a timer for each connection; `ping_quiet_peers` is one for all.
            ping_interval=None,
            server_header=None,
            backlog=BACKLOG,
        )

    async def _handle_connection(self, connection: ServerConnection) -> None:
        if not isinstance(connection, FeedConnection):
            raise TypeError(f"expected a FeedConnection, not {type(connection)}")
        try:
            await self._handle(connection)
        except Exception as problem:
            # The library closes the connection, and logs nothing: see `jsonlogs.configure`.
            self.stream.refusals.count("fault", "connection failed", problem, peer=connection.peer)
            raise

    async def _handle(self, connection: FeedConnection) -> None:
        connection.forget_handshake()
        handler = ConnectionHandler(connection, self.stream, self.admission)
        self.handlers.add(handler)
        try:
            await handler.run()
        finally:
            self.handlers.discard(handler)

    def _is_operator(self, authorization: Collection[str], is_trusted: bool) -> bool:
        return may_control(authorization, self.token, local=is_trusted)

    async def sync_ledger(self) -> None:
        """Sync the ledger regularly, and touch it to show other servers that this one lives."""
        touched_at = measured_at = 0.0
        while True:
            await asyncio.sleep(self.intervals.sync)
            writer, now = self.stream.run.ledger, asyncio.get_running_loop().time()
            if now - measured_at > self.intervals.measure and self.stream.run.append_measurements():
                measured_at = now
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
        is_joining = self.stream.run.agreement.has_siblings()
        return token.published(self.root, self.settings.control_token, self._has_siblings, is_joining=is_joining)

    def _has_siblings(self) -> bool:
        return self.stream.run.agreement.has_siblings(proven=True)

    def _use_common_token(self) -> None:
        """Use the token of the other servers: two that started together have drawn two, and a third may have gone."""
        if not self.settings.control_token and self._has_siblings():
            self.token = token.common(self.root, self.token)

    async def keep_time(self) -> None:
        """Advance, start, resume and end runs; cut off clients that do not read; open the next run."""
        loop, check_at, took = asyncio.get_running_loop(), 0.0, 0.0
        while True:
            step_at = loop.time() + max(self.intervals.step, min(took / _STEP_SHARE, _MAX_STEP_SECONDS))
            await asyncio.sleep(step_at - loop.time())
            began = loop.time()
            lag = began - step_at
            self.metrics.add_loop_lag(lag)
            self.stream.run.follow()
            connected = {name for name, subscription in self.stream.subscriptions.items() if subscription.is_open}
            connected.update(self.stream.run.agreement.connected())
            self.lifecycle.step(loop.time(), connected, self.stream.sent_records)
            if (now := loop.time()) >= check_at:
                self.stream.cut_stalled(now, self.settings.send_seconds)
                self._refuse_unsubscribed(now, lag)
                check_at = now + self.intervals.stall_check
                self._move_clients(now)
                self._has_missed_runs = self.runs.has_missed_runs(self.stream.run)
            took = loop.time() - began
            await self._leave_finished_run()

    async def _leave_finished_run(self) -> None:
        """Open the next run, if there is one and the current run has ended, here or without this server."""
        run = self.stream.run
        # The end must be in the ledger first: without it the collector takes this run for an interrupted one.
        is_over = run.recorded.end is not None and run.ledger.is_writable and self.runs.has_next(run)
        if not is_over and not self._has_missed_runs:
            return
        # Another server may have ended the run earlier, and have opened the next one already.
        if not run.agreement.next_run and not self._has_missed_runs:
            await asyncio.sleep(self.intervals.between_runs)
        try:
            self._open_next_run()
        except (OSError, NoSuchRun) as problem:
            log.warning("next run not opened, trying again", extra={"why": str(problem)})

    def _move_clients(self, now: float) -> None:
        """Ask some clients to connect to another server of the run, if this one has more than its share."""
        agreement, run = self.stream.run.agreement, self.stream.run
        if self._requests.is_draining or run.recorded.end is not None or not agreement.has_siblings(proven=True):
            return
        own = {name: subscription.fence for name, subscription in self.stream.subscriptions.items()}
        elsewhere = len(agreement.connected().keys() - own.keys())
        is_waiting = run.recorded.state == "waiting"
        names = set(self._rebalancer.choose(now, own, elsewhere, agreement.server_count(), is_waiting=is_waiting))
        for handler in [handler for handler in self.handlers if names]:
            if handler.subscription is not None and handler.subscription.name in names:
                self._closing.add(moving := asyncio.create_task(handler.move()))
                moving.add_done_callback(self._closing.discard)

    def _refuse_unsubscribed(self, now: float, lag: float) -> None:
        """Disconnect peers that have not subscribed in time.

        After the end of a run all wait for the next one. A process that was held up has not read what they have sent.
        """
        if self.stream.run.recorded.end is not None or lag > _HELD_UP_SECONDS:
            self._gate.restart(now)
            return
        for connection in self._gate.overdue(now):
            self._closing.add(closing := asyncio.create_task(refuse_unsubscribed(connection, self.stream.refusals)))
            closing.add_done_callback(self._closing.discard)

    async def count_containers(self) -> None:
        """Until a run ends, ask the name server how many containers of clients there are."""
        loop, settings = asyncio.get_running_loop(), self.settings
        while settings.client_service and not settings.clients and settings.start_at is None:
            if (state := self.stream.run.state) != "ended":
                addresses = await asyncio.to_thread(self._count_containers)
                self.expected.add_answer(loop.time(), addresses)
            await asyncio.sleep(self.intervals.count if state == "waiting" else self.intervals.recount)

    async def ping_quiet_peers(self, servers: Sequence[Server]) -> None:
        """Send pings to quiet peers, and disconnect those that vanished without closing their connection."""
        while True:
            await asyncio.sleep(self.intervals.keep_alive)
            now = asyncio.get_running_loop().time()
            for connection in [connection for server in servers for connection in server.connections]:
                if isinstance(connection, FeedConnection):
                    connection.keep_alive(now)

    def _open_next_run(self) -> None:
        # Everything that the disk can refuse comes first: if it does, nothing has changed and the caller tries again.
        self.stream.run.ledger.sync()
        run = self.runs.open_new(self.stream.run)
        self.stream.run.ledger.close()
        self.stream.switch_to(run)
        # Nothing is due between two runs, so the pause of a full collection delays no record.
        eventloop.collect_all()
        self.lifecycle = RunLifecycle(run, asyncio.get_running_loop().time(), self.expected)
        self.lifecycle.is_stopping, self._rebalancer = self._requests.is_draining, Rebalancer()
        self._has_missed_runs = False
        for handler in self.handlers:
            handler.welcome()

    async def drain(self, servers: Sequence[Server]) -> None:
        """Stop in order: accept no more connections, pause the run, disconnect the clients, record all of it."""
        self._requests.is_draining = True
        for server in servers:
            server.close(close_connections=False)
        run = self.stream.run
        # Before the clients leave: otherwise records would come due, and be late, while no server runs.
        self.lifecycle.is_stopping = True
        await leave_together(run)
        others_play = self._has_siblings()
        await asyncio.gather(*(handler.drain(others_play=others_play) for handler in list(self.handlers)))
        run.append_measurements()
        log.info("stopped", extra={"run": run.name, "state": run.state})


def _subprotocol(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    # A plain WebSocket client that offers no subprotocol may subscribe too.
    return Subprotocol(wire.SUBPROTOCOL) if wire.SUBPROTOCOL in offered else None


async def main(
    settings: ServerSettings,
    stop: asyncio.Event,
    *,
    feed: Feed | None = None,
    intervals: ServerIntervals | None = None,
    ensure_alone: Callable[[Path, Callable[[], bool]], FolderSnapshot] = other_servers.ensure_alone,
    invocation: str = "",
    exchange: LedgerExchange | None = None,
) -> int:
    """Serve until ``stop`` is set; return the exit code.

    Nothing is written before it is certain that this server may use the folder: a refused start changes nothing.

    Args:
        settings: of the operator.
        stop: set to stop the server.
        feed: has the records; None generates them by the settings.
        intervals: of the periodic work.
        ensure_alone: see `other_servers.ensure_alone`.
        invocation: see `RunStore`.
        exchange: see `RunStore`.

    Raises:
        OperatorError: the address, the port or the folder cannot be used, or another server uses the folder.
    """
    with bind_sockets(settings.host, settings.port, is_shared=settings.servers > 1) as sockets:
        runs = _run_store(settings, feed, invocation, exchange)
        runs.ensure_alone = ensure_alone
        # A server that waits for the next run of others is as healthy as they are: nothing has to wait for it.
        beating = asyncio.create_task(heartbeat.beat(alive=lambda: runs.is_waiting))
        try:
            seen = await asyncio.to_thread(runs.survey, stop.is_set)
        except other_servers.StoppedWhileWatching:
            return 0
        finally:
            beating.cancel()
        # Only now: a client must not connect to a server that then refuses to start.
        listen(sockets, settings.port)
        app = ServerApp(settings, feed, seen, intervals, runs=runs)
        servers = [await app.accept(listener) for listener in sockets]
        with eventloop.gc_frozen(), app.published_token() as app.token:
            log.info("listening", extra={"host": settings.host, "port": settings.port, "run": app.stream.run.name})
            await _serve(app, servers, stop)
    # Closed last, when no thread syncs it any more. If the disk refuses, the writer has logged that already.
    with contextlib.suppress(OSError):
        app.stream.run.ledger.close()
    return 0


def _run_store(
    settings: ServerSettings, feed: Feed | None, invocation: str = "", exchange: LedgerExchange | None = None
) -> RunStore:
    feed = feed or FeedGenerator(settings.schema, settings.locale, settings.seed)
    made = settings.volumes / "ledger", feed, settings, Clock(), SaturationMonitor()
    instance = new_instance() if exchange is None else exchange.instance
    store = store_class(settings.start_at)
    return store(*made, boot=boot_id(), instance=instance, invocation=invocation, exchange=exchange)


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
