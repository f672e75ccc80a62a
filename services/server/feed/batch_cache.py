"""Batches of consecutive records, encoded once and shared by all clients that need them."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from services.contract.scalars import digest, digest_text
from services.contract.wire import MAX_FRAME
from services.server.feed.feed import Feed
from services.server.feed.schedule import RateSegment, Schedule

STEP = 768
"""Batches of a client that lags end at multiples of this number, so that other lagging clients share them."""

MAX_BODY = MAX_FRAME - 1024
"""Bytes of records in one batch; the rest of the frame is left to its header."""

_MAX_CACHED = 64


class EncodedBatch(NamedTuple):
    """The records ``first`` to ``last``, ready to be sent.

    Attributes:
        first: seq of the first record.
        last: seq of the last record.
        due_us: due time of the first record, epoch microseconds; None without a schedule.
        rate: records per second; 0 without a schedule.
        body: the records, one line each.
        crc: digest of ``body``.
    """

    first: int
    last: int
    due_us: int | None
    rate: float
    body: bytes
    crc: str


class BatchCache:
    """Encodes batches of one feed and keeps the most recent ones for the next client."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._encoded: OrderedDict[tuple[int, int], tuple[int, bytes, str]] = OrderedDict()
        self._latest: tuple[tuple[int, int, RateSegment], EncodedBatch] | None = None

    def batch(self, first: int, head: int, schedule: Schedule) -> EncodedBatch:
        """Return the batch that begins at ``first``.

        It ends at ``head`` at the latest, and earlier at a multiple of `STEP`, at a change of the rate, or when the
        frame is full.
        """
        # Nearly all clients are at the head of the feed and ask for the same batch one after another.
        key = (first, head, schedule.segments[-1])
        if self._latest is None or self._latest[0] != key:
            self._latest = key, self._make_batch(first, head, schedule)
        return self._latest[1]

    def _make_batch(self, first: int, head: int, schedule: Schedule) -> EncodedBatch:
        # The header of a frame has one rate, so a batch must not reach into the next segment.
        segment, segment_last = schedule.segment_of(first)
        last = min(head, segment_last, ((first - 1) // STEP + 1) * STEP)
        last, body, crc = self._encode(first, last)
        rate = segment.rate or 0
        return EncodedBatch(first, last, schedule.due_us(first) if rate else None, rate, body, crc)

    def _encode(self, first: int, last: int) -> tuple[int, bytes, str]:
        """Return the last seq that fits, the lines and their digest."""
        key = (first, last)
        encoded = self._encoded.get(key)
        if encoded is None:
            body = self._feed.lines(first, last)
            # Large records: halve the batch until it fits. It depends on the key alone, since it is cached under it.
            while len(body) > MAX_BODY:
                last = first + (last - first) // 2
                body = self._feed.lines(first, last)
            encoded = self._encoded[key] = (last, body, digest_text(digest(body)))
            if len(self._encoded) > _MAX_CACHED:
                self._encoded.popitem(last=False)
        return encoded
