"""Counts the deliveries to one client of a scale benchmark, each in exactly one class. Pure.

A client that writes logs needs several times the memory; this one keeps only a digest of its open block, and sends
receipts for blocks as a logging client does.
"""

from __future__ import annotations

from typing import NamedTuple

from services.contract import wire
from services.contract.rangeset import RangeSet
from services.contract.scalars import digest, digest_text

BLOCK = 10
"""Records per block."""


class DeliveryClasses(NamedTuple):
    """Number of expected deliveries by class; ``duplicates`` are in addition to these."""

    expected: int
    received: int
    corrupt: int
    missing: int
    duplicates: int

    @property
    def residual(self) -> int:
        """Number of deliveries in no class, minus those in two: 0 if the classes add up."""
        return self.expected - self.received - self.corrupt - self.missing

    def plus(self, other: DeliveryClasses) -> DeliveryClasses:
        """Return the sums."""
        return DeliveryClasses(*map(sum, zip(self, other, strict=True)))


class RecordCounter:
    """The records received by one client in a run of ``total`` records, over all its connections."""

    __slots__ = (
        "_block", "_count", "_damaged", "_digest", "_first", "_gaps", "after", "duplicates", "received", "total",
        "unanswered",
    )  # fmt: skip

    def __init__(self, total: int) -> None:
        self.total, self.after = total, 0
        self.received = self.duplicates = 0
        self.unanswered: dict[int, bytes] = {}
        """Receipts that the server has not confirmed yet, by block; they are sent again after a cut."""
        self._gaps, self._damaged = RangeSet(), RangeSet()
        self._block = self._first = self._count = self._digest = 0

    def add(self, header: wire.Records, body: bytes) -> int:
        """Add a received batch; return how many records at its end are new."""
        last = header.first + header.count - 1
        if wire.records_of(header, body) is None:
            self._damaged.add(header.first, last)
            return 0
        if header.first != self.after + 1:
            return self._add_out_of_order(header, body)
        self._add_in_order(header.first, header.count, body)
        return header.count

    def receipt(self) -> bytes | None:
        """Return the receipt of the open block if it is full or the run has ended, otherwise None."""
        if not self._count or (self._count < BLOCK and self.after < self.total):
            return None
        self._block += 1
        receipt_bytes = wire.encode(
            wire.Receipt(
                session=1,
                block=self._block,
                first=self._first,
                last=self.after,
                count=self._count,
                digest=digest_text(self._digest),
                took_ns=0,
            )
        )
        self.unanswered[self._block] = receipt_bytes
        self._count = self._digest = 0
        return receipt_bytes

    def done(self) -> bool:
        """Return whether the last record was received and every receipt was confirmed."""
        return self.after == self.total and not self.unanswered

    def classes(self) -> DeliveryClasses:
        """Return the classes, from three independent sources: received records, gaps, and damaged batches."""
        lost = RangeSet(self._gaps)
        lost.add(self.after + 1, self.total)
        corrupt = (lost & self._damaged).count
        return DeliveryClasses(self.total, self.received, corrupt, lost.count - corrupt, self.duplicates)

    def _add_in_order(self, first: int, count: int, body: bytes) -> None:
        if not self._count:
            self._first = first
        self._digest = digest(body, self._digest)
        self._count += count
        self.received += count
        self.after = first + count - 1

    def _add_out_of_order(self, header: wire.Records, body: bytes) -> int:
        if header.first > self.after:
            # Blocks have consecutive records here: the open block is dropped at the gap, without a receipt.
            self._gaps.add(self.after + 1, header.first - 1)
            self._count = self._digest = 0
            self._add_in_order(header.first, header.count, body)
            return header.count
        again = min(self.after, header.first + header.count - 1)
        late = RangeSet([(header.first, again)]) & self._gaps
        self._gaps = self._gaps - late
        self.received += late.count
        self.duplicates += again - header.first + 1 - late.count
        fresh = header.first + header.count - 1 - again
        if fresh:
            self._add_in_order(again + 1, fresh, b"".join(body.splitlines(keepends=True)[-fresh:]))
        return fresh
