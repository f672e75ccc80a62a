"""Cuts received records into blocks: by count, by time, by bytes. Pure; time is an argument."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Generic, Literal, Protocol, Self, TypeVar

from services.contract import blocklog
from services.contract.rangeset import RangeSet
from services.contract.scalars import MAX_INTEGER, Span


class RecordRun(Protocol):
    """Records with consecutive numbers that arrived together."""

    @property
    def first(self) -> int:
        """Number of the first record."""

    @property
    def last(self) -> int:
        """Number of the last record."""

    @property
    def records(self) -> Sequence[bytes]:
        """The records' bytes, at least one."""

    @property
    def size(self) -> int:
        """Bytes of all records."""

    @property
    def received_ns(self) -> int:
        """Arrival time, epoch nanoseconds."""

    def part(self, start: int, stop: int) -> Self:
        """Return the records from index ``start`` up to, not including, ``stop``."""

    def lines(self) -> bytes:
        """Return the bytes that the block's digest covers: each record followed by a newline."""

    def text(self) -> bytes:
        """Return the messages as JSON objects, each followed by a comma."""


Arrived = TypeVar("Arrived", bound=RecordRun)
ClosedBy = blocklog.ClosedBy | Literal["connection"]


@dataclass
class BlockCut(Generic[Arrived]):
    """The contents of one block; times are epoch nanoseconds.

    Attributes:
        before: the highest seq of earlier blocks.
        number: counted from 1; known once the block is closed.
        idle_ns: time since the block before ended, 0 for the first; known once the block is closed.
        size: bytes of all records.
    """

    before: int
    started_ns: int
    number: int = 0
    idle_ns: int = 0
    ended_ns: int = 0
    first: int = MAX_INTEGER
    last: int = 0
    count: int = 0
    size: int = 0
    parts: list[Arrived] = field(default_factory=list)
    closed_by: ClosedBy = "count"

    def add(self, part: Arrived, size: int) -> None:
        """Add records of ``size`` bytes."""
        self.first, self.last = min(self.first, part.first), max(self.last, part.last)
        self.parts.append(part)
        self.count += len(part.records)
        self.size += size
        self.ended_ns = part.received_ns

    def missing(self) -> list[Span]:
        """Return the seqs that this block does not hold, from after the block before it to its own last.

        If a record arrives late, seqs that earlier blocks hold are among them: so the digest of the block can be
        computed from ``first``, ``last`` and this list alone.
        """
        begin = min(self.first, self.before + 1)
        if self.last - begin + 1 == self.count:
            return []
        return (RangeSet([(begin, self.last)]) - RangeSet((part.first, part.last) for part in self.parts)).spans()


class BlockBuilder(Generic[Arrived]):
    """Collects records, and closes a block when it has its count, its bytes or its time.

    Attributes:
        number: of the last block that was closed, 0 for none.
    """

    def __init__(self, block_size: int, block_bytes: int, block_seconds: float, before: int) -> None:
        self._count, self._bytes = block_size, block_bytes
        self._ns = int(block_seconds * 1_000_000_000)
        self._before = before
        self._open: BlockCut[Arrived] | None = None
        self._previous_end_ns: int | None = None
        self.number = 0

    @property
    def deadline_ns(self) -> int | None:
        """When the open block closes for its age, epoch nanoseconds; None when no block is open."""
        return self._open.started_ns + self._ns if self._open is not None else None

    def add(self, arrived: Arrived) -> Iterator[BlockCut[Arrived]]:
        """Add records that arrived together; yield the blocks that they fill."""
        # Records that arrive after the block's time belong to the next one, even if no timer has fired in between.
        yield from self.close_old(arrived.received_ns)
        start = 0
        while start < len(arrived.records):
            cut = self._open = self._open or BlockCut(self._before, arrived.received_ns)
            part = arrived.part(start, start + self._count - cut.count)
            size = part.size
            if cut.size + size >= self._bytes:
                part = part.part(0, self.fitting(part.records))
                size = part.size
            cut.add(part, size)
            start += len(part.records)
            if cut.count >= self._count:
                yield from self.close("count")
            elif cut.size >= self._bytes:
                yield from self.close("bytes")

    def fitting(self, records: Sequence[bytes]) -> int:
        """Return how many of these records, at least one however long it is, the open block takes until it is full."""
        count, size = (self._open.count, self._open.size) if self._open is not None else (0, 0)
        most = min(len(records), self._count - count)
        if size + sum(map(len, records)) < self._bytes:
            return most
        totals = accumulate(map(len, records[:most]), initial=size)
        return next((index for index, total in enumerate(totals) if index and total >= self._bytes), most)

    def close(self, closed_by: ClosedBy) -> Iterator[BlockCut[Arrived]]:
        """Close the open block and yield it, if there is one."""
        cut, self._open = self._open, None
        if cut is not None and cut.count:
            self.number += 1
            cut.closed_by, cut.number = closed_by, self.number
            cut.idle_ns = cut.started_ns - self._previous_end_ns if self._previous_end_ns is not None else 0
            self._before, self._previous_end_ns = max(self._before, cut.last), cut.ended_ns
            yield cut

    def close_old(self, now_ns: int) -> Iterator[BlockCut[Arrived]]:
        """Close the open block and yield it, if its time is over."""
        if self.deadline_ns is not None and now_ns >= self.deadline_ns:
            yield from self.close("time")
