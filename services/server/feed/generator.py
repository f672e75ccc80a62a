"""The feed: a pure function of (schema, locale, seed, seq), from pools of Faker values encoded once.

Calling Faker for every record makes some 2,000 a second; a pool is filled once, and every record is put together
from fragments chosen by a generator seeded per chunk of 1,024 records. So any range can be made at any time, by
any server, and made again. Nothing is kept but a few chunks, for speed.
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
from services.contract.scalars import Span, digest, digest_text
from services.contract.wire import MAX_RECORD
from services.server.feed.faker_pools import POOL, fill
from services.server.feed.record_schema import PAD, BadSchema, Schema, load

CHUNK = 1024
FAKER_VERSION = str(faker.VERSION)

# Enough for clients that read as fast as they can, and come to be far apart: making a chunk again is what costs most.
_CHUNKS_KEPT, _BYTES_KEPT = 128, 64 * 1024 * 1024
# Masks all but a place out of every 16 random bits, for a whole chunk at once.
_PLACES = int.from_bytes((POOL - 1).to_bytes(2, "little") * CHUNK, "little")
_unpack_places = struct.Struct(f"<{CHUNK}H").unpack
# The last three digits of an id, from any thousand on into the third.
_LAST_DIGITS = [b"%03d," % number for number in range(1000)] * 3
_PAD, _PADS_KEPT = b',"%s":"%%b"}\n' % PAD.encode(), 256


class RecordChunk(NamedTuple):
    """1,024 records as lines, and where each begins (and the last one ends)."""

    lines: bytes
    offsets: array[int]


class RecordTooBig(BadSchema):
    """A schema can make a record above what a frame carries, or above the size it is to be padded to."""


class FeedGenerator:
    """The records of one schema, locale and seed. ``identity`` is equal exactly when all records are.

    Raises:
        BadSchema: ``schema``, a name or a TOML file, cannot be used.
    """

    def __init__(self, schema: str, locale: str, seed: int) -> None:
        loaded = load(schema)
        self.schema, self.locale, self.seed = loaded.name, locale, seed
        pools = fill(loaded, locale, seed)
        longest = _longest(loaded, pools)
        self.identity = f"{self.schema}-{locale}-{seed}-{digest_text(_digest_of(pools, loaded.size))}"
        self._size = loaded.size
        ending = b"}\n" if self._size is None else b""
        self._pools = [[piece + (ending if pool is pools[-1] else b",") for piece in pool] for pool in pools]
        kept = min(_CHUNKS_KEPT, max(2, _BYTES_KEPT // (CHUNK * longest)))
        self._chunk = lru_cache(maxsize=kept)(self._make_chunk)
        self._pad = lru_cache(maxsize=_PADS_KEPT)(self._make_pad)

    def records(self, first: int, count: int) -> list[bytes]:
        """Return ``count`` records from ``first`` on, each one JSON object without newline."""
        return self.lines(first, first + count - 1).split(b"\n")[:-1]

    def lines(self, first: int, last: int) -> bytes:
        """Return the records ``first`` to ``last`` inclusive, each followed by a newline."""
        pieces = self._pieces(first, last)
        return bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)

    def digest(self, first: int, last: int, missing: Iterable[Span] = ()) -> str:
        """Return the digest of the records ``first`` to ``last`` inclusive without those ``missing``."""
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
        seed = hashlib.sha256(f"{self.schema}/{self.locale}/{self.seed}/{number}".encode()).digest()
        dice = random.Random(int.from_bytes(seed, "big"))
        # Half of what the server does is this: every step is one call of the interpreter for all records.
        columns = [itemgetter(*_places(dice))(pool) for pool in self._pools]
        lines = list(map(b"".join, zip(*_ids(number * CHUNK + 1), *columns, strict=True)))
        if self._size is not None:
            lines = list(map(add, lines, map(self._pad, map(len, lines))))
        return RecordChunk(b"".join(lines), array("I", accumulate(map(len, lines), initial=0)))

    def _make_pad(self, length: int) -> bytes:
        """Return what a line of so many bytes lacks to be a record of the size that is asked for."""
        return _PAD % (b"." * ((self._size or 0) + 1 - length - len(_PAD % b"")))


def _places(dice: random.Random) -> tuple[int, ...]:
    """Return a chunk's places in a pool, at random."""
    drawn = dice.getrandbits(16 * CHUNK) & _PLACES
    return _unpack_places(drawn.to_bytes(2 * CHUNK, "little"))


def _ids(base: int) -> tuple[list[bytes], list[bytes]]:
    """Return how the records of the chunk from ``base`` on begin: what a thousand of them share, and the rest."""
    if base < 1000:
        return [b'{"id":'] * CHUNK, [b"%d," % seq for seq in range(base, base + CHUNK)]
    thousand, place = divmod(base, 1000)
    shared = [b'{"id":%d' % (thousand + more) for more in range(3)]
    heads = [shared[0]] * (1000 - place) + [shared[1]] * 1000 + [shared[2]] * place
    return heads[:CHUNK], _LAST_DIGITS[place : place + CHUNK]


def _longest(schema: Schema, pools: list[list[bytes]]) -> int:
    """Return how many bytes a record may have.

    Raises:
        RecordTooBig: more than a frame carries, or than they are to be padded to.
    """
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
