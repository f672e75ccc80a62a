"""Cuts what was received into blocks: by count, by time, by bytes. Pure; time is an argument."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Generic, Protocol, Self, TypeVar

from services.contract.blocklog import ClosedBy
from services.contract.rangeset import RangeSet
from services.contract.scalars import MAX_INTEGER, Span


class RecordRun(Protocol):
    """Records that arrived together, numbered one after the other."""

    @property
    def first(self) -> int:
        """Number of the first."""

    @property
    def last(self) -> int:
        """Number of the last."""

    @property
    def records(self) -> Sequence[bytes]:
        """Their bytes, at least one."""

    @property
    def size(self) -> int:
        """Bytes of all of them."""

    @property
    def received_ns(self) -> int:
        """When they arrived, epoch nanoseconds."""

    def part(self, start: int, stop: int) -> Self:
        """Return those from place ``start`` up to, not including, ``stop``."""

    def lines(self) -> bytes:
        """Return the records as their digest covers them, each followed by a newline."""

    def text(self) -> bytes:
        """Return the messages as they stand in a block, each followed by a comma."""


Arrived = TypeVar("Arrived", bound=RecordRun)


@dataclass
class BlockCut(Generic[Arrived]):
    """What one block will hold: times are epoch nanoseconds.

    Attributes:
        before: the highest seq of earlier blocks.
        number: counted from 1; known once the block is closed.
        idle_ns: since the block before ended, 0 for the first; likewise.
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

    def take(self, part: Arrived, size: int) -> None:
        """Add records of ``size`` bytes."""
        self.first, self.last = min(self.first, part.first), max(self.last, part.last)
        self.parts.append(part)
        self.count += len(part.records)
        self.size += size
        self.ended_ns = part.received_ns

    def missing(self) -> list[Span]:
        """Return the seqs that this block does not hold, from after the one before to its last."""
        begin = min(self.first, self.before + 1)
        if self.last - begin + 1 == self.count:
            return []
        return (RangeSet([(begin, self.last)]) - RangeSet((part.first, part.last) for part in self.parts)).spans()


class BlockBuilder(Generic[Arrived]):
    """Collects records and closes a block when it has its count, its bytes or its time."""

    def __init__(self, block_size: int, block_bytes: int, block_seconds: float, before: int) -> None:
        self._count, self._bytes = block_size, block_bytes
        self._ns = int(block_seconds * 1_000_000_000)
        self._before = before
        self._open: BlockCut[Arrived] | None = None
        self._previous_end_ns: int | None = None
        self.number = 0
        """Of the last block that was closed, 0 for none."""

    @property
    def deadline_ns(self) -> int | None:
        """When the open block closes for its age, epoch nanoseconds; None when no block is open."""
        return self._open.started_ns + self._ns if self._open is not None else None

    def add(self, arrived: Arrived) -> Iterator[BlockCut[Arrived]]:
        """Add records that arrived together; yield the blocks they fill."""
        yield from self.close_old(arrived.received_ns)
        start = 0
        while start < len(arrived.records):
            cut = self._open = self._open or BlockCut(self._before, arrived.received_ns)
            part = arrived.part(start, start + self._count - cut.count)
            size = part.size
            if cut.size + size >= self._bytes:
                part, size = self._fitting(part, cut.size)
            cut.take(part, size)
            start += len(part.records)
            if cut.count >= self._count:
                yield from self.close("count")
            elif cut.size >= self._bytes:
                yield from self.close("bytes")

    def close(self, closed_by: ClosedBy) -> Iterator[BlockCut[Arrived]]:
        """Close the open block, if there is one."""
        cut, self._open = self._open, None
        if cut is not None and cut.count:
            self.number += 1
            cut.closed_by, cut.number = closed_by, self.number
            cut.idle_ns = cut.started_ns - self._previous_end_ns if self._previous_end_ns is not None else 0
            self._before, self._previous_end_ns = max(self._before, cut.last), cut.ended_ns
            yield cut

    def close_old(self, now_ns: int) -> Iterator[BlockCut[Arrived]]:
        """Close the open block if its time is over."""
        if self.deadline_ns is not None and now_ns >= self.deadline_ns:
            yield from self.close("time")

    def _fitting(self, part: Arrived, size: int) -> tuple[Arrived, int]:
        """Return the first records, up to the one that fills a block which has ``size`` bytes, and their bytes."""
        for place, reached in enumerate(accumulate(map(len, part.records), initial=size)):
            if place and reached >= self._bytes:
                return part.part(0, place), reached - size
        return part, part.size
