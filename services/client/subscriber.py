"""One client's conversation with the server, over as many connections as it takes."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Literal

from websockets.exceptions import ConnectionClosed, WebSocketException

from services.client import block_encoder
from services.client.backoff import Backoff
from services.client.block_encoder import ClientConditions
from services.client.clock_sync import UNHEARD_SECONDS, PingExchange
from services.client.connection import StampedConnection, connect_to
from services.client.dial import AddressLookup
from services.client.session import ClientSession
from services.contract import wire
from services.contract.errors import PeerError
from services.runtime.clock import Clock
from services.runtime.jsonlogs import RateLimitedLog
from services.runtime.rate_limit import TokenBucket

log = logging.getLogger(__name__)

# The server answers a ping every second, and nothing else tells of a connection that died without a word.
SILENCE_SECONDS = 3.0
_PING_SECONDS = 1.0

RENAMES_AT_ONCE, RENAMES_PER_SECOND = 8, 1 / 30
"""How often this client takes a name that the server suggests: each is a folder."""

RUNS_AT_ONCE, RUNS_PER_SECOND = 16, 1.0
"""How often a server may turn to another run: each is a folder too. Runs of a single record are three seconds apart."""


class Subscriber:
    """Receives every run of a feed under one name, until stopped."""

    def __init__(
        self, name: str, url: str, conditions: ClientConditions, clock: Clock, sparingly: RateLimitedLog
    ) -> None:
        self.name = self._first_name = name
        self._url, self._conditions, self._clock = url, conditions, clock
        self._pings, self._backoff, self._lookup, self._sparingly = (
            PingExchange(clock),
            Backoff(),
            AddressLookup(),
            sparingly,
        )
        self._account: ClientSession | None = None
        self._connection: StampedConnection | None = None
        self._asked = self._granted = self._superseded = self._stopping = False
        self._attempted_us: int | None = None
        # Listening: with nothing that waits for the disk, or without a connection.
        self._heard, self._listening = 0.0, True
        self._sealing: set[asyncio.Task[None]] = set()
        self._came_late = ""
        now = time.monotonic()
        self._renames = TokenBucket(RENAMES_AT_ONCE, RENAMES_PER_SECOND, now)
        self._runs = TokenBucket(RUNS_AT_ONCE, RUNS_PER_SECOND, now)

    @property
    def connected(self) -> bool:
        """Whether the server is there."""
        return self._connection is not None

    async def run(self) -> None:
        """Connect, converse, and connect again, until cancelled or superseded."""
        # Of every run of this process it is the first attempt that counts: who has been there has nothing to catch up.
        self._attempted_us = self._clock.now_us()
        while not self._done():
            try:
                patience = self._backoff.patience_seconds
                await self._converse(await connect_to(self._url, self._clock, patience, self._lookup))
                why = "the server closed the connection"
            except (OSError, WebSocketException) as problem:
                if isinstance(problem, TimeoutError):
                    self._backoff.unanswered()
                why = f"{type(problem).__name__}: {problem}"
            except PeerError as problem:
                why = f"the server does not speak {wire.SUBPROTOCOL}: {problem}"
            if self._done():
                break
            delay = self._backoff.next_seconds()
            if self._sparingly.due(time.monotonic()):
                extra = {"client": self.name, "server": self._url, "why": why, "retry_s": round(delay, 2)}
                log.warning("not connected", extra=extra)
            await asyncio.sleep(delay)
        if self._superseded and self._account is not None:
            log.warning("another process has this name; this one stops writing", extra={"client": self.name})
            await self._finish("superseded")

    def _done(self) -> bool:
        return self._superseded or self._stopping

    async def _converse(self, connection: StampedConnection) -> None:
        self._connection, self._heard = connection, time.monotonic()
        self._pings.connected()
        connection.at_once = self._take_at_once
        helpers = [asyncio.create_task(work) for work in (self._ping(), self._tend(connection))]
        try:
            while True:
                self._listening = True
                data = await connection.recv(decode=False)
                self._listening, received_ns = False, connection.stamps.pop_ns()
                if self._account is not None:
                    await self._account.room()
                if (frame := self._take(data, received_ns)) is not None:
                    self._follow(frame)
        except ConnectionClosed as closed:
            self._superseded |= closed.rcvd is not None and closed.rcvd.code == wire.CLOSE_SUPERSEDED
        finally:
            self._connection, self._listening, self._asked, self._granted = None, True, False, False
            connection.transport.abort()
            for helper in helpers:
                helper.cancel()

    def _take_at_once(self, data: bytes, received_ns: int) -> bool:
        """Take a message as its bytes come, if nothing has to be waited for; return whether it was taken."""
        if not (self._listening and self._granted) or self._account is None or self._account.full:
            return False
        return self._take(data, received_ns) is None

    def _take(self, data: bytes, received_ns: int) -> wire.FromServer | None:
        """Take a message; return its frame, still to be followed, if that changes where this client stands."""
        account, self._heard = self._account, time.monotonic()
        try:
            frame, body = wire.decode_from_server(data)
        except PeerError as problem:
            if account is None:
                raise
            account.unreadable(problem)
            return None
        if self._pings.passed_over(frame) and self._connection is not None:
            log.warning("server hears nothing", extra={"client": self.name, "seconds": UNHEARD_SECONDS})
            self._connection.transport.abort()
        match frame:
            case wire.Records() if account is not None and not account.sealed and not self._stopping:
                account.receive(frame, body, received_ns, self._pings.estimate)
            case wire.Pong():
                if self._pings.sample(frame, received_ns):
                    self._subscribe()
            case wire.Recorded() if account is not None:
                account.recorded(frame)
            case wire.Ping():
                self._say(self._pings.answer(frame, received_ns))
            case _:
                return frame
        return None

    def _follow(self, frame: wire.FromServer) -> None:
        """Take a frame that changes where this client stands in the run."""
        account = self._account
        match frame:
            case wire.Welcome():
                self._welcome(frame)
            case wire.Subscribed() if account is not None:
                self._begin(account, frame)
            case wire.End() if account is not None:
                account.reached(frame.last)
                self._seal(account)
            case wire.Error():
                self._refused(frame)
            case wire.Bye():
                # Who asked in vain for a run that is over comes back at once: the next run must not begin without it.
                if self._account is not None or frame.reason != "ended":
                    self._backoff.wish((frame.retry_ms or 0) / 1000)
                self._superseded |= frame.reason == "superseded"

    def _welcome(self, welcome: wire.Welcome) -> None:
        if welcome.v != wire.VERSION:
            raise PeerError(f"version {welcome.v}; this client knows {wire.VERSION}")
        self._backoff.succeeded()
        self._asked = self._granted = False
        self._pings.begin(same_kernel=welcome.boot == self._conditions.boot)
        if self._account is not None and self._account.run != welcome.run:
            if not self._runs.take(now := time.monotonic()):
                self._backoff.not_before(self._runs.seconds(now) + 1 / RENAMES_PER_SECOND)
                raise PeerError("run after run, faster than any can be played")
            if self._account.begun:
                self._account.close_block("end")
                self._seal(self._account)
            else:
                self._account.release()
            self._account = None
        if self._account is None:
            # Nobody new is admitted to a run that is over; who has logs of it may be served the rest.
            if welcome.state == "ended" and not (self._conditions.logs / welcome.run / self.name).is_dir():
                self._ask_late(welcome.run)
                return
            self._open_account(welcome.run, welcome.total)
        elif self._account.settled:
            return
        self._say(*self._pings.first())

    def _ask_late(self, run: str) -> None:
        """Ask, once, to take part in a run that has ended: it is refused, and entered as too late by the server."""
        if self._came_late != run:
            self._came_late = run
            log.info("run is over, waiting for the next", extra={"client": self.name, "run": run})
            self._say(block_encoder.late_request(run, self.name, self._conditions))

    def _open_account(self, run: str, total: int) -> None:
        def durable(receipt: wire.Receipt) -> None:
            # Before the subscription is granted it waits in the account: it will be among those the server lacks.
            if self._granted and self._account is account:
                self._say(receipt)

        account = self._account = ClientSession(
            self.name, run, total, self._conditions, self._clock, durable, self._attempted_us
        )

    def _seal(self, account: ClientSession, reason: Literal["finished", "superseded"] = "finished") -> None:
        # Beside the conversation: a disk that refuses must not make this client deaf.
        task = asyncio.create_task(account.seal(reason))
        self._sealing.add(task)
        task.add_done_callback(self._sealing.discard)

    def _subscribe(self) -> None:
        if (account := self._account) is not None and not self._asked:
            self._asked = True
            self._say(account.request())

    def _begin(self, account: ClientSession, granted: wire.Subscribed) -> None:
        lacking = account.subscribed(granted.fence, granted.receipted)
        self._granted = True
        self._say(*lacking)
        extra = {"session": account.session, "first": granted.first, "again": len(lacking)}
        log.info("subscribed", extra={"client": self.name, **extra})

    def _refused(self, error: wire.Error) -> None:
        if error.code == "name_taken" and error.suggest and (account := self._account) is not None:
            if not self._renames.take(now := time.monotonic()):
                self._give_up_names(account, self._renames.seconds(now))
                return
            log.warning("name is taken", extra={"client": self.name, "suggest": error.suggest})
            self._leave(account)
            self.name, self._asked = error.suggest, False
            self._open_account(account.run, account.total)
            self._subscribe()
        else:
            log.warning("refused", extra={"client": self.name, "code": error.code, "detail": error.detail})

    def _leave(self, account: ClientSession) -> None:
        """Give up a name that another process has."""
        if account.begun:
            # It was taken while this one was away: what was written under it stays.
            account.close_block("shutdown")
            self._seal(account, "superseded")
        else:
            account.release()

    def _give_up_names(self, account: ClientSession, seconds: float) -> None:
        """Hang up on a server that suggests name after name, and come back later under the first one."""
        log.warning("too many names are taken", extra={"client": self.name, "retry_s": round(seconds, 1)})
        self._leave(account)
        self._account, self.name = None, self._first_name
        self._backoff.not_before(seconds)
        if self._connection is not None:
            self._connection.transport.abort()

    def _say(self, *frames: wire.Frame) -> None:
        if self._connection is not None:
            for frame in frames:
                self._connection.say(frame)

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(_PING_SECONDS)
            # A server that has not answered the first pings by now is subscribed to all the same.
            if self._account is not None and not self._account.settled:
                self._subscribe()
            self._say(self._pings.next())

    async def _tend(self, connection: StampedConnection) -> None:
        """Close blocks for their age, even when nothing comes; when nothing comes for too long, hang up."""
        while not (self._listening and time.monotonic() - self._heard > SILENCE_SECONDS):
            await asyncio.sleep(min(0.1, self._conditions.block_seconds / 4))
            if self._account is not None and not self._account.sealed:
                self._account.close_old_block(self._clock.now_ns())
        log.warning("server is silent", extra={"client": self.name, "seconds": SILENCE_SECONDS})
        connection.transport.abort()

    async def stop(self) -> None:
        """Seal the last block and leave on purpose. Records that still come are not taken, nor said to be."""
        self._stopping = True
        await self._finish("shutdown")

    def abandon(self) -> None:
        """Leave without sealing: the disk refuses, and what it lacks was never receipted."""
        if self._account is not None:
            self._account.abandon()

    async def _finish(self, reason: Literal["shutdown", "superseded"]) -> None:
        if (account := self._account) is None:
            return
        account.close_block("shutdown")
        await account.seal(reason)
        await asyncio.gather(*self._sealing)
        if self._granted:
            self._say(wire.Bye(last=account.durable_through))
        if self._connection is not None:
            await self._connection.end()
