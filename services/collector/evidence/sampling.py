"""Samples of the delay between clients and of blocks, in bounded memory. The order of reading does not matter."""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Iterable, Mapping

import msgspec

from services.collector.evidence.comparison.client_groups import Groups
from services.collector.evidence.numbers.number_ranges import SequenceName
from services.contract.blocklog import AnyBlock, ExternalMessage
from services.contract.histogram import Histogram
from services.contract.timeline import MOST_BARS, MOST_BLOCKS, Bar

MOST = 2048
"""Most records in a `SpreadSample`: the stride is the smallest power of two that keeps no more."""
SEVERAL = ""
"""In place of a client's name: more than one client received the record."""


class SpreadSample:
    """First and last receipt of every ``stride``-th record.

    The stride depends on the highest seq alone, and a coarser one only drops samples. So the order in which clients
    and blocks are read does not matter.
    """

    def __init__(self, stride: int = 1, seen: dict[int, tuple[int, int, str]] | None = None) -> None:
        self._stride = stride
        self._seen = {} if seen is None else seen

    def stride(self, last: int) -> int:
        """Return the stride if ``last`` is the highest seq so far. Only records with a multiple of it may be added."""
        if last > self._stride * MOST:
            while last > self._stride * MOST:
                self._stride *= 2
            self._seen = {seq: times for seq, times in self._seen.items() if not seq % self._stride}
        return self._stride

    def add(self, client: str, received: Iterable[tuple[int, int]]) -> None:
        """Add the receipts of a client: pairs of seq and epoch microseconds."""
        seen = self._seen
        for seq, at_us in received:
            known = seen.get(seq)
            if known is None:
                seen[seq] = (at_us, at_us, client)
                continue
            first, latest, name = known
            # With many clients most receipts are between the first one and the last one so far, and change nothing.
            if name not in (client, SEVERAL) or not first <= at_us <= latest:
                seen[seq] = (min(first, at_us), max(latest, at_us), name if name == client else SEVERAL)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SpreadSample) and (self._stride, self._seen) == (other._stride, other._seen)

    __hash__ = None  # type: ignore[assignment]  # it grows while a run is read

    def rows(self) -> list[tuple[int, int, int, str]]:
        """Return the sampled records by seq: first and last receipt in epoch microseconds, and the client's name."""
        return [(seq, *times) for seq, times in sorted(self._seen.items())]

    def copy(self) -> SpreadSample:
        """Return a copy, which does not change when more is added here."""
        return SpreadSample(self._stride, self._seen.copy())

    def merged(self, other: SpreadSample) -> SpreadSample:
        """Return the sample of a run from the samples of two parts of it."""
        # Strides are powers of two, so the coarser sample is a part of the finer one.
        stride = max(self._stride, other._stride)
        merged = SpreadSample(stride, {seq: times for seq, times in self._seen.items() if not seq % stride})
        for seq, (first, last, client) in other._seen.items():
            if not seq % stride:
                merged.add(client, [(seq, first), (seq, last)])
        return merged

    def histogram(self) -> Histogram:
        """Return the durations from first to last client, of the records that more than one client logged."""
        result = Histogram()
        result.record([(last - first) * 1000 for first, last, name in self._seen.values() if name == SEVERAL])
        return result


MOST_SHARED = 2048
"""Most records in an `ExternalSpreadSample`: those with the lowest digests, independent of the order of reading."""


class ExternalSpreadSample:
    """When each client received a sample of the records of an external feed."""

    def __init__(self) -> None:
        self._seen: dict[int, dict[str, int | None]] = {}
        self._keys: dict[int, SequenceName] = {}
        self._limit = 2**32

    def add(self, client: str, messages: Iterable[ExternalMessage], timestamps: Mapping[str, int]) -> None:
        """Add the messages of a client; ``timestamps`` has the epoch microseconds of every ``received_at``."""
        for message in messages:
            digest = zlib.crc32(message.record, zlib.crc32(f"{message.key}/{message.seq}".encode()))
            if digest >= self._limit:
                continue
            receipts = self._seen.setdefault(digest, {})
            if message.key is not None:
                self._keys[digest] = message.key
            # If a client received a record twice, it is not known which receipt to compare.
            receipts[client] = None if client in receipts else timestamps[message.received_at]
        # Twice the limit, so that sorting is rare; `histogram` thins to the limit itself.
        if len(self._seen) > 2 * MOST_SHARED:
            self._thin()

    def merge(self, other: ExternalSpreadSample) -> None:
        """Add the sample of other clients of the run. Each has all of its records below its limit."""
        self._limit = min(self._limit, other._limit)
        for digest, receipts in other._seen.items():
            self._seen.setdefault(digest, {}).update(receipts)
        self._keys.update(other._keys)
        self._seen = {digest: receipts for digest, receipts in self._seen.items() if digest < self._limit}
        self._thin()

    def histogram(self, groups: Groups | None = None) -> Histogram:
        """Return the durations from first to last client, of records that several clients received once each.

        Equal records of clients in different ``groups`` are different records.
        """
        self._thin()
        result = Histogram()
        shared = (times for digest, receipts in self._seen.items() for times in self._of(digest, receipts, groups))
        known = [[at_us for at_us in times if at_us is not None] for times in shared if None not in times]
        result.record([(max(times) - min(times)) * 1000 for times in known if len(times) > 1])
        return result

    def _of(self, digest: int, receipts: dict[str, int | None], groups: Groups | None) -> list[list[int | None]]:
        key = self._keys.get(digest)
        if groups is None or key not in groups.divided:
            return [list(receipts.values())]
        by_group: dict[int, list[int | None]] = {}
        for client, at_us in receipts.items():
            by_group.setdefault(groups.group(key, client), []).append(at_us)
        return list(by_group.values())

    def _thin(self) -> None:
        if len(self._seen) > MOST_SHARED:
            kept = sorted(self._seen)[:MOST_SHARED]
            self._seen = {digest: self._seen[digest] for digest in kept}
            self._keys = {digest: self._keys[digest] for digest in kept if digest in self._keys}
            # A dropped record must not come back with the next client, without its earlier receipts.
            self._limit = kept[-1] + 1


