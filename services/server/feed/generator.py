"""Generates the records of a feed: a pure function of (schema, locale, seed, seq).

Faker makes about 2,000 records a second, which is too slow for a load generator. So pools of encoded Faker values are
filled once, and each record is joined from pool values that a random generator, seeded per chunk of 1,024 records,
selects. Any server can generate any range at any time and gets the same bytes; only a few chunks are cached, for speed.
"""

from __future__ import annotations

import hashlib
import random
import struct
from array import array
from collections.abc import Iterable
from functools import lru_cache
from itertools import accumulate
from operator import add, itemgetter
from typing import NamedTuple

import faker

from services.contract.rangeset import RangeSet
from services.contract.scalars import MAX_INTEGER, Span, digest, digest_text
from services.contract.wire import MAX_RECORD
from services.server.feed.faker_pools import POOL, fill_pools
from services.server.feed.record_schema import PAD, BadSchema, Schema, load

CHUNK = 1024
FAKER_VERSION = str(faker.VERSION)

# Clients that read as fast as they can drift up to a hundred thousand records apart, and generating a chunk again is
# the most expensive thing that the server does: with 128 chunks instead of 48, five clients at rate 0 were sent 650,000
# to 700,000 records per second instead of 540,000 to 690,000.
_MAX_CHUNKS, _MAX_CHUNK_BYTES = 128, 64 * 1024 * 1024
# Keeps, of every 16 random bits, those that index a pool; one operation for a whole chunk.
_INDEX_MASK = int.from_bytes((POOL - 1).to_bytes(2, "little") * CHUNK, "little")
_unpack_indexes = struct.Struct(f"<{CHUNK}H").unpack
# The last three digits of an id, three times over: a chunk reaches into up to three thousands.
_LAST_DIGITS = [b"%03d," % number for number in range(1000)] * 3
_PAD, _MAX_PADS = b',"%s":"%%b"}\n' % PAD.encode(), 256


class RecordChunk(NamedTuple):
    """1,024 records as lines, with the offset at which each begins and, last, the total length."""

    lines: bytes
    offsets: array[int]


class RecordTooBig(BadSchema):
    """A record of this schema may exceed the frame limit or the size to which records are padded."""


