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
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import accumulate
from operator import itemgetter
from typing import Any, NamedTuple

import faker
import msgspec
from faker import Faker

from services.contract.fields import Span, digest, digest_text
from services.contract.ranges import Ranges
from services.contract.wire import MAX_RECORD

CHUNK = 1024
POOL = 1024
"""A power of two, so that a place in a pool is so many bits of a random number."""
FAKER_VERSION = str(faker.VERSION)

# Enough for clients that read as fast as they can, and come to be far apart: making a chunk again is what costs most.
_CHUNKS_KEPT = 128
# Masks all but a place out of every 16 random bits, for a whole chunk at once.
_PLACES = int.from_bytes((POOL - 1).to_bytes(2, "little") * CHUNK, "little")
_unpack_places = struct.Struct(f"<{CHUNK}H").unpack
# The last three digits of an id, from any thousand on into the third.
_LAST_DIGITS = [b"%03d," % number for number in range(1000)] * 3

Provider = Callable[[Faker], dict[str, Any]]

SCHEMAS: dict[str, Sequence[Provider]] = {
    # Fields that belong together are drawn together: one choice per line.
    "person": (
        lambda fake: {"name": fake.name(), "email": fake.email(), "phone": fake.phone_number()},
        lambda fake: {"job": fake.job(), "company": fake.company()},
        lambda fake: {"street": fake.street_address(), "city": fake.city(), "country": fake.country()},
        lambda fake: {"text": fake.sentence()},
    ),
}


class Chunk(NamedTuple):
    """1,024 records as lines, and where each begins (and the last one ends)."""

    lines: bytes
    offsets: array[int]


class RecordTooBig(Exception):
    """A schema can make a record above what a frame carries: a fault of the schema, found at start."""


class Feed:
    """The records of one schema, locale and seed. ``identity`` is equal exactly when all records are."""

    def __init__(self, schema: str, locale: str, seed: int) -> None:
        self.schema, self.locale, self.seed = schema, locale, seed
        pools = _pools(SCHEMAS[schema], locale, seed)
        longest = sum(max(map(len, pool)) for pool in pools) + len(b'{"id":9007199254740991,}\n')
        if longest > MAX_RECORD:
            raise RecordTooBig(f"records of schema {schema} reach {longest} bytes; at most {MAX_RECORD}")
        self.identity = f"{schema}-{locale}-{seed}-{digest_text(_digest_of(pools))}"
        self._pools = [_with_ending(pool, last=pool is pools[-1]) for pool in pools]
        self._chunk = lru_cache(maxsize=_CHUNKS_KEPT)(self._make_chunk)

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
        for begin, end in Ranges([(first, last)]) - Ranges(missing):
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

    def _make_chunk(self, number: int) -> Chunk:
        seed = hashlib.sha256(f"{self.schema}/{self.locale}/{self.seed}/{number}".encode()).digest()
        dice = random.Random(int.from_bytes(seed, "big"))
        # Half of what the server does is this: every step is one call of the interpreter for all records.
        columns = [itemgetter(*_places(dice))(pool) for pool in self._pools]
        lines = list(map(b"".join, zip(*_ids(number * CHUNK + 1), *columns, strict=True)))
        return Chunk(b"".join(lines), array("I", accumulate(map(len, lines), initial=0)))


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


def _pools(providers: Sequence[Provider], locale: str, seed: int) -> list[list[bytes]]:
    # Without weighting Faker is 5 to 40 times as fast; how common a name is does not matter here.
    fake = Faker(locale, use_weighting=False)
    fake.seed_instance(seed)
    return [[msgspec.json.encode(provider(fake))[1:-1] for _ in range(POOL)] for provider in providers]


def _with_ending(pool: list[bytes], *, last: bool) -> list[bytes]:
    return [fragment + (b"}\n" if last else b",") for fragment in pool]


def _digest_of(pools: list[list[bytes]]) -> int:
    value = 0
    for pool in pools:
        value = digest(b"\n".join(pool), value)
    return value
