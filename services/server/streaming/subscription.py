"""One client's subscription to one run: a cursor into the feed, and its entries in the ledger."""

from __future__ import annotations

import math

from services.contract import ledger, wire
from services.server.connections.connection import FeedConnection
from services.server.feed.batch_cache import EncodedBatch
from services.server.runs.run import Run

# At low rates one second has few records, and the ledger would get an entry for each few of them.
MIN_STRIDE = 32
# At rate 0 there is no second's number of records; an entry in 65,536 is rare at any speed.
FLAT_OUT_STRIDE = 65_536


class Subscription:
    """A cursor into the feed: no queue and no copy of records is kept for a client.

    Before records are sent, the ledger has an entry that they may have been sent. To keep the ledger small, an entry
    claims a stride of about one second's records ahead.

    Attributes:
        name: of the client.
        instance: identity of its process.
        session_number: of its block log.
        is_observer: an observer receives the feed but is not in the ledger.
        fence: number of the subscription, which rises within a run; 0 for an observer.
        first: seq of the first record to send.
        cursor: seq of the next record to send.
        sent: last seq that was sent.
        recorded_through: last seq that the ledger allows to send.
        repeated_receipts: number of receipts that the ledger had already.
        is_open: False once it has ended.
        end_was_sent: whether the client was sent the end of the run.
        cause: why the subscription ends, for the ledger.
        began_at: when it was granted, monotonic seconds.
        last_frame_at: when the last frame was sent, monotonic seconds.
    """

    def __init__(self, connection: FeedConnection, run: Run, request: wire.Subscribe, fence: int, now: float) -> None:
        self.connection, self.run, self.fence = connection, run, fence
        self.name, self.instance, self.is_observer = request.client, request.instance, request.observe
        self.session_number = request.session
        self.first = self.cursor = request.after + 1
        self.sent = request.after
        self.recorded_through = self.repeated_receipts = 0
        self.end_was_sent = False
        self.is_open = True
        # Holds unless another cause is set before the connection ends.
        self.cause: ledger.Cause = "lost"
        self.began_at = self.last_frame_at = now
        self._last_progress, self._progressed_at = (0, 0), now

    @property
    def is_ready(self) -> bool:
        """Whether records can be sent to it now."""
        return self.is_open and not self.connection.is_blocked

    def send(self, batch: EncodedBatch, now: float) -> bool:
        """Send a batch; return False, and send nothing, while the ledger cannot be written."""
        if not self._record_ahead(batch.last):
            return False
        sent_us = self.run.clock.now_us()
        header = wire.Records(
            first=batch.first,
            count=batch.last - batch.first + 1,
            # At rate 0 there is no schedule: a record is due when it is sent.
            due_us=sent_us if batch.due_us is None else batch.due_us,
            rate=batch.rate,
            sent_us=sent_us,
            crc=batch.crc,
        )
        self.connection.send_pieces(wire.records_head(header), batch.body)
        self.cursor = batch.last + 1
        self.sent = max(self.sent, batch.last)
        self.last_frame_at = now
        return True

    def _record_ahead(self, last: int) -> bool:
        """Record that records through ``last`` may be sent; return whether the ledger has it."""
        if self.is_observer:
            return True
        if last > self.recorded_through:
            rate = self.run.recorded_rate
            stride = max(MIN_STRIDE, math.ceil(rate)) if rate else FLAT_OUT_STRIDE
            through = min(self.run.total, last + stride)
            self.run.append(ledger.SentEntry(at=self.run.at(), client=self.name, fence=self.fence, through=through))
            self.recorded_through = through
        return self.run.ledger.is_writable

    def send_end(self, now: float) -> None:
        """Send the end of the run: the client has been sent every record."""
        self.end_was_sent, self.last_frame_at = True, now
        self.connection.send_frame(wire.End(last=self.run.total, count=self.run.total))

    def send_idle(self, now: float) -> None:
        """Send the next seq and the time, so that the client can distinguish a quiet feed from a lost server."""
        self.last_frame_at = now
        self.connection.send_frame(wire.Idle(next=self.cursor, now_us=self.run.clock.now_us()))

    def update_progress(self, now: float) -> None:
        """Compare the bytes that wait for the peer with those at the last call; `stalled_seconds` counts from there."""
        progress = (self.connection.buffered if self.connection.is_blocked else 0, self.sent)
        # If more was sent meanwhile, the peer has read some even when as many bytes wait as before.
        if not 0 < self._last_progress[0] <= progress[0] or progress[1] != self._last_progress[1]:
            self._progressed_at = now
        self._last_progress = progress

    def stalled_seconds(self, now: float) -> float:
        """Return how long the peer has read none of the bytes that wait for it, by the last `update_progress`."""
        return now - self._progressed_at

    def cut(self, cause: ledger.Cause) -> None:
        """Disconnect the client at once; the connection's handler then records the end with this cause."""
        self.cause = cause
        self.connection.abort()

    def leave(self, cause: ledger.Cause | None = None) -> None:
        """End the subscription and record it; do nothing if it has ended already.

        Args:
            cause: why; None keeps the cause that was set before.
        """
        if not self.is_open:
            return
        self.cause = cause or self.cause
        self.is_open = False
        if self.is_observer:
            return
        self.run.append(
            ledger.LeaveEntry(
                at=self.run.at(),
                client=self.name,
                fence=self.fence,
                sent=self.sent,
                receipted=self.run.recorded.clients[self.name].receipted,
                cause=self.cause,
            )
        )
