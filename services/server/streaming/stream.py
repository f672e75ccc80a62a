"""The send loop: whenever records are due, it sends them to every client that can take them.

There is no queue and no task per client. A client is a cursor into the feed; a slow, late or resumed client is an older
cursor, so replay and live sending are the same code.
"""

from __future__ import annotations

import asyncio
import math

from services.contract import wire
from services.runtime.clock import Clock
from services.server.connections.refusals import RefusalCounter
from services.server.feed.batch_cache import BatchCache
from services.server.runs.run import Run
from services.server.streaming.subscription import Subscription

_GOODBYE_SECONDS = 0.2
"""Time for the closing handshake with a client that has moved to another server."""

_AWAIT_SECONDS = 0.005
"""Interval between two looks for records that are due and that their producer has not published yet."""

_IDLE_SECONDS = 1.0
"""After this time without a frame a client is sent an idle frame."""

MIN_REST_SECONDS, _MAX_REST_SECONDS = 0.0002, 0.005
"""Bounds of the pause between two rounds, which lasts as long as the round before. At high rates and with many clients
this makes batches larger instead of rounds more frequent."""

BATCHES_PER_ROUND = 4
"""Batches sent to one client before the others, and the reading of receipts, get their turn."""


class Stream:
    """Sends the feed of the current run to its subscriptions.

    Attributes:
        run: the current run.
        subscriptions: of the run's clients, by name.
        observers: subscriptions that are not in the ledger.
        refusals: counts what this server refused.
        sent_records: records sent so far by this process, counted for each client.
        sent_bytes: bytes of these records.
    """

    def __init__(self, run: Run, clock: Clock) -> None:
        self._clock = clock
        self._wake = asyncio.Event()
        self._next_round_at = 0.0
        self._requested: set[Subscription] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self.refusals = RefusalCounter()
        self.sent_records = 0
        self.sent_bytes = 0
        self.switch_to(run)

    def switch_to(self, run: Run) -> None:
        """Stream another run. Subscriptions to the one before are dropped: their clients subscribe again."""
        self.run = run
        self.subscriptions: dict[str, Subscription] = {}
        self.observers: list[Subscription] = []
        self._requested.clear()
        self._batches = BatchCache(run.feed)
        self._last_head = run.advance()
        run.on_change, run.on_drop, run.on_moved = self.wake, self._drop, self._end_moved
        self.wake()

    def _drop(self, name: str) -> None:
        if name in self.subscriptions:
            self.subscriptions[name].cut("dropped")

    def _end_moved(self, name: str, fence: int) -> None:
        """End a subscription here whose client has subscribed at another server since."""
        subscription = self.subscriptions.get(name)
        if subscription is None or not subscription.is_open or subscription.fence >= fence:
            return
        subscription.leave("superseded")
        subscription.connection.send_frame(wire.Bye(reason="superseded", retry_ms=0))
        closing = asyncio.get_running_loop().create_task(
            subscription.connection.close_within(wire.CLOSE_SUPERSEDED, "superseded", _GOODBYE_SECONDS)
        )
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    def all_subscriptions(self) -> list[Subscription]:
        """Return the subscriptions of clients and observers."""
        return [*self.subscriptions.values(), *self.observers]

    def wake(self) -> None:
        """Begin the next round now: something has changed for all subscriptions."""
        self._next_round_at = 0.0
        self._wake.set()

    def serve_soon(self, subscription: Subscription) -> None:
        """Serve one subscription before the next round, such as a new one or one that is not blocked any more.

        A round for each of them would be too much with thousands of clients.
        """
        self._requested.add(subscription)
        self._wake.set()

    async def play(self) -> None:
        """Send the records that are due, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            now = loop.time()
            if now < self._next_round_at:
                self.serve_requested(now)
            else:
                # A call of `wake` during the round moves this back to 0.
                self._next_round_at = math.inf
                self._requested.clear()
                self._next_round_at = min(self._next_round_at, self._after_rest(now, self.serve_all(now), loop.time()))
            if self._requested or self._next_round_at <= now:
                # Let the loop handle receipts and new connections between two rounds.
                await asyncio.sleep(0)
                continue
            timer = loop.call_at(self._next_round_at, self._wake.set)
            await self._wake.wait()
            timer.cancel()

    @staticmethod
    def _after_rest(began: float, delay: float, ended: float) -> float:
        """Return when the next round begins, ``delay`` seconds after the last one began or after a rest."""
        if delay <= 0:
            return began
        return max(began + delay, ended + min(max(ended - began, MIN_REST_SECONDS), _MAX_REST_SECONDS))

    def serve_requested(self, now: float) -> None:
        """Send due records to the requested subscriptions; those that could take more at once stay requested."""
        head = min(self.run.advance(), self.run.feed.available)
        requested = list(self._requested)
        self._requested.clear()
        for subscription in requested:
            # A subscription to the run before has ended with that run.
            if subscription.run is self.run and self._serve(subscription, head, now) and self.run.ledger.is_writable:
                self._requested.add(subscription)

    def serve_all(self, now: float) -> float:
        """Send due records to all subscriptions; return the seconds until there may be more."""
        now_us = self._clock.now_us()
        due, available = self.run.advance(now_us), self.run.feed.available
        head = min(due, available)
        if head > self._last_head:
            self.run.add_lateness(self._last_head + 1, now_us)
            self._last_head = head
        could_take_more = False
        for subscription in self.all_subscriptions():
            could_take_more |= self._serve(subscription, head, now)
        if could_take_more and self.run.ledger.is_writable:
            return 0.0
        if head < due:
            return _AWAIT_SECONDS
        next_us = self.run.next_due_us(head)
        if next_us is None:
            return _IDLE_SECONDS / 2
        # Never longer than half the idle time, so that idle frames are sent in time.
        return min(max((next_us - now_us) / 1_000_000, MIN_REST_SECONDS), _IDLE_SECONDS / 2)

    def _serve(self, subscription: Subscription, head: int, now: float) -> bool:
        """Send up to `BATCHES_PER_ROUND` batches to one subscription; return whether it could take more at once."""
        for _ in range(BATCHES_PER_ROUND):
            if not subscription.is_ready:
                return False
            if subscription.cursor > head:
                self._send_rest(subscription, now)
                return False
            batch = self._batches.batch(subscription.cursor, head, self.run.schedule)
            if not subscription.send(batch, now):
                return False
            self.sent_records += batch.last - batch.first + 1
            self.sent_bytes += len(batch.body)
        if subscription.is_ready and subscription.cursor > head:
            self._send_rest(subscription, now)
        return subscription.is_ready and subscription.cursor <= head

    def _send_rest(self, subscription: Subscription, now: float) -> None:
        """Send what a subscription gets that has every record that is due: the end, or after a while an idle frame."""
        if subscription.cursor > self.run.total:
            if not subscription.end_was_sent:
                subscription.send_end(now)
        elif now - subscription.last_frame_at >= _IDLE_SECONDS:
            subscription.send_idle(now)

    def cut_stalled(self, now: float, limit_seconds: float) -> None:
        """Cut off every client that has read no byte for longer than the limit; it may come back and resume."""
        for subscription in self.all_subscriptions():
            subscription.update_progress(now)
            if subscription.is_open and subscription.stalled_seconds(now) > limit_seconds:
                self.refusals.count("stalled", "slow client cut off", client=subscription.name, sent=subscription.sent)
                subscription.cut("slow")
