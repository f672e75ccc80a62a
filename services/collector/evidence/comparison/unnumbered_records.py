"""The contents of the records of an external feed without numbers, in bounded memory.

Numbers are missing, so the order and the contents of the records are all by which two clients can be compared. Of each
record 32 bits of the digest are kept, without any current time: a server may add the time of each send. Its form is
kept as well, 16 bits of a digest without its numbers. The order of reading does not matter.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Raw

from services.collector.evidence.comparison.record_likeness import timeless

MOST = 2**20
"""Most records of all clients together. Of more, those with the lower digests are kept, which are the same records at
every client."""


_DIGITS = b"0123456789+-."
"""What makes two messages of one form different, such as numbered signs of life."""


class ConnectionContents(NamedTuple):
    """The records that came over one connection.

    Attributes:
        place: session, and number of the connection in it.
        first_us: when the first record was received, ``last_us`` when the last one was; epoch microseconds.
        digests: of the records, in the order received, and ``forms`` of the same records.
        blocks: of each block its number, the number of records up to its end, and when its last record was received.
    """

    place: tuple[int, int]
    first_us: int
    last_us: int
    digests: array[int]
    forms: array[int]
    blocks: tuple[tuple[int, int, int], ...]

    def block_of(self, index: int) -> int:
        """Return the number of the block with the record at an index."""
        return next((number for number, end, _ in self.blocks if index < end), 0)

    def count_until(self, at_us: int) -> int:
        """Return how many records are in the blocks before the first one that ended after a time."""
        count = 0
        for _, end, last_us in self.blocks:
            if last_us > at_us:
                break
            count = end
        return count


class _BlockContents(NamedTuple):
    first_us: int
    last_us: int
    digests: array[int]
    forms: array[int]


class UnnumberedRecords:
    """The records of all clients."""

    def __init__(self) -> None:
        self._blocks: dict[str, dict[tuple[int, int, int, str], _BlockContents]] = {}
        self._count, self._limit = 0, 2**32

    def add_block(
        self, client: str, place: tuple[int, int, int, str], texts: Sequence[bytes | Raw], times_us: Sequence[int]
    ) -> None:
        """Add the records of a block that was not added before.

        Args:
            client: the client that received them.
            place: session, connection, number and digest of the block.
            texts: of the records in the order received, without the sender's time; none of them has a newline.
            times_us: when any of them was received, epoch microseconds.
        """
        joined = timeless(b"\n".join(texts), times_us[0])
        digests = array("I", map(zlib.crc32, joined.split(b"\n")))
        forms = array("H", [zlib.crc32(form) & 0xFFFF for form in joined.translate(None, _DIGITS).split(b"\n")])
        contents = _thinned(_BlockContents(min(times_us), max(times_us), digests, forms), self._limit)
        self._blocks.setdefault(client, {})[place] = contents
        self._count += len(contents.digests)
        # Twice the limit, so that thinning is rare. A query thins to the limit itself.
        if self._count > 2 * MOST:
            self._thin()

    def merge(self, other: UnnumberedRecords) -> None:
        """Add the records of other clients of the run. Each has all of its records below its limit."""
        self._blocks.update(other._blocks)
        self._limit_to(min(self._limit, other._limit))
        self._thin()

    @property
    def is_sampled(self) -> bool:
        """Whether only a part of the records is kept."""
        self._thin()
        return self._limit < 2**32

    @property
    def clients(self) -> list[str]:
        """The names of the clients, in order."""
        return sorted(self._blocks)

    def connections(self, client: str) -> list[ConnectionContents]:
        """Return the connections of a client over which records came, in their order."""
        self._thin()
        by_connection: dict[tuple[int, int], list[tuple[int, _BlockContents]]] = {}
        for (session, connection, number, _), contents in sorted(self._blocks.get(client, {}).items()):
            by_connection.setdefault((session, connection), []).append((number, contents))
        return [_joined(place, blocks) for place, blocks in by_connection.items()]

    def _thin(self) -> None:
        while self._count > MOST:
            # By halves: what is left of the same records does not depend on the order in which they were added.
            self._limit_to(self._limit // 2)

    def _limit_to(self, limit: int) -> None:
        self._limit = limit
        for blocks in self._blocks.values():
            for place, contents in blocks.items():
                blocks[place] = _thinned(contents, limit)
        self._count = sum(len(one.digests) for blocks in self._blocks.values() for one in blocks.values())


def _thinned(contents: _BlockContents, limit: int) -> _BlockContents:
    if max(contents.digests, default=0) < limit:
        return contents
    kept = [at for at, digest in enumerate(contents.digests) if digest < limit]
    return contents._replace(
        digests=array("I", [contents.digests[at] for at in kept]), forms=array("H", [contents.forms[at] for at in kept])
    )


def _joined(place: tuple[int, int], blocks: Sequence[tuple[int, _BlockContents]]) -> ConnectionContents:
    digests, forms, ends = array("I"), array("H"), []
    for number, contents in blocks:
        digests.extend(contents.digests)
        forms.extend(contents.forms)
        ends.append((number, len(digests), contents.last_us))
    first_us = min(contents.first_us for _, contents in blocks)
    last_us = max(contents.last_us for _, contents in blocks)
    return ConnectionContents(place, first_us, last_us, digests, forms, tuple(ends))
