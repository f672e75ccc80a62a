"""One client's conversation with a foreign server, over as many connections as it takes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import ssl
import time
from collections.abc import Iterable
from typing import Literal

from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.protocol import State

from services.client.backoff import Backoff
from services.client.block_encoder import ClientConditions
from services.client.connection import StampedConnection
from services.client.external import connection_failure, templates
from services.client.external.connection import ConnectRateLimit, authorization, connect_to, pause, tls_context
from services.client.external.connection_failure import ConnectionFailure
from services.client.external.rendezvous import AgreedRun, join, settings_of
from services.client.external.session import ExternalSession
from services.client.external.settings import FeedSettings
from services.contract.scalars import utc_us
from services.runtime import invocation
from services.runtime.clock import Clock
from services.runtime.errors import BadSettings
from services.runtime.jsonlogs import RateLimitedLog

log = logging.getLogger(__name__)

_MOST_BACKOFF_SECONDS = 15.0
"""Longer than with a server of our own, whose rush of clients is what it is made for."""
_PROVED_SECONDS = 2.0
"""A server that does not want a client says so within a round trip of the handshake, in records too; one that sent a
record and kept the connection for this long wants it, and a client that it cuts off may come back at once."""


class ExternalSubscriber:
    """Receives one run of a foreign feed under one name, until it is over or stopped."""

    def __init__(
        self,
        name: str,
        settings: FeedSettings,
        run: AgreedRun,
        conditions: ClientConditions,
        clock: Clock,
        gate: ConnectRateLimit,
        sparingly: RateLimitedLog,
        tls: ssl.SSLContext | None,
    ) -> None:
        self.name, self._settings, self._run, self._clock = name, settings, run, clock
        self._gate, self._sparingly, self._tls = gate, sparingly, tls
        self._conditions = conditions
        self._until_us = utc_us(run.until) if run.until else None
        self._backoff = Backoff(_MOST_BACKOFF_SECONDS)
        self._connection: StampedConnection | None = None
        self._account: ExternalSession | None = None
        self._opened_at, self._is_useful, self._is_wanted = 0.0, False, False
        self._condition: str | None = None
        self._taking = asyncio.Lock()
        self._ended = asyncio.Event()

    @property
    def connected(self) -> bool:
        """Whether the server is there, or no longer needed."""
        return self._connection is not None or self._over

    @property
    def _over(self) -> bool:
        return self._ended.is_set()

    async def run(self) -> None:
        """Connect, listen, and connect again, until the run is over."""
        self._account = ExternalSession(self.name, self._run, self._settings.feed, self._conditions, self._clock)
        extra = {
            "client": self.name,
            "run": self._run.run,
            "until": self._run.until,
            "feed": self._settings.reach.shown,
        }
        log.info("listening", extra=extra)
        tending = asyncio.create_task(self._tend())
        try:
            while not self._over:
                refused = await self._attempt()
                if refused is not None and not self._over:
                    await self._wait(refused)
            await tending
        finally:
            tending.cancel()
        log.info("run is over", extra={"client": self.name, "run": self._run.run})

    async def _wait(self, refused: ConnectionFailure) -> None:
        if refused.firm:
            self._backoff.longest()
        if refused.retry_after_s is not None:
            self._backoff.not_before(refused.retry_after_s)
        delay = self._backoff.next_seconds()
        if not self._is_useful and (refused.firm or refused.retry_after_s is not None):
            # The other clients of this process would be refused for the same reason.
            self._gate.hold(delay, refused)
        # Told apart by what is wrong: a refusal right after a cut is what the operator has to know.
        if self._sparingly.due(time.monotonic(), str(refused.code)):
            extra = {"client": self.name, "server": self._settings.reach.shown, "why": refused.why}
            log.warning("not connected", extra={**extra, "retry_s": round(delay, 2)})
        await pause(delay, self._ended)

    async def _attempt(self) -> ConnectionFailure | None:
        """Connect once and listen; return why that ended, None when the run is over."""
        await self._gate.pass_through(self._ended, is_wanted=self._is_wanted)
        if self._over:
            return None
        self._is_useful = self._is_wanted = False
        try:
            connection = await connect_to(self._settings.reach, self._clock, self._tls)
        except (OSError, WebSocketException, BadSettings, ValueError) as problem:
            # ValueError: a redirect to an address that is none.
            return await self._failed(problem)
        self._connection, self._opened_at = connection, time.monotonic()
        try:
            await self._listen(connection)
        except ConnectionClosed:
            return await self._lost(connection)
        finally:
            self._connection = None
            connection.transport.abort()
        return None

    async def _listen(self, connection: StampedConnection) -> None:
        async with self._taking:
            if self._account is not None and not self._account.sealed:
                await self._account.opened()
        for said in self._greeting():
            await connection.send(said)
        while not self._over:
            frame = await connection.recv()
            received_ns = connection.stamps.pop_ns()
            await self._take(connection, frame, received_ns)

    async def _lost(self, connection: StampedConnection) -> ConnectionFailure:
        """Note the end of a connection, and the end of the run where that is what it means; return why it ended."""
        async with self._taking:
            refused = await self._enter_closed(connection)
        if self._is_useful and time.monotonic() - self._opened_at >= _PROVED_SECONDS:
            self._backoff.succeeded()
            self._is_wanted = not refused.firm
        condition = self._settings.ending.by_close(refused.code or 0)
        if condition is not None and not self._over:
            self._condition = condition
            await self._finish("finished")
        return refused

    async def _failed(self, problem: Exception) -> ConnectionFailure:
        refused = connection_failure.of_attempt(problem, self._secrets(), self._clock.now_us())
        async with self._taking:
            if self._account is not None and not self._account.sealed:
                self._account.refused(refused.code, refused.reason)
        return refused

    async def _enter_closed(self, connection: StampedConnection) -> ConnectionFailure:
        """Enter the end of a connection that this client did not end, once; to be called while nothing is taken."""
        refused = connection_failure.of_close(connection.protocol, self._settings.reach.max_bytes, self._secrets())
        account = self._account
        if account is not None and account.connections.connected and not account.sealed:
            await account.closed(refused.code or 0, refused.reason)
        return refused

    def _secrets(self) -> list[str]:
        reach, header = self._settings.reach, ""
        with contextlib.suppress(BadSettings):
            header = authorization(reach).get("Authorization", "")
        texts = [*self._settings.hello.lines, *self._settings.resume.lines]
        return connection_failure.secrets_of([reach.url, reach.proxy], header, texts)

    def _greeting(self) -> list[str | bytes]:
        account, settings = self._account, self._settings
        if account is not None:
            last = list(account.sequences.last())
            if settings.resume.lines and (last or (account.connections.count > 1 and settings.reading.seq is None)):
                return templates.resumption(settings.resume, self.name, last)
        return settings.hello.said(client=self.name)

    async def _take(self, connection: StampedConnection, frame: str | bytes, received_ns: int) -> None:
        manners, data = self._settings.manners, frame.encode() if isinstance(frame, str) else frame
        condition = self._settings.ending.by_message(data)
        answer = manners.answer(data)
        if answer and condition is None:
            await connection.send(answer)
        elif answer is None and not manners.passes_over(data):
            condition = await self._receive(data, received_ns, condition, binary=isinstance(frame, bytes))
        if condition is not None and not self._over and not self._past(received_ns // 1000):
            self._condition = condition
            await self._finish("finished")

    async def _receive(self, data: bytes, received_ns: int, condition: str | None, *, binary: bool) -> str | None:
        """Take in the records of a message; return the condition of ``FEED_END`` that is met, None for none.

        A message that meets ``condition`` is only taken in where it is a record as well.
        """
        reading = self._settings.reading
        async with self._taking:
            if self._account is None or self._account.sealed or self._past(received_ns // 1000):
                return condition
            heard = reading.read(data, binary=binary)
            seqs = [one.seq for one in heard if one.seq is not None]
            if condition is not None and not seqs and reading.seq is not None:
                return condition
            self._is_useful = self._is_useful or bool(seqs) or reading.seq is None
            await self._account.receive(heard, received_ns)
            return condition or self._settings.ending.by_records(self._account.received, max(seqs, default=None))

    def _past(self, at_us: int) -> bool:
        return self._until_us is not None and at_us >= self._until_us

    async def _tend(self) -> None:
        """Close blocks for their age; when the run's time is over, seal and hang up."""
        while not self._over and not self._past(self._clock.now_us()):
            await asyncio.sleep(min(0.1, self._conditions.block_seconds / 4))
            async with self._taking:
                if self._account is not None and not self._account.sealed:
                    await self._account.close_old_block(self._clock.now_ns())
        if not self._over:
            await self._finish("finished")

    async def stop(self) -> None:
        """Seal the last block and leave."""
        await self._finish("shutdown")

    def abandon(self) -> None:
        """Leave without sealing: the disk refuses."""
        if self._account is not None:
            self._account.abandon()

    async def _finish(self, reason: Literal["finished", "shutdown"]) -> None:
        self._ended.set()
        async with self._taking:
            if self._account is not None and not self._account.sealed:
                await self._seal(self._account, reason)
        if self._connection is not None:
            await self._connection.end()

    async def _seal(self, account: ExternalSession, reason: Literal["finished", "shutdown"]) -> None:
        if self._connection is not None and self._connection.state is not State.OPEN:
            # The server has ended it, and what it said before is still to be read.
            refused = await self._enter_closed(self._connection)
            self._condition = self._condition or self._settings.ending.by_close(refused.code or 0)
        if (held_for := self._gate.held_for) is not None:
            account.connections.held_back(held_for.code, held_for.reason)
        await account.close_block("end" if reason == "finished" else "shutdown")
        if self._condition is not None:
            log.info("the feed has ended", extra={"client": self.name, "condition": self._condition})
            account.ended(self._condition)
        await account.seal(reason)


async def listeners(
    settings: FeedSettings, clients: Iterable[tuple[str, ClientConditions]], clock: Clock, sparingly: RateLimitedLog
) -> list[ExternalSubscriber]:
    """Return the listeners of this process, after the run has been joined or opened.

    Raises:
        BadSettings: a file that they name cannot be used.
        OSError: the folder of the logs refuses.
    """
    tls = tls_context(settings.reach)
    authorization(settings.reach)
    every = list(clients)
    logs = every[0][1].logs
    shared, invoked_by = settings_of(os.environ), invocation.current(os.environ)
    run = await asyncio.to_thread(
        join, logs, settings.reach.shown, settings.seconds, clock.now_us(), shared, invoked_by
    )
    if not run.is_on(clock.now_us()):
        # What crashed and was not back in time stays as it is, which is lost; who never came leaves a log that says so.
        every = [(name, conditions) for name, conditions in every if not (logs / run.run / name).exists()]
        log.warning("the run is over", extra={"run": run.run, "too_late": [name for name, _ in every]})
    gate = ConnectRateLimit(settings.reach.connects_per_second)
    return [
        ExternalSubscriber(name, settings, run, conditions, clock, gate, sparingly, tls) for name, conditions in every
    ]
