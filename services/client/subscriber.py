"""One client of the own feed: its protocol with the server, over all of its connections."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Literal

from websockets.exceptions import ConnectionClosed, WebSocketException

from services.client import block_encoder
from services.client.backoff import MAX_SECONDS, Backoff
from services.client.clock_sync import UNANSWERED_SECONDS, PingExchange
from services.client.connection import StampedConnection, connect_to
from services.client.connection_problem import FIRM_SECONDS, ConnectionProblem, problem_of
from services.client.dial import AddressLookup
from services.client.session import ClientSession
from services.client.settings import ClientConfig
from services.contract import bounds, wire
from services.contract.errors import PeerError
from services.runtime.access.server_access import ServerAccess
from services.runtime.access.shown_address import without_credentials
from services.runtime.clock import Clock
from services.runtime.errors import BadSettings
from services.runtime.jsonlogs import RateLimitedLog
from services.runtime.rate_limit import TokenBucket

log = logging.getLogger(__name__)

# A block's age is looked at this often, or four times within its time if that is shorter.
_AGE_CHECK_SECONDS = 0.1
START_SECONDS = 3.0  # from its start, in which a client that has not reached the server yet does not log that
_ANSWER_SECONDS = 1.0
"""How long a client that stops waits for the answer to its request to subscribe."""


@dataclass(frozen=True)
class SubscriberLimits:
    """Intervals and rates of a subscriber.

    Attributes:
        ping_seconds: time between two pings. The server answers each, so a connection is never silent for longer.
        silence_seconds: time without any message after which a connection counts as lost. A connection that died
            without a close shows by nothing else.
        backoff_seconds: longest delay between two attempts to connect.
        renames_at_once, renames_per_second: how often the client takes a name that the server suggests. Each rename
            makes a folder, so a faulty server must not cause any number of them.
        runs_at_once, runs_per_second: how often a server may begin another run. Each makes a folder, too; runs of a
            single record are three seconds apart.
    """

    ping_seconds: float = 1.0
    silence_seconds: float = 3.0
    backoff_seconds: float = MAX_SECONDS
    renames_at_once: int = bounds.RENAMES.value
    renames_per_second: float = 1 / 30
    runs_at_once: int = bounds.RUNS.value
    runs_per_second: float = 1.0


DEFAULT_LIMITS = SubscriberLimits()


class Subscriber:
    """Receives every run of the feed under one name, until stopped.

    Attributes:
        name: the client's name; another one than at first when the server found that name taken.
    """

    def __init__(
        self,
        name: str,
        url: str,
        config: ClientConfig,
        clock: Clock,
        retry_log: RateLimitedLog,
        limits: SubscriberLimits = DEFAULT_LIMITS,
        access: ServerAccess | None = None,
        turns: asyncio.Semaphore | None = None,
    ) -> None:
        self.name = self._first_name = name
        # Many clients of one process that connect at the same time would all be answered too late.
        self._access, self._turns = access or ServerAccess(url), turns or asyncio.Semaphore()
        self._url, self._config, self._clock, self._retry_log, self._limits = url, config, clock, retry_log, limits
        self._pings, self._backoff, self._lookup = PingExchange(clock), Backoff(limits.backoff_seconds), AddressLookup()
        self._session: ClientSession | None = None
        self._connection: StampedConnection | None = None
        self._refusal: ConnectionProblem | None = None
        self._has_asked = self._is_subscribed = self._is_superseded = self._is_stopping = self._was_connected = False
        self._attempted_us: int | None = None
        # Whether the connection is being read: not while the disk is behind. Without a connection it is True.
        self._last_message_at, self._is_reading = 0.0, True
        # Set unless a request to subscribe is unanswered.
        self._answered = asyncio.Event()
        self._answered.set()
        self._tasks, self._late_run = set[asyncio.Task[None]](), ""
        now = time.monotonic()
        self._renames = TokenBucket(limits.renames_at_once, limits.renames_per_second, now)
        self._runs = TokenBucket(limits.runs_at_once, limits.runs_per_second, now)

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection to the server."""
        return self._connection is not None

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to do in the present run."""
        return self._session is not None and self._session.is_settled

    @property
    def after(self) -> int:
        """The last seq that this client holds of the present run, 0 without one."""
        return self._session.after if self._session is not None else 0

    async def run(self) -> None:
        """Connect and receive, and connect again, until stopped or superseded."""
        # The first attempt of the process counts for every run: a client that was there before a run began has
        # nothing to catch up with.
        self._attempted_us = self._clock.now_us()
        began = time.monotonic()
        while not self._is_done():
            self._refusal = None
            problem = await self._connect_once()
            if self._is_done():
                break
            if problem.is_firm:
                self._backoff.not_before(FIRM_SECONDS)
            delay = self._backoff.next_seconds()
            # The services of one `up` start together, and the server may need a moment longer than its clients.
            is_starting = not self._was_connected and time.monotonic() - began < START_SECONDS
            if not is_starting and problem.may_be_logged(self._retry_log, time.monotonic()):
                extra = {"client": self.name, "server": without_credentials(self._url), "why": problem.why}
                log.warning("not connected", extra=extra | {"retry_s": round(delay, 2)})
            await asyncio.sleep(delay)
        if self._is_superseded and self._session is not None:
            log.warning("another process has this name; this one stops writing", extra={"client": self.name})
            await self._finish("superseded")

    def _is_done(self) -> bool:
        return self._is_superseded or self._is_stopping

    async def _connect_once(self) -> ConnectionProblem:
        """Connect, and receive until the connection ends; return why it ended or could not be made."""
        try:
            async with self._turns:
                limit, name = self._backoff.handshake_seconds, self._first_name
                connection = await connect_to(self._url, self._clock, limit, self._lookup, self._access, name)
            await self._receive(connection)
        except (OSError, WebSocketException) as problem:
            if isinstance(problem, TimeoutError):
                self._backoff.handshake_timed_out()
            return problem_of(problem, has_token=self._access.has_token, uses_tls=self._url.startswith("wss:"))
        except PeerError as problem:
            return ConnectionProblem(f"the server does not speak {wire.SUBPROTOCOL}: {problem}")
        except BadSettings as problem:
            return ConnectionProblem(str(problem), is_firm=True)
        return self._refusal or ConnectionProblem("the server closed the connection")

    async def _receive(self, connection: StampedConnection) -> None:
        self._connection, self._last_message_at = connection, time.monotonic()
        self._pings.connected()
        # Most messages are handled in the call that parses them; only those that have to wait take the queue.
        connection.handle_at_once = self._handle_at_once
        helpers = [asyncio.create_task(work) for work in (self._send_pings(), self._watch(connection))]
        try:
            while True:
                self._is_reading = True
                data = await connection.recv(decode=False)
                self._is_reading, received_ns = False, connection.stamps.pop_ns()
                if self._session is not None:
                    await self._session.room()
                if (frame := self._handle(data, received_ns)) is not None:
                    self._apply_change(frame)
        except ConnectionClosed as closed:
            self._is_superseded |= closed.rcvd is not None and closed.rcvd.code == wire.CLOSE_SUPERSEDED
        finally:
            self._connection, self._is_reading, self._has_asked, self._is_subscribed = None, True, False, False
            self._answered.set()
            # Without a closing handshake: the peer may be gone, and records wait for the next connection.
            connection.transport.abort()
            for helper in helpers:
                helper.cancel()

    def _handle_at_once(self, data: bytes, received_ns: int) -> bool:
        """Handle a message in the call that parses it, if nothing has to be waited for; return whether it was handled.

        A frame that `_apply_change` has to handle must come first in the queue; all later messages wait behind it.
        """
        if not (self._is_reading and self._is_subscribed) or self._session is None or self._session.is_full:
            return False
        return self._handle(data, received_ns) is None

    def _handle(self, data: bytes, received_ns: int) -> wire.FromServer | None:
        """Handle a message; return its frame for `_apply_change` if it changes this client's part in the run."""
        session, self._last_message_at = self._session, time.monotonic()
        try:
            frame, body = wire.decode_from_server(data)
        except PeerError as problem:
            if session is None:
                raise
            session.add_unreadable_frame(problem)
            return None
        if self._pings.add_frame(frame) and self._connection is not None:
            log.warning("server ignores pings", extra={"client": self.name, "seconds": UNANSWERED_SECONDS})
            self._connection.transport.abort()
        match frame:
            case wire.Records() if session is not None and not session.is_sealed and not self._is_stopping:
                session.receive(frame, body, received_ns, self._pings.estimate)
            case wire.Pong():
                if self._pings.add_answer(frame, received_ns):
                    self._subscribe()
            case wire.Recorded() if session is not None:
                session.recorded(frame)
            case wire.Ping():
                self._send(self._pings.answer(frame, received_ns))
            case _:
                return frame
        return None

    def _apply_change(self, frame: wire.FromServer) -> None:
        """Handle a frame that changes this client's part in the run."""
        session = self._session
        match frame:
            case wire.Welcome():
                self._welcomed(frame)
            case wire.Subscribed() if session is not None and not self._is_subscribed:
                self._subscribed(session, frame)
            case wire.End() if session is not None:
                session.sent_through(frame.last)
                self._seal(session)
            case wire.Error():
                self._refused(frame)
            case wire.Bye():
                # A client that came too late for a run reconnects at once: the next run must not begin without it.
                if self._session is not None or frame.reason != "ended":
                    self._backoff.request((frame.retry_ms or 0) / 1000)
                self._is_superseded |= frame.reason == "superseded"

    def _welcomed(self, welcome: wire.Welcome) -> None:
        if welcome.v != wire.VERSION:
            raise PeerError(f"version {welcome.v}; this client knows {wire.VERSION}")
        self._backoff.succeeded()
        self._was_connected = True
        self._has_asked = self._is_subscribed = False
        self._pings.begin(same_kernel=welcome.boot == self._config.boot)
        if self._session is not None and self._session.run != welcome.run:
            self._leave_run(self._session)
        if self._session is None:
            # A run that has ended admits no new clients; one that has logs of it may be served the rest.
            if welcome.state == "ended" and not (self._config.logs / welcome.run / self.name).is_dir():
                self._ask_late(welcome.run)
                return
            self._open_session(welcome.run, welcome.total)
        elif self._session.is_settled:
            return
        self._send(*self._pings.first())

    def _leave_run(self, session: ClientSession) -> None:
        """End the session of a run when the server has begun another."""
        if not self._runs.consume(now := time.monotonic()):
            self._backoff.not_before(self._runs.seconds_until_next(now) + 1 / self._limits.renames_per_second)
            raise PeerError("the server begins run after run, faster than any can be received")
        if session.has_begun:
            session.close_block("end")
            self._seal(session)
        else:
            session.release()
        self._session = None

    def _ask_late(self, run: str) -> None:
        """Ask, once, to take part in a run that has ended: the server refuses, and records that the client was late."""
        if self._late_run != run:
            self._late_run = run
            log.info("run is over, waiting for the next", extra={"client": self.name, "run": run})
            self._send(block_encoder.late_request(run, self.name, self._config))

    def _open_session(self, run: str, total: int) -> None:
        self._session = ClientSession(self.name, run, total, self._config, self._clock, self._attempted_us)
        self._spawn(self._send_receipts(self._session))

    async def _send_receipts(self, session: ClientSession) -> None:
        async for receipt in session.receipts():
            # Otherwise it waits in the session, to be among those that the server lacks at the next subscription.
            if self._is_subscribed and self._session is session:
                self._send(receipt)

    def _seal(self, session: ClientSession, reason: Literal["finished", "superseded"] = "finished") -> None:
        # In the background: a failing disk must not block receiving.
        self._spawn(session.seal(reason))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _subscribe(self) -> None:
        if self._session is not None and not (self._has_asked or self._is_stopping):
            self._has_asked = True
            self._answered.clear()
            self._send(self._session.request())

    def _subscribed(self, session: ClientSession, granted: wire.Subscribed) -> None:
        lacking = session.subscribed(granted.fence, granted.receipted)
        self._is_subscribed = True
        self._answered.set()
        self._send(*lacking)
        extra = {"session": session.session, "first": granted.first, "again": len(lacking)}
        log.info("subscribed", extra={"client": self.name, **extra})

    def _refused(self, error: wire.Error) -> None:
        self._answered.set()
        if error.code == "name_taken" and error.suggest and (session := self._session) is not None:
            if not self._renames.consume(now := time.monotonic()):
                self._give_up_names(session, self._renames.seconds_until_next(now))
                return
            log.warning("name is taken", extra={"client": self.name, "suggest": error.suggest})
            self._leave_name(session)
            self.name, self._has_asked = error.suggest, False
            self._open_session(session.run, session.total)
            self._subscribe()
        elif error.code == "unauthorized":
            self._refusal = ConnectionProblem(error.detail, is_firm=True)
        elif self._retry_log.allow(time.monotonic(), f"refused {self.name}", 1.0):
            log.warning("refused", extra={"client": self.name, "code": error.code, "detail": error.detail})

    def _leave_name(self, session: ClientSession) -> None:
        """End the session under a name that another process has."""
        if session.has_begun:
            # The name was taken while this client was disconnected: its log stays, as evidence.
            session.close_block("shutdown")
            self._seal(session, "superseded")
        else:
            session.release()

    def _give_up_names(self, session: ClientSession, seconds: float) -> None:
        """Disconnect from a server that suggests name after name, and return later under the first name."""
        log.warning("too many names are taken", extra={"client": self.name, "retry_s": round(seconds, 1)})
        self._leave_name(session)
        self._session, self.name = None, self._first_name
        self._backoff.not_before(seconds)
        if self._connection is not None:
            self._connection.transport.abort()

    def _send(self, *frames: wire.Frame) -> None:
        if self._connection is not None:
            for frame in frames:
                self._connection.send_nowait(frame)

    async def _send_pings(self) -> None:
        while True:
            await asyncio.sleep(self._limits.ping_seconds)
            # Subscribe even if the server has not answered the first pings by now: it may answer none.
            if self._session is not None and not self._session.is_settled:
                self._subscribe()
            self._send(self._pings.next())

    async def _watch(self, connection: StampedConnection) -> None:
        """Close blocks for their age although nothing arrives; disconnect when nothing has arrived for too long."""
        while not (self._is_reading and time.monotonic() - self._last_message_at > self._limits.silence_seconds):
            await asyncio.sleep(min(_AGE_CHECK_SECONDS, self._config.block_seconds / 4))
            if self._session is not None and not self._session.is_sealed:
                self._session.close_old_block(self._clock.now_ns())
        log.warning("server is silent", extra={"client": self.name, "seconds": self._limits.silence_seconds})
        connection.transport.abort()

    async def stop(self) -> None:
        """Log and receipt all received records, seal the log and disconnect. Later records are ignored."""
        self._is_stopping = True
        # A server that grants a subscription expects a log of this client, which begins with the grant.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ANSWER_SECONDS):
                await self._answered.wait()
        await self._finish("shutdown")

    async def close(self) -> None:
        """Release tasks and files as they are; only blocks on disk were receipted. For after `stop`, or instead."""
        for task in (tasks := list(self._tasks)):
            task.cancel()
        if self._session is not None:
            self._session.close()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _finish(self, reason: Literal["shutdown", "superseded"]) -> None:
        if (session := self._session) is None:
            return
        session.close_block("shutdown")
        await session.seal(reason)
        # The tasks send the receipts, and the server refuses a receipt after the goodbye.
        await asyncio.gather(*self._tasks)
        if self._is_subscribed:
            self._send(wire.Bye(last=session.durable_through))
        if self._connection is not None:
            await self._connection.end()