class FeedGenerator:
    """Generates the records of one schema, locale and seed.

    Attributes:
        identity: text that is equal for two feeds exactly if all their records are equal.

    Raises:
        BadSchema: ``schema``, a name or the path of a TOML file, cannot be used.
    """

    available = MAX_INTEGER
    """Last seq whose record can be had now: every record can."""

    def __init__(self, schema: str, locale: str, seed: int) -> None:
        loaded = load(schema)
        self.schema, self.locale, self.seed = loaded.name, locale, seed
        pools = fill_pools(loaded, locale, seed)
        longest = _max_record_bytes(loaded, pools)
        self.identity = f"{self.schema}-{locale}-{seed}-{digest_text(_digest_of(pools, loaded.size))}"
        self._size = loaded.size
        # The last group's pieces end the record, so that a record is nothing but a join of pieces.
        ending = b"}\n" if self._size is None else b""
        self._pools = [[piece + (ending if pool is pools[-1] else b",") for piece in pool] for pool in pools]
        # At least two chunks, since a batch may reach into the next one.
        cached = min(_MAX_CHUNKS, max(2, _MAX_CHUNK_BYTES // (CHUNK * longest)))
        self._chunk = lru_cache(maxsize=cached)(self._make_chunk)
        self._pad = lru_cache(maxsize=_MAX_PADS)(self._make_pad)

    def records(self, first: int, count: int) -> list[bytes]:
        """Return ``count`` records from ``first`` on, each a JSON object without newline."""
        return self.lines(first, first + count - 1).split(b"\n")[:-1]

    def lines(self, first: int, last: int) -> bytes:
        """Return the records ``first`` to ``last`` inclusive, each followed by a newline."""
        pieces = self._pieces(first, last)
        return bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)

    def digest(self, first: int, last: int, missing: Iterable[Span] = ()) -> str:
        """Return the digest of the records ``first`` to ``last`` inclusive, without the ranges in ``missing``."""
        value = 0
        for begin, end in RangeSet([(first, last)]) - RangeSet(missing):
            for piece in self._pieces(begin, end):
                value = digest(piece, value)
        return digest_text(value)

    def _pieces(self, first: int, last: int) -> list[memoryview]:
        pieces = []
        for number in range((first - 1) // CHUNK, (last - 1) // CHUNK + 1):
            chunk, base = self._chunk(number), number * CHUNK + 1
            begin, end = max(first - base, 0), min(last - base + 1, CHUNK)
            pieces.append(memoryview(chunk.lines)[chunk.offsets[begin] : chunk.offsets[end]])
        return pieces

    def _make_chunk(self, number: int) -> RecordChunk:
        # A digest, because Python's own hash of a text differs between processes. A seed for each chunk makes any chunk
        # available without those before it.
        seed = hashlib.sha256(f"{self.schema}/{self.locale}/{self.seed}/{number}".encode()).digest()
        rng = random.Random(int.from_bytes(seed, "big"))
        # Half of the server's processor time is spent here, so every step is one interpreter call for all records.
        columns = [itemgetter(*_random_indexes(rng))(pool) for pool in self._pools]
        lines = list(map(b"".join, zip(*_ids(number * CHUNK + 1), *columns, strict=True)))
        if self._size is not None:
            lines = list(map(add, lines, map(self._pad, map(len, lines))))
        return RecordChunk(b"".join(lines), array("I", accumulate(map(len, lines), initial=0)))

    def _make_pad(self, length: int) -> bytes:
        """Return the field and newline that pad a line of ``length`` bytes to a record of the requested size."""
        return _PAD % (b"." * ((self._size or 0) + 1 - length - len(_PAD % b"")))


def _random_indexes(rng: random.Random) -> tuple[int, ...]:
    """Return a random pool index for each record of a chunk."""
    drawn = rng.getrandbits(16 * CHUNK) & _INDEX_MASK
    return _unpack_indexes(drawn.to_bytes(2 * CHUNK, "little"))


def _ids(base: int) -> tuple[list[bytes], list[bytes]]:
    """Return the beginnings of a chunk's records in two columns: the digits that a thousand ids share, and the rest."""
    if base < 1000:
        return [b'{"id":'] * CHUNK, [b"%d," % seq for seq in range(base, base + CHUNK)]
    thousand, offset = divmod(base, 1000)
    shared = [b'{"id":%d' % (thousand + more) for more in range(3)]
    heads = [shared[0]] * (1000 - offset) + [shared[1]] * 1000 + [shared[2]] * offset
    return heads[:CHUNK], _LAST_DIGITS[offset : offset + CHUNK]


def _max_record_bytes(schema: Schema, pools: list[list[bytes]]) -> int:
    """Return the length in bytes of the longest possible record.

    Raises:
        RecordTooBig: it exceeds the frame limit, or the size to which records are padded.
    """
    # The largest id is 2^53 - 1: not every JSON reader keeps larger integers exact.
    longest = len(b'{"id":9007199254740991}') + sum(max(map(len, pool)) + 1 for pool in pools)
    if schema.size is not None:
        if (least := longest - 2 + len(_PAD % b"")) > schema.size:
            raise RecordTooBig(schema.source, [f"size {schema.size}: the records of this schema need {least} bytes"])
        return schema.size
    if longest > MAX_RECORD:
        raise RecordTooBig(schema.source, [f"records reach {longest} bytes; at most {MAX_RECORD}"])
    return longest


def _digest_of(pools: list[list[bytes]], size: int | None) -> int:
    value = 0
    for pool in pools:
        value = digest(b"\n".join(pool), value)
    return value if size is None else digest(b"%d" % size, value)
