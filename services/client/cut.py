"""Cuts what was received into blocks: by count, by time, by bytes. Pure; time is an argument."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from services.contract.blocklog import ClosedBy, Message
from services.contract.fields import MAX_INTEGER, Span
from services.contract.ranges import Ranges


@dataclass
class Cut:
    """The messages of one block: ``before`` is the highest seq of earlier blocks, times are epoch nanoseconds."""

    before: int
    started_ns: int
    ended_ns: int = 0
    first: int = MAX_INTEGER
    last: int = 0
    messages: list[Message] = field(default_factory=list)
    size: int = 0
    closed_by: ClosedBy = "count"

    def take(self, part: list[Message], size: int, received_ns: int) -> None:
        """Add messages in ascending order of seq, as they stood in one batch."""
        self.first, self.last = min(self.first, part[0].seq), max(self.last, part[-1].seq)
        self.messages += part
        self.size += size
        self.ended_ns = received_ns

    def missing(self) -> list[Span]:
        """Return the seqs that this block does not hold, from after the one before to its last."""
        begin = min(self.first, self.before + 1)
        if self.last - begin + 1 == len(self.messages):
            return []
        held = Ranges((message.seq, message.seq) for message in self.messages)
        return (Ranges([(begin, self.last)]) - held).spans()


class Cutter:
    """Collects messages and closes a block when it has its count, its bytes or its time."""

    def __init__(self, block_size: int, block_bytes: int, block_seconds: float, before: int) -> None:
        self._count, self._bytes = block_size, block_bytes
        self._ns = int(block_seconds * 1_000_000_000)
        self._before = before
        self._open: Cut | None = None

    @property
    def deadline_ns(self) -> int | None:
        """When the open block closes for its age, epoch nanoseconds; None when no block is open."""
        return self._open.started_ns + self._ns if self._open is not None else None

    def add(self, messages: list[Message], size: int, received_ns: int) -> Iterator[Cut]:
        """Add messages that arrived together, ``size`` bytes of records in all; yield the blocks they fill."""
        if self.deadline_ns is not None and received_ns >= self.deadline_ns:
            yield from self.close("time")
        start = 0
        while start < len(messages):
            cut = self._open = self._open or Cut(self._before, received_ns)
            room = self._count - len(cut.messages)
            part = messages[start : start + room] if start or room < len(messages) else messages
            part_size = size if part is messages else sum(len(bytes(message.record)) for message in part)
            if cut.size + part_size >= self._bytes:
                part, part_size = self._fitting(part, cut.size)
            cut.take(part, part_size, received_ns)
            start += len(part)
            if len(cut.messages) >= self._count:
                yield from self.close("count")
            elif cut.size >= self._bytes:
                yield from self.close("bytes")

    def close(self, closed_by: ClosedBy) -> Iterator[Cut]:
        """Close the open block, if there is one."""
        cut, self._open = self._open, None
        if cut is not None and cut.messages:
            cut.closed_by = closed_by
            self._before = max(self._before, cut.last)
            yield cut

    def _fitting(self, messages: list[Message], size: int) -> tuple[list[Message], int]:
        added = 0
        for place, message in enumerate(messages):
            added += len(bytes(message.record))
            if size + added >= self._bytes:
                return messages[: place + 1], added
        return messages, added
