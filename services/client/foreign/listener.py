"""One client's conversation with a foreign server, over as many connections as it takes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import time
from typing import Literal

from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.frames import CloseCode

from services.client.backoff import Backoff
from services.client.connection import StampedConnection
from services.client.entries import Conditions
from services.client.foreign import speech
from services.client.foreign.account import ForeignAccount
from services.client.foreign.connect import Gate, connect_to
from services.client.foreign.join import Opened
from services.client.foreign.settings import FeedSettings
from services.contract.fields import utc_us
from services.runtime.clock import Clock
from services.runtime.jsonlogs import Sparingly

log = logging.getLogger(__name__)

_MOST_BACKOFF_SECONDS = 15.0
"""Longer than with a server of our own, whose rush of clients is what it is made for."""


class Listener:
    """Receives one run of a foreign feed under one name, until it is over or stopped."""

    def __init__(
        self,
        name: str,
        settings: FeedSettings,
        run: Opened,
        conditions: Conditions,
        clock: Clock,
        gate: Gate,
        sparingly: Sparingly,
        tls: ssl.SSLContext | None,
    ) -> None:
        self.name, self._settings, self._run, self._clock = name, settings, run, clock
        self._gate, self._sparingly, self._tls = gate, sparingly, tls
        self._conditions = conditions
        self._until_us = utc_us(run.until) if run.until else None
        self._backoff = Backoff(_MOST_BACKOFF_SECONDS)
        self._connection: StampedConnection | None = None
        self._account: ForeignAccount | None = None
        self._connections = 0
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
        self._account = ForeignAccount(self.name, self._run, self._settings.feed, self._conditions, self._clock)
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
                why = await self._attempt()
                if why:
                    await self._wait(why)
            await tending
        finally:
            tending.cancel()
        log.info("run is over", extra={"client": self.name, "run": self._run.run})

    async def _wait(self, why: str) -> None:
        delay = self._backoff.next_seconds()
        if self._sparingly.due(time.monotonic()) and not self._over:
            extra = {"client": self.name, "server": self._settings.reach.shown, "why": why, "retry_s": round(delay, 2)}
            log.warning("not connected", extra=extra)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), delay)

    async def _attempt(self) -> str:
        """Connect once and listen; return why that ended, nothing when the run is over."""
        await self._gate.pass_through()
        try:
            connection = await connect_to(self._settings.reach, self._clock, self._tls)
        except InvalidStatus as refusal:
            return f"the server answered HTTP {refusal.response.status_code}"
        except (OSError, WebSocketException) as problem:
            return f"{type(problem).__name__}: {problem}"
        self._connection = connection
        try:
            return await self._listen(connection)
        except ConnectionClosed as closed:
            return self._why(closed)
        finally:
            self._connection = None
            connection.transport.abort()

    def _why(self, closed: ConnectionClosed) -> str:
        if closed.sent is not None and closed.sent.code == CloseCode.MESSAGE_TOO_BIG:
            return f"a message is longer than FEED_MAX_BYTES={self._settings.reach.max_bytes}"
        return f"the connection was closed: {closed}"

    async def _listen(self, connection: StampedConnection) -> str:
        self._connections += 1
        for said in self._greeting():
            await connection.send(said)
        while not self._over:
            frame = await connection.recv()
            received_ns = connection.stamps.take_ns()
            self._backoff.succeeded()
            await self._take(connection, frame, received_ns)
        return ""

    def _greeting(self) -> list[str | bytes]:
        account, settings = self._account, self._settings
        if account is not None:
            account.connections = self._connections
            last = list(account.sequences.last())
            if settings.resume.lines and (last or (self._connections > 1 and settings.reading.seq is None)):
                return speech.resumption(settings.resume, self.name, last)
        return settings.hello.said(client=self.name)

    async def _take(self, connection: StampedConnection, frame: str | bytes, received_ns: int) -> None:
        manners, data = self._settings.manners, frame.encode() if isinstance(frame, str) else frame
        answer = manners.answer(data)
        if answer is not None:
            if answer:
                await connection.send(answer)
            return
        if manners.passes_over(data):
            return
        async with self._taking:
            if self._account is not None and not self._account.sealed and not self._past(received_ns // 1000):
                heard = self._settings.reading.read(data, binary=isinstance(frame, bytes))
                await self._account.receive(heard, received_ns)

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
                await self._account.close_block("end" if reason == "finished" else "shutdown")
                await self._account.seal(reason)
        if self._connection is not None:
            await self._connection.end()
