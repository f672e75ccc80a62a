"""A mergeable histogram of durations: integer log-linear buckets, at most 1 % relative error.

There are 128 buckets to a power of two, so the middle of a bucket is within 1/256 of every value in it. The number of
a bucket is the upper half of the value as a 32-bit float: arrays convert without a step in Python for each value, and
a collector counts millions. Counts are added up, so any order of recording and merging gives the same percentiles.
Minimum and maximum are exact.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

LONGEST_NS = 2**63
"""Upper bound: longer durations are clamped, so that their upper half stays a finite float."""

BOUNDS_NS = tuple(digits * 10**power for power in range(4, 11) for digits in (1, 2, 5))[2:-1]
"""Upper bounds of the buckets in published metrics: 50 µs to 20 s.

Latencies on one machine are microseconds; those of a client whose connection was cut are seconds.
"""

# Index of the upper 16 bits in a pair: 1 on a little-endian machine, where the lower half comes first.
_UPPER_HALF = array("H", b"\1\0")[0] & 1
_SAMPLE = 128
"""Number of durations that are looked at to guess whether all of them have few different values."""


def buckets(values_ns: Iterable[int]) -> array[int]:
    """Return the bucket of each duration; all have to be between 0 and `LONGEST_NS`."""
    # The conversion rounds by one part in 2**25 at most, so a value just below a bound may fall into the next bucket.
    return array("H", array("f", values_ns).tobytes())[_UPPER_HALF::2]


def middle_ns(bucket: int) -> int:
    """Return the duration in the middle of a bucket, in nanoseconds."""
    # The exponent of a 32-bit float has a bias of 127, and 7 bits of its mantissa are in the upper half: 134 together.
    # The mantissa lacks its leading bit, which is always 1.
    shift, digits = (bucket >> 7) - 134, bucket & 127 | 128
    if shift <= 0:
        # Below 256 ns a bucket holds at most one integer.
        return digits >> -shift
    return (digits << shift) + (1 << shift >> 1)


class CountedDurations(NamedTuple):
    """Counts of durations. Adding them to several histograms costs less than recording the durations in each.

    Attributes:
        counts: by bucket the number of durations, for each bucket that has any.
        total: the sum of the counts.
        min: the shortest duration in nanoseconds, ``max`` the longest; both 0 without any.
    """

    counts: Mapping[int, int]
    total: int
    min: int
    max: int


class PendingDurations:
    """Durations that are counted later, many at once, which costs less; each takes two bytes until then."""

    __slots__ = ("buckets", "max", "min")

    def __init__(self) -> None:
        self.buckets = array("H")
        self.min = self.max = 0

    def add(self, values_ns: Sequence[int]) -> None:
        """Add durations. Negative ones are counted as 0, but ``min`` keeps their value."""
        if values_ns:
            low, high = min(values_ns), max(values_ns)
            is_in_range = low >= 0 and high <= LONGEST_NS
            self._extend(buckets(values_ns if is_in_range else _clamped(values_ns)), low, high)

    def merge(self, other: PendingDurations) -> None:
        """Add the durations of another object."""
        if other.buckets:
            self._extend(other.buckets, other.min, other.max)

    def counted(self) -> CountedDurations:
        """Return the counts of the durations."""
        return CountedDurations(Counter(self.buckets), len(self.buckets), self.min, self.max)

    def _extend(self, added: array[int], low: int, high: int) -> None:
        if self.buckets:
            low, high = min(low, self.min), max(high, self.max)
        self.min, self.max = low, high
        self.buckets += added


class Histogram:
    """Counts of durations in nanoseconds. Negative ones (clock error) are counted as 0, but ``min`` is exact."""

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
        # Messages of one batch share their times. Then each of the few different values is converted once.
        has_few_values = len(values_ns) > _SAMPLE and 4 * len(set(values_ns[:_SAMPLE])) < _SAMPLE
        counts = Counter(values_ns) if has_few_values else None
        values: Collection[int] = values_ns if counts is None else counts
        low, high = min(values), max(values)
        clamped = values if low >= 0 and high <= LONGEST_NS else _clamped(values)
        if counts is None:
            self._counts.update(buckets(clamped))
        else:
            for bucket, count in zip(buckets(clamped), counts.values(), strict=True):
                self._counts[bucket] += count
        self._extend(low, high, len(values_ns))

    def add(self, durations: CountedDurations) -> None:
        """Add durations that are counted already."""
        if durations.total:
            counts = self._counts
            known = counts.get
            for bucket, count in durations.counts.items():
                counts[bucket] = known(bucket, 0) + count
            self._extend(durations.min, durations.max, durations.total)

    def add_pending(self, durations: PendingDurations) -> None:
        """Count durations and add them. If they are few, this costs less than `add` with their counts."""
        if durations.buckets:
            self._counts.update(durations.buckets)
            self._extend(durations.min, durations.max, len(durations.buckets))

    @property
    def counts(self) -> Mapping[int, int]:
        """How many durations there are in each bucket that has any."""
        return self._counts

    def merge(self, other: Histogram) -> None:
        """Add another histogram's counts to this one's."""
        self.add(other.counted())

    def counted(self) -> CountedDurations:
        """Return the counts of all durations, to be added to another histogram."""
        return CountedDurations(self._counts, self.count, self.min or 0, self.max or 0)

    def copy(self) -> Histogram:
        """Return a copy. A thread may copy a histogram while another thread records."""
        other = Histogram()
        # A dict is copied in one step; the total is summed afterwards, since `count` may already be newer.
        other._counts = self._counts.copy()
        other.count, other.min, other.max = sum(other._counts.values()), self.min, self.max
        return other

    def since(self, earlier: Histogram) -> Histogram:
        """Return the durations recorded since ``earlier`` was copied from here; minimum and maximum within 1 %."""
        rest = Histogram()
        # Counters drop counts of 0 in a subtraction, so `min` and `max` below see only buckets with a duration.
        rest._counts = self._counts - earlier._counts
        if rest._counts and self.min is not None and self.max is not None:
            low, high = (min(max(middle_ns(pick(rest._counts)), self.min), self.max) for pick in (min, max))
            # The maximum of all durations is exact. If it was recorded after the copy, it is that of the rest, too.
            is_last = buckets([min(self.max, LONGEST_NS)])[0] == max(rest._counts) and self.max != earlier.max
            rest._extend(low, self.max if is_last else high, sum(rest._counts.values()))
        return rest

    def percentile(self, percent: float) -> int | None:
        """Return the duration that ``percent`` of the durations do not exceed, None without any."""
        return self.percentiles([percent])[0]

    def percentiles(self, percents: Sequence[float]) -> list[int | None]:
        """Return several percentiles; the histogram is sorted once for all of them."""
        if self.min is None or self.max is None:
            return [None] * len(percents)
        ordered = sorted(self._counts)
        cumulated = list(accumulate(map(self._counts.__getitem__, ordered)))
        result: list[int | None] = []
        for percent in percents:
            # In integers, since a product with a float such as 99.9 may exceed a whole rank by its rounding error.
            wanted = max(1, -(-self.count * round(percent * 1000) // 100_000))
            middle = middle_ns(ordered[bisect_left(cumulated, wanted)])
            # The extremes are exact, and the middle of the first or last bucket may be beyond them.
            result.append(min(max(middle, self.min), self.max))
        return result

    def mean(self) -> int | None:
        """Return the mean duration, within 0.4 % of the exact one, None without any."""
        if self.min is None or self.max is None:
            return None
        return min(max(round(self.total_ns() / self.count), self.min), self.max)

    def up_to(self, bounds_ns: Sequence[int]) -> list[int]:
        """Return how many durations do not exceed each bound.

        A duration within 0.4 % of a bound may be counted on the wrong side of it.
        """
        ordered = sorted(self._counts)
        cumulated = [0, *accumulate(map(self._counts.__getitem__, ordered))]
        middles = list(map(middle_ns, ordered))
        # The maximum is exact, so every bound from there on has all durations.
        return [
            self.count if self.max is None or self.max <= bound else cumulated[bisect_right(middles, bound)]
            for bound in bounds_ns
        ]

    def total_ns(self) -> int:
        """Return the sum of the durations, within 0.4 %."""
        return sum(count * middle_ns(bucket) for bucket, count in self._counts.items())

    def _extend(self, low: int, high: int, count: int) -> None:
        self.min = low if self.min is None else min(self.min, low)
        self.max = high if self.max is None else max(self.max, high)
        self.count += count


def _clamped(values_ns: Iterable[int]) -> list[int]:
    return [min(max(value, 0), LONGEST_NS) for value in values_ns]
