"""Which frames of one client's feed are damaged, by a seed; and the books of what was done to them. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal, NamedTuple

from services.contract import wire
from services.contract.rangeset import RangeSet
from services.server.feed.batch_cache import STEP

Kind = Literal["drop", "duplicate", "swap", "corrupt", "header"]
"""``corrupt`` is a bit of the records, ``header`` a digit of the numbers of the line before them."""
Place = Literal["middle", "tail", "replay"]

_TAIL = 200
"""Records at the end that are held back until the very last is here: only then is it known which frames are last."""
_APART = 40
"""Records between two faults in the middle, so that a frame is rarely asked to suffer twice."""
SPAN = 7 * STEP
"""Records that are swallowed before a cut: they make a replay of seven frames or more."""


@dataclass(frozen=True)
class Plan:
    """What one client is to suffer: so many faults of a kind in a place."""

    kind: Kind
    times: int
    place: Place
    seed: int


class Touched(NamedTuple):
    """One fault that was injected: the records it hit, and on which of the client's connections."""

    kind: Kind
    first: int
    last: int
    connection: int


class Feed(NamedTuple):
    """One records frame on its way."""

    header: wire.Records
    data: bytes


class Damage:
    """Carries out a plan on the records frames of one client, over all of its connections."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.touched: list[Touched] = []
        self.deaf = False
        """The connection is dying: nothing of what the server says arrives any more."""
        self.cut = False
        """The connection is to be cut now."""
        self.replayed_through = 0
        """The last record that the server had sent before the cut."""
        self._random = random.Random(plan.seed)
        self._connection = 0
        self._targets: list[int] = []
        self._swapped: Feed | None = None
        self._tail: list[Feed] = []
        self._total = 0
        self._reached = 0

    def connected(self, total: int) -> None:
        """Begin a connection to a run of so many records."""
        self._connection += 1
        self.deaf = self.cut = False
        self._swapped, self._tail, self._total = None, [], total
        if self._connection == 1 and self.plan.place == "middle":
            slots = range(total // 5, total * 4 // 5, _APART)
            self._targets = sorted(self._random.sample(slots, self.plan.times))
        if self._connection == 1 and self.plan.place == "replay":
            self._targets = [self._random.randrange(total // 10, total // 5)]

    def records(self, feed: Feed) -> list[bytes]:
        """Return the frames to be passed on instead of this one."""
        if self.plan.place == "tail":
            return self._hold_tail(feed)
        if self.plan.place == "replay" and self._connection == 1:
            return self._until_the_cut(feed)
        return self._one(feed, hit=self._is_due(feed.header))

    def seqs(self) -> RangeSet:
        """Return the records that were hit."""
        return RangeSet((touched.first, touched.last) for touched in self.touched)

    @property
    def count(self) -> int:
        """How many records were hit."""
        return sum(touched.last - touched.first + 1 for touched in self.touched)

    def _is_due(self, header: wire.Records) -> bool:
        if self._swapped is not None:
            return False
        if self.plan.place == "replay":
            return len(self.touched) < self.plan.times
        if self._targets and _last(header) >= self._targets[0]:
            self._targets.pop(0)
            return True
        return False

    def _until_the_cut(self, feed: Feed) -> list[bytes]:
        last = _last(feed.header)
        if last < self._targets[0]:
            return [feed.data]
        self.deaf = True
        self.replayed_through = last
        self.cut = last >= self._targets[0] + SPAN
        return []

    def _hold_tail(self, feed: Feed) -> list[bytes]:
        if _last(feed.header) <= self._total - _TAIL:
            return [feed.data]
        self._tail.append(feed)
        if _last(feed.header) < self._total:
            return []
        stride = 2 if self.plan.kind == "swap" else 1
        first_hit = len(self._tail) - stride * self.plan.times
        if first_hit < 0:
            raise AssertionError(f"the tail came in {len(self._tail)} frames, too few for {self.plan}")
        places = range(first_hit, len(self._tail), stride)
        return [data for place, one in enumerate(self._tail) for data in self._one(one, hit=place in places)]

    def _one(self, feed: Feed, *, hit: bool) -> list[bytes]:
        if self._swapped is not None:
            held, self._swapped = self._swapped, None
            self._enter(held.header)
            return [feed.data, held.data]
        if not hit:
            return [feed.data]
        if self.plan.kind == "swap":
            self._swapped = feed
            return []
        self._enter(feed.header)
        if self.plan.kind == "drop":
            return []
        if self.plan.kind == "duplicate":
            return [feed.data, feed.data]
        return [self._flipped(feed.data) if self.plan.kind == "corrupt" else self._misnumbered(feed.data)]

    def _enter(self, header: wire.Records) -> None:
        self.touched.append(Touched(self.plan.kind, header.first, _last(header), self._connection))

    def _flipped(self, data: bytes) -> bytes:
        body = data.index(b"\n") + 1
        at, bit = self._random.randrange(body, len(data)), self._random.randrange(8)
        return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]

    def _misnumbered(self, data: bytes) -> bytes:
        at = self._random.choice([place for place in range(data.index(b',"crc"')) if data[place : place + 1].isdigit()])
        other = self._random.choice([digit for digit in b"0123456789" if digit != data[at]])
        return data[:at] + bytes([other]) + data[at + 1 :]


def _last(header: wire.Records) -> int:
    return header.first + header.count - 1