LEAST_BLOCKS = 16
"""Fewest blocks kept of each client, with any number of clients."""
_FIELDS = len(Bar.__struct_fields__)


class BlockSampleLimit:
    """How many blocks are kept of each client: the more clients, the fewer."""

    def __init__(self) -> None:
        self.most = MOST_BLOCKS
        self._samples: list[BlockSample] = []

    @property
    def count(self) -> int:
        """The number of clients that have blocks."""
        return len(self._samples)

    @classmethod
    def of(cls, count: int) -> BlockSampleLimit:
        """Return the limit of this number of clients."""
        limit = cls()
        limit._lower(count)
        return limit

    def share(self, sample: BlockSample) -> None:
        """Add the sample of another client, and thin all samples if there are too many blocks."""
        self._samples.append(sample)
        if self._lower(len(self._samples)):
            # A lower limit can only double strides, which drops blocks that are kept so far and needs no others: the
            # order of reading does not matter.
            for other in self._samples:
                other.thin()

    def _lower(self, count: int) -> bool:
        before = self.most
        while self.most > LEAST_BLOCKS and self.most * count > MOST_BARS:
            self.most //= 2
        return self.most < before


class BlockSample:
    """The blocks of one client whose numbers are multiples of ``stride``."""

    def __init__(self, limit: BlockSampleLimit) -> None:
        self.stride = 1
        self._limit = limit
        self._highest: dict[int, int] = {}
        self._kept = 0
        self._rows = array("q")
        self._bars: list[Bar] | None = None

    def add(self, block: AnyBlock, start_us: int) -> None:
        """Add a block whose first message was received at ``start_us``, on the server's clock."""
        if not self._highest:
            self._limit.share(self)
        number, stride, before = block.block, self.stride, self._highest.get(block.session, 0)
        if number > before:
            self._highest[block.session] = number
            # Counted by the highest number and not by the blocks that were read, so that copies and gaps in the reading
            # do not change the stride.
            self._kept += number // stride - before // stride
            if self._kept > self._limit.most:
                self.thin()
        if not number % self.stride:
            row = (block.session, number, start_us, block.duration_ns, *block.positions, block.count)
            self._rows.extend(row)
            self._bars = None

    def merge(self, other: BlockSample) -> None:
        """Add the sample of other blocks of the client."""
        for session, highest in other._highest.items():
            self._highest[session] = max(highest, self._highest.get(session, 0))
        self.stride = max(self.stride, other.stride)
        self._rows += other._rows
        self._rows = array("q", [value for row in self._table() if not row[1] % self.stride for value in row])
        self._count_kept()
        self.thin()
        self._bars = None

    def copy(self) -> BlockSample:
        """Return a copy, which has a limit of its own until it joins another one."""
        copy = BlockSample(BlockSampleLimit())
        copy.stride, copy._kept = self.stride, self._kept
        copy._highest, copy._rows = dict(self._highest), self._rows[:]
        return copy

    def join(self, limit: BlockSampleLimit) -> None:
        """Follow the limit of another run: that of all parts of which this sample was one."""
        self._limit = limit
        if self._highest:
            limit.share(self)
            self.thin()

    def thin(self) -> None:
        """Double the stride until no more blocks are kept than the limit allows."""
        stride = self.stride
        while self._kept > self._limit.most:
            self.stride *= 2
            self._count_kept()
        if self.stride > stride:
            self._bars = None
            rows = self._table()
            self._rows = array("q", [value for row in rows if not row[1] % self.stride for value in row])

    def bars(self) -> list[Bar]:
        """Return the kept blocks, sorted by session and number."""
        if self._bars is None:
            # A block that was logged with several contents is drawn once.
            rows = {row[:2]: row for row in sorted(self._table(), reverse=True)}
            self._bars = msgspec.convert([rows[key] for key in sorted(rows)], list[Bar])
        return self._bars

    def _count_kept(self) -> None:
        self._kept = sum(highest // self.stride for highest in self._highest.values())

    def _table(self) -> list[tuple[int, ...]]:
        return list(zip(*[iter(self._rows)] * _FIELDS, strict=True))
