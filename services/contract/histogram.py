"""A mergeable histogram of durations: integer log-linear buckets, at most 1 % relative error.

Buckets are 128 to a power of two, so a bucket's middle is within 1/256 of every value in it. They are the upper half
of the value as a 32-bit float, which takes no step in Python for each value: a collector counts millions. Counts add,
so any order of recording and merging gives the same percentiles. Minimum and maximum are exact.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

LONGEST_NS = 2**63
"""Longer durations, of which there are none, are counted as this one: a float ends somewhere."""

BOUNDS_NS = tuple(digits * 10**power for power in range(4, 11) for digits in (1, 2, 5))[2:-1]
"""Upper bounds of the buckets that services tell others of: 50 µs to 20 s.

One machine is late by microseconds, a client that was cut by seconds.
"""

# The second of two halves where the lower byte comes first.
_UPPER_HALF = array("H", b"\1\0")[0] & 1
_SAMPLE = 128
"""So many durations are looked at to guess whether all of them are few different ones."""


def buckets(values_ns: Iterable[int]) -> array[int]:
    """Return the bucket of each duration, none of which is negative or longer than `LONGEST_NS`."""
    # What a float has no room for is rounded, by one part in 2**25 at most; so some values fall into the next bucket.
    return array("H", array("f", values_ns).tobytes())[_UPPER_HALF::2]


def middle_ns(bucket: int) -> int:
    """Return the middle of a bucket's durations."""
    shift, digits = (bucket >> 7) - 134, bucket & 127 | 128
    if shift <= 0:
        return digits >> -shift
    return (digits << shift) + (1 << shift >> 1)


class CountedDurations(NamedTuple):
    """Durations that are counted: to be added wherever they belong, for less than recording them there anew.

    Attributes:
        counts: how many there are in each bucket that has any.
        total: of all of them.
        min: the shortest, ``max`` the longest; of none, both 0.
    """

    counts: Mapping[int, int]
    total: int
    min: int
    max: int


class PendingDurations:
    """Durations that are yet to be counted, which costs little of many at once; each takes two bytes until then."""

    __slots__ = ("buckets", "max", "min")

    def __init__(self) -> None:
        self.buckets = array("H")
        self.min = self.max = 0

    def take(self, values_ns: Sequence[int]) -> None:
        """Take durations, negative ones as 0, but ``min`` tells them."""
        if values_ns:
            low, high = min(values_ns), max(values_ns)
            sound = low >= 0 and high <= LONGEST_NS
            self._extend(
                buckets(values_ns if sound else [min(max(one, 0), LONGEST_NS) for one in values_ns]), low, high
            )

    def merge(self, other: PendingDurations) -> None:
        """Take what another one has gathered."""
        if other.buckets:
            self._extend(other.buckets, other.min, other.max)

    def counted(self) -> CountedDurations:
        """Count them."""
        return CountedDurations(Counter(self.buckets), len(self.buckets), self.min, self.max)

    def _extend(self, some: array[int], low: int, high: int) -> None:
        if self.buckets:
            low, high = min(low, self.min), max(high, self.max)
        self.min, self.max = low, high
        self.buckets += some


