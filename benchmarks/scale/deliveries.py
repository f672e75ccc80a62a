"""What one client of a scale benchmark holds, and the books of its deliveries: each is in exactly one class. Pure.

A client that writes logs needs several times the memory; this one keeps a digest of what it was sent, and receipts it
in blocks as a logging client does.
"""

from __future__ import annotations

from typing import NamedTuple

from services.contract import wire
from services.contract.rangeset import RangeSet
from services.contract.scalars import digest, digest_text

BLOCK = 10
"""Records after which a block is receipted."""


class Books(NamedTuple):
    """Every delivery that was due, in the one class it ended in; ``duplicates`` came on top of these."""

    expected: int
    received: int
    corrupt: int
    missing: int
    duplicates: int

    @property
    def residual(self) -> int:
        """How many deliveries are in no class, or in two: 0 when the books are closed."""
        return self.expected - self.received - self.corrupt - self.missing

    def plus(self, other: Books) -> Books:
        """Return both together."""
        return Books(*map(sum, zip(self, other, strict=True)))


class Taker:
    """One client's end of a run of ``total`` records, over all its connections."""

    __slots__ = (
        "_block", "_count", "_damaged", "_digest", "_first", "_gaps", "after", "duplicates", "received", "total",
        "unanswered",
    )  # fmt: skip

    def __init__(self, total: int) -> None:
        self.total, self.after = total, 0
        self.received = self.duplicates = 0
        self.unanswered: dict[int, bytes] = {}
        """The receipts that were not answered yet, by block: they are sent again after a cut."""
        self._gaps, self._damaged = RangeSet(), RangeSet()
        self._block = self._first = self._count = self._digest = 0

    def take(self, header: wire.Records, body: bytes) -> int:
        """Count a batch that came; return how many records of it, at its end, are new."""
        last = header.first + header.count - 1
        if wire.records_of(header, body) is None:
            self._damaged.add(header.first, last)
            return 0
        if header.first != self.after + 1:
            return self._take_out_of_order(header, body)
        self._hold(header.first, header.count, body)
        return header.count

    def receipt(self) -> bytes | None:
        """Return the receipt of the open block once it is full or at the end of the run, None before that."""
        if not self._count or (self._count < BLOCK and self.after < self.total):
            return None
        self._block += 1
        said = wire.encode(
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
        self.unanswered[self._block] = said
        self._count = self._digest = 0
        return said

    def done(self) -> bool:
        """Tell whether it holds the end of the run and every receipt was answered."""
        return self.after == self.total and not self.unanswered

    def books(self) -> Books:
        """Return the classes, from three sources: what was counted as it came, the gaps, and what was damaged."""
        lost = RangeSet(self._gaps)
        lost.add(self.after + 1, self.total)
        corrupt = len(lost & self._damaged)
        return Books(self.total, self.received, corrupt, len(lost) - corrupt, self.duplicates)

    def _hold(self, first: int, count: int, body: bytes) -> None:
        if not self._count:
            self._first = first
        self._digest = digest(body, self._digest)
        self._count += count
        self.received += count
        self.after = first + count - 1

    def _take_out_of_order(self, header: wire.Records, body: bytes) -> int:
        if header.first > self.after:
            # A block is of consecutive records here: the open one ends before the gap, and nobody receipts that.
            self._gaps.add(self.after + 1, header.first - 1)
            self._count = self._digest = 0
            self._hold(header.first, header.count, body)
            return header.count
        again = min(self.after, header.first + header.count - 1)
        late = RangeSet([(header.first, again)]) & self._gaps
        self._gaps = self._gaps - late
        self.received += len(late)
        self.duplicates += again - header.first + 1 - len(late)
        fresh = header.first + header.count - 1 - again
        if fresh:
            self._hold(again + 1, fresh, b"".join(body.splitlines(keepends=True)[-fresh:]))
        return fresh
