"""The one loop that sends: whenever something is due, every client that can take it gets it.

There is no queue and no task per client: a client is a cursor, and a slow, late or resumed one is an older cursor.
"""

from __future__ import annotations

import asyncio
import math

from services.runtime.clock import Clock
from services.server.connections.refusals import RefusalCounter
from services.server.feed.batch_cache import BatchCache
from services.server.runs.run import Run
from services.server.streaming.subscription import Subscription

_IDLE_SECONDS = 1.0
_LEAST_REST_SECONDS, _MOST_REST_SECONDS = 0.0002, 0.005
"""Between two turns of the loop it rests for as long as the last one took, within these bounds: at high rates, and for
many clients, records are batched instead."""

_BATCHES_A_TURN = 4
"""To one client, before the others and the readers get their turn."""


class Stream:
    """Sends the feed of the current run to its sessions."""

    def __init__(self, run: Run, clock: Clock) -> None:
        self._clock = clock
        self._wake = asyncio.Event()
        self._turn_at = 0.0
        self._called: set[Subscription] = set()
        self.refusals = RefusalCounter()
        self.delivered = 0
        self.sent_bytes = 0
        self.begin(run)

    def begin(self, run: Run) -> None:
        """Turn to a run. Sessions of the one before are forgotten: their clients subscribe again."""
        self.run = run
        self.sessions: dict[str, Subscription] = {}
        self.observers: list[Subscription] = []
        self._called.clear()
        self._batches = BatchCache(run.feed)
        self._frontier = run.head()
        run.on_change = self.wake
        self.wake()

    def wake(self) -> None:
        """Look again now at everybody: something has changed."""
        self._turn_at = 0.0
        self._wake.set()

    def call(self, session: Subscription) -> None:
        """Look again now at this one alone: a turn for each that comes or catches up is too much with thousands."""
        self._called.add(session)
        self._wake.set()

    async def play(self) -> None:
        """Send what is due, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            now = loop.time()
            if now < self._turn_at:
                self.serve_called(now)
            else:
                # Whoever wakes the stream during the turn moves this back to now.
                self._turn_at = math.inf
                self._called.clear()
                self._turn_at = min(self._turn_at, self._rested(now, self.turn(now), loop.time()))
            if self._called or self._turn_at <= now:
                await asyncio.sleep(0)
                continue
            timer = loop.call_at(self._turn_at, self._wake.set)
            await self._wake.wait()
            timer.cancel()

    @staticmethod
    def _rested(began: float, delay: float, ended: float) -> float:
        """Return when the next turn is, for which the last one said how long to wait."""
        if delay <= 0:
            return began
        return max(began + delay, ended + min(max(ended - began, _LEAST_REST_SECONDS), _MOST_REST_SECONDS))

    def serve_called(self, now: float) -> None:
        """Send what can be sent to the sessions that were called; those that could take more at once stay called."""
        head = self.run.head()
        called = list(self._called)
        self._called.clear()
        for session in called:
            # One of the run before is over with it.
            if session.run is self.run and self._serve(session, head, now) and self.run.ledger.writable:
                self._called.add(session)

    def turn(self, now: float) -> float:
        """Send what can be sent; return after how many seconds there may be more."""
        now_us = self._clock.now_us()
        head = self.run.head(now_us)
        self._note_lateness(head, now_us)
        more = False
        for session in [*self.sessions.values(), *self.observers]:
            more |= self._serve(session, head, now)
        if more and self.run.ledger.writable:
            return 0.0
        next_us = self.run.next_us(head)
        if next_us is None:
            return _IDLE_SECONDS / 2
        return min(max((next_us - now_us) / 1_000_000, _LEAST_REST_SECONDS), _IDLE_SECONDS / 2)

    def _serve(self, session: Subscription, head: int, now: float) -> bool:
        """Send to one session; return whether it could take more at once."""
        for _ in range(_BATCHES_A_TURN):
            if session.cursor > head or not session.ready:
                break
            batch = self._batches.batch(session.cursor, head, self.run.book.schedule)
            if not session.send(batch, now):
                return False
            self.delivered += batch.last - batch.first + 1
            self.sent_bytes += len(batch.body)
        if session.ready and session.cursor > head:
            if session.cursor > self.run.book.total:
                if not session.ended:
                    session.send_end(now)
            elif now - session.spoke >= _IDLE_SECONDS:
                session.send_idle(now)
        return session.ready and session.cursor <= head

    def _note_lateness(self, head: int, now_us: int) -> None:
        if head > self._frontier:
            due_us = self.run.book.schedule.due_us(self._frontier + 1)
            if due_us is not None and self.run.rate:
                self.run.lateness.record([(now_us - due_us) * 1000])
            self._frontier = head

    def cut_stalled(self, now: float, limit_seconds: float) -> None:
        """Cut off every client that has taken no byte for longer than the limit; it may come back and resume."""
        for session in [*self.sessions.values(), *self.observers]:
            if session.open and session.stalled_seconds(now) > limit_seconds:
                self.refusals.note("stalled", "slow client cut", client=session.name, sent=session.sent)
                session.cause = "slow"
                session.connection.transport.abort()