class Histogram:
    """Counts of durations in nanoseconds. Negative ones (clock error) are counted as 0, but `min` tells them."""

    __slots__ = ("_counts", "count", "max", "min")

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self.count = 0
        self.min: int | None = None
        self.max: int | None = None

    def record(self, values_ns: Sequence[int]) -> None:
        """Count every duration given."""
        if not values_ns:
            return
        # Messages of one batch share their times: then each of the few is looked at once.
        shared = len(values_ns) > _SAMPLE and 4 * len(set(values_ns[:_SAMPLE])) < _SAMPLE
        some = Counter(values_ns) if shared else None
        every: Collection[int] = values_ns if some is None else some
        low, high = min(every), max(every)
        within = every if low >= 0 and high <= LONGEST_NS else [min(max(one, 0), LONGEST_NS) for one in every]
        if some is None:
            self._counts.update(buckets(within))
        else:
            for bucket, count in zip(buckets(within), some.values(), strict=True):
                self._counts[bucket] += count
        self._extend(low, high, len(values_ns))

    def add(self, some: CountedDurations) -> None:
        """Add durations that are counted."""
        if some.total:
            counts = self._counts
            known = counts.get
            for bucket, count in some.counts.items():
                counts[bucket] = known(bucket, 0) + count
            self._extend(some.min, some.max, some.total)

    def gather(self, some: PendingDurations) -> None:
        """Count what was gathered, of which there are few."""
        if some.buckets:
            self._counts.update(some.buckets)
            self._extend(some.min, some.max, len(some.buckets))

    @property
    def counts(self) -> Mapping[int, int]:
        """How many durations there are in each bucket that has any."""
        return self._counts

    def merge(self, other: Histogram) -> None:
        """Add another histogram's counts to this one's."""
        self.add(other.counted())

    def counted(self) -> CountedDurations:
        """Return what was recorded, to be added elsewhere."""
        return CountedDurations(self._counts, self.count, self.min or 0, self.max or 0)

    def copy(self) -> Histogram:
        """Return another one with the same counts."""
        other = Histogram()
        # In one step: a thread may copy what another one records into.
        other._counts = self._counts.copy()
        other.count, other.min, other.max = sum(other._counts.values()), self.min, self.max
        return other

    def since(self, earlier: Histogram) -> Histogram:
        """Return what was recorded after ``earlier`` was copied from this one; minimum and maximum within 1 %."""
        rest = Histogram()
        rest._counts = self._counts - earlier._counts
        if rest._counts and self.min is not None and self.max is not None:
            low, high = (min(max(middle_ns(pick(rest._counts)), self.min), self.max) for pick in (min, max))
            # The greatest of all is known exactly, if it is among these.
            is_last = buckets([min(self.max, LONGEST_NS)])[0] == max(rest._counts) and self.max != earlier.max
            rest._extend(low, self.max if is_last else high, sum(rest._counts.values()))
        return rest

    def percentile(self, percent: float) -> int | None:
        """Return the duration that ``percent`` of those recorded do not exceed, None when there are none."""
        return self.percentiles([percent])[0]

    def percentiles(self, percents: Sequence[float]) -> list[int | None]:
        """Return several of them, for little more than the price of one."""
        if self.min is None or self.max is None:
            return [None] * len(percents)
        ordered = sorted(self._counts)
        reached = list(accumulate(map(self._counts.__getitem__, ordered)))
        found: list[int | None] = []
        for percent in percents:
            wanted = max(1, -(-self.count * round(percent * 1000) // 100_000))
            middle = middle_ns(ordered[bisect_left(reached, wanted)])
            found.append(min(max(middle, self.min), self.max))
        return found

    def mean(self) -> int | None:
        """Return the average duration, within 0.4 % of the exact one, None when there is none."""
        if self.min is None or self.max is None:
            return None
        return min(max(round(self.total_ns() / self.count), self.min), self.max)

    def up_to(self, bounds_ns: Sequence[int]) -> list[int]:
        """Return how many durations do not exceed each bound; one within 0.4 % of a bound may be on its other side."""
        ordered = sorted(self._counts)
        reached = [0, *accumulate(map(self._counts.__getitem__, ordered))]
        middles = list(map(middle_ns, ordered))
        # The greatest is known exactly, so that no bound above it lacks any.
        return [
            self.count if self.max is None or self.max <= bound else reached[bisect_right(middles, bound)]
            for bound in bounds_ns
        ]

    def total_ns(self) -> int:
        """Return the sum of the durations, within 0.4 %."""
        return sum(count * middle_ns(bucket) for bucket, count in self._counts.items())

    def _extend(self, low: int, high: int, count: int) -> None:
        self.min = low if self.min is None else min(self.min, low)
        self.max = high if self.max is None else max(self.max, high)
        self.count += count
