"""One client's subscription to one run: a cursor into the feed, and what is said about it in the ledger."""

from __future__ import annotations

import math

from services.contract import ledger, wire
from services.server.connections.connection import FeedConnection
from services.server.feed.batch_cache import EncodedBatch
from services.server.runs.run import Run

_STRIDE_AT_LEAST = 32
_STRIDE_FLAT_OUT = 65_536


class Subscription:
    """What the server holds for a client: a cursor. No queue, no copy of the feed."""

    def __init__(self, connection: FeedConnection, run: Run, request: wire.Subscribe, fence: int, now: float) -> None:
        self.connection, self.run, self.fence = connection, run, fence
        self.name, self.instance, self.observe = request.client, request.instance, request.observe
        self.number = request.session
        self.cursor = request.after + 1
        self.sent = request.after
        self.through = 0
        self.ended = False
        self.open = True
        self.cause: ledger.Cause = "lost"
        self.spoke = now
        self._waiting, self._moved = (0, 0), now

    @property
    def ready(self) -> bool:
        """Whether it can be sent to now."""
        return self.open and not self.connection.blocked

    def send(self, batch: EncodedBatch, now: float) -> bool:
        """Send a batch; return whether it went (the ledger must have been written first)."""
        if not self._written_ahead(batch.last):
            return False
        sent_us = self.run.clock.now_us()
        header = wire.Records(
            first=batch.first,
            count=batch.last - batch.first + 1,
            # Flat out there is no schedule: a record is due when it is sent.
            due_us=sent_us if batch.due_us is None else batch.due_us,
            rate=batch.rate,
            sent_us=sent_us,
            crc=batch.crc,
        )
        self.connection.hand_over(wire.records_head(header), batch.body)
        self.cursor = batch.last + 1
        self.sent = max(self.sent, batch.last)
        self.spoke = now
        return True

    def send_end(self, now: float) -> None:
        """Tell the client that it has been sent everything."""
        self.ended, self.spoke = True, now
        self.connection.say(wire.End(last=self.run.book.total, count=self.run.book.total))

    def send_idle(self, now: float) -> None:
        """Tell the client that silence is not the end."""
        self.spoke = now
        self.connection.say(wire.Idle(next=self.cursor, now_us=self.run.clock.now_us()))

    def stalled_seconds(self, now: float) -> float:
        """Return for how long the peer has taken no byte of what waits for it."""
        waiting = (self.connection.buffered if self.connection.blocked else 0, self.sent)
        # Whoever was sent more in between had taken some: a fast peer is found with as much waiting as before.
        if not 0 < self._waiting[0] <= waiting[0] or waiting[1] != self._waiting[1]:
            self._moved = now
        self._waiting = waiting
        return now - self._moved

    def leave(self) -> None:
        """Enter into the ledger that this subscription is over."""
        if not self.open:
            return
        self.open = False
        if self.observe:
            return
        client = self.run.book.clients[self.name]
        self.run.enter(
            ledger.LeaveEntry(
                at=self.run.at(),
                client=self.name,
                fence=self.fence,
                sent=self.sent,
                receipted=client.receipted,
                cause=self.cause,
            )
        )

    def _written_ahead(self, last: int) -> bool:
        if self.observe:
            return True
        if last > self.through:
            stride = max(_STRIDE_AT_LEAST, math.ceil(self.run.rate)) if self.run.rate else _STRIDE_FLAT_OUT
            through = min(self.run.book.total, last + stride)
            entry = ledger.SentEntry(at=self.run.at(), client=self.name, fence=self.fence, through=through)
            self.run.enter(entry)
            self.through = through
        return self.run.ledger.writable
