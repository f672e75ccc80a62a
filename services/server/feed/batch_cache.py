"""Batches: consecutive records encoded once, and shared by all clients that need them."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from services.contract.scalars import digest, digest_text
from services.contract.wire import MAX_FRAME
from services.server.feed.generator import FeedGenerator
from services.server.feed.schedule import RateSegment, Schedule

STEP = 768
"""A client that lags gets batches that end at multiples of this, so that others who lag share them."""

MAX_BODY = MAX_FRAME - 1024
_KEPT = 64


class EncodedBatch(NamedTuple):
    """Records ``first`` to ``last``: their lines, and the digest of these."""

    first: int
    last: int
    due_us: int | None
    rate: float
    body: bytes
    crc: str


class BatchCache:
    """Makes batches of one feed, and keeps the latest for the next client."""

    def __init__(self, feed: FeedGenerator) -> None:
        self._feed = feed
        self._kept: OrderedDict[tuple[int, int], tuple[int, bytes, str]] = OrderedDict()
        self._latest: tuple[tuple[int, int, RateSegment], EncodedBatch] | None = None

    def batch(self, first: int, head: int, schedule: Schedule) -> EncodedBatch:
        """Return the batch that begins at ``first``.

        It ends at ``head``, or before: at a multiple of `STEP`, at a change of pace, or where the frame is full.
        """
        # Clients at the head of the feed, which are nearly all, ask for the same one after another.
        asked = (first, head, schedule.stretches[-1])
        if self._latest is None or self._latest[0] != asked:
            self._latest = asked, self._made(first, head, schedule)
        return self._latest[1]

    def _made(self, first: int, head: int, schedule: Schedule) -> EncodedBatch:
        stretch, stretch_last = schedule.stretch_of(first)
        last = min(head, stretch_last, ((first - 1) // STEP + 1) * STEP)
        last, body, crc = self._encoded(first, last)
        rate = stretch.rate or 0
        return EncodedBatch(first, last, schedule.due_us(first) if rate else None, rate, body, crc)

    def _encoded(self, first: int, last: int) -> tuple[int, bytes, str]:
        key = (first, last)
        found = self._kept.get(key)
        if found is None:
            body = self._feed.lines(first, last)
            while len(body) > MAX_BODY:
                last = first + (last - first) // 2
                body = self._feed.lines(first, last)
            found = self._kept[key] = (last, body, digest_text(digest(body)))
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return found
