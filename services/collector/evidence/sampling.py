"""How far apart the clients received the same record, sampled evenly and in bounded memory."""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Iterable, Mapping

import msgspec

from services.collector.evidence.client_groups import Groups
from services.collector.evidence.external_evidence import SequenceName
from services.contract.blocklog import AnyBlock, ExternalMessage
from services.contract.histogram import Histogram
from services.contract.timeline import MOST_BARS, MOST_BLOCKS, Bar

MOST = 2048
"""Seqs kept at a time. The stride is the smallest power of two that keeps no more."""
SEVERAL = ""
"""Stands for more than one client; no client has this name."""


class SpreadSample:
    """First and last receipt of every ``stride``-th record.

    The stride depends on the highest seq alone, and a coarser one only drops samples: so whatever the order in
    which clients and blocks are read, the same samples remain.
    """

    def __init__(self) -> None:
        self._stride = 1
        self._seen: dict[int, tuple[int, int, str]] = {}

    def stride(self, last: int) -> int:
        """Return which seqs to hand to `take`, the multiples of this, once ``last`` is the highest seq logged."""
        if last > self._stride * MOST:
            while last > self._stride * MOST:
                self._stride *= 2
            self._seen = {seq: times for seq, times in self._seen.items() if not seq % self._stride}
        return self._stride

    def take(self, client: str, received: Iterable[tuple[int, int]]) -> None:
        """Note when a client received records: pairs of seq and epoch microseconds."""
        seen = self._seen
        for seq, at_us in received:
            first, latest, who = seen.get(seq, (at_us, at_us, client))
            seen[seq] = (min(first, at_us), max(latest, at_us), who if who == client else SEVERAL)

    def histogram(self) -> Histogram:
        """Return the durations from first to last client, of the records that more than one client logged."""
        result = Histogram()
        result.record([(last - first) * 1000 for first, last, who in self._seen.values() if who == SEVERAL])
        return result


MOST_SHARED = 2048
"""Records kept: those whose digests are lowest. Which these are depends on what was received alone."""


class ExternalSpreadSample:
    """First and last receipt of some records, by the clients that received them."""

    def __init__(self) -> None:
        self._seen: dict[int, dict[str, int | None]] = {}
        self._keys: dict[int, SequenceName] = {}
        self._limit = 2**32

    def take(self, client: str, messages: Iterable[ExternalMessage], moments: Mapping[str, int]) -> None:
        """Note when a client received messages; ``moments`` are their times, epoch microseconds."""
        for message in messages:
            known = zlib.crc32(message.record, zlib.crc32(f"{message.key}/{message.seq}".encode()))
            if known >= self._limit:
                continue
            receipts = self._seen.setdefault(known, {})
            if message.key is not None:
                self._keys[known] = message.key
            # One that a client received twice says nothing: which of the two was it?
            receipts[client] = None if client in receipts else moments[message.received_at]
        if len(self._seen) > 2 * MOST_SHARED:
            self._thin()

    def histogram(self, groups: Groups | None = None) -> Histogram:
        """Return the durations from first to last client, of the records that more than one received once.

        Records of clients that are apart in ``groups`` are not one record, even where they are equal.
        """
        self._thin()
        result = Histogram()
        every = (moments for known, receipts in self._seen.items() for moments in self._of(known, receipts, groups))
        known = [[at for at in moments if at is not None] for moments in every if None not in moments]
        result.record([(max(moments) - min(moments)) * 1000 for moments in known if len(moments) > 1])
        return result

    def _of(self, known: int, receipts: dict[str, int | None], groups: Groups | None) -> list[list[int | None]]:
        key = self._keys.get(known)
        if groups is None or key not in groups.divided:
            return [list(receipts.values())]
        found: dict[int, list[int | None]] = {}
        for client, at_us in receipts.items():
            found.setdefault(groups.group(key, client), []).append(at_us)
        return list(found.values())

    def _thin(self) -> None:
        if len(self._seen) > MOST_SHARED:
            kept = sorted(self._seen)[:MOST_SHARED]
            self._seen = {known: self._seen[known] for known in kept}
            self._keys = {known: self._keys[known] for known in kept if known in self._keys}
            self._limit = kept[-1] + 1


LEAST_BLOCKS = 16
"""A lane has room for so many blocks, however many clients there are."""
_FIELDS = len(Bar.__struct_fields__)


class BlockSampleLimit:
    """How many blocks of a client are kept: the more clients, the fewer of each."""

    def __init__(self) -> None:
        self.most = MOST_BLOCKS
        self._all: list[BlockSample] = []

    def share(self, newcomer: BlockSample) -> None:
        """Make room for another client."""
        self._all.append(newcomer)
        while self.most > LEAST_BLOCKS and self.most * len(self._all) > MOST_BARS:
            self.most //= 2
            for bars in self._all:
                bars.thin()


class BlockSample:
    """The blocks of one client: every one whose number is a multiple of ``stride``."""

    def __init__(self, room: BlockSampleLimit) -> None:
        self.stride = 1
        self._room = room
        self._highest: dict[int, int] = {}
        self._kept = 0
        self._rows = array("q")
        self._bars: list[Bar] | None = None

    def take(self, block: AnyBlock, start_us: int) -> None:
        """Take a block whose first message came at ``start_us``, on the server's clock."""
        if not self._highest:
            self._room.share(self)
        number, stride, before = block.block, self.stride, self._highest.get(block.session, 0)
        if number > before:
            self._highest[block.session] = number
            self._kept += number // stride - before // stride
            if self._kept > self._room.most:
                self.thin()
        if not number % self.stride:
            row = (block.session, number, start_us, block.duration_ns, *block.positions, block.count)
            self._rows.extend(row)
            self._bars = None

    def thin(self) -> None:
        """Drop as many blocks as are too many for the room that there is."""
        stride = self.stride
        while self._kept > self._room.most:
            self.stride *= 2
            self._kept = sum(highest // self.stride for highest in self._highest.values())
        if self.stride > stride:
            self._bars = None
            rows = self._table()
            self._rows = array("q", [value for row in rows if not row[1] % self.stride for value in row])

    def bars(self) -> list[Bar]:
        """Return the blocks that are kept, by session and number."""
        if self._bars is None:
            # Of a block that stands in the log with different contents one is told.
            rows = {row[:2]: row for row in sorted(self._table(), reverse=True)}
            self._bars = msgspec.convert([rows[key] for key in sorted(rows)], list[Bar])
        return self._bars

    def _table(self) -> list[tuple[int, ...]]:
        return list(zip(*[iter(self._rows)] * _FIELDS, strict=True))
