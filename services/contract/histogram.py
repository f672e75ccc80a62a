"""A mergeable histogram of durations: integer log-linear buckets, at most 1 % relative error.

Buckets are 64 to a power of two, so a bucket's middle is within 1/128 of every value in it. Counts add, so any
order of recording and merging gives the same percentiles. Minimum and maximum are exact.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable


def bucket(value_ns: int) -> int:
    """Return the bucket of a duration; negative ones (clock error) count as 0."""
    if value_ns < 128:
        return max(0, value_ns)
    shift = value_ns.bit_length() - 7
    return (shift << 6) + (value_ns >> shift)


def middle_ns(index: int) -> int:
    """Return the middle of a bucket's durations."""
    if index < 128:
        return index
    shift = (index >> 6) - 1
    low = (index - (shift << 6)) << shift
    return low + (1 << shift >> 1)


class Histogram:
    """Counts of durations in nanoseconds."""

    __slots__ = ("_counts", "count", "max", "min")

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self.count = 0
        self.min: int | None = None
        self.max: int | None = None

    def record(self, values_ns: Iterable[int]) -> None:
        """Count every duration given."""
        values = list(values_ns)
        if values:
            self._counts.update(map(bucket, values))
            self._extend(min(values), max(values), len(values))

    def merge(self, other: Histogram) -> None:
        """Add another histogram's counts to this one's."""
        if other.min is not None and other.max is not None:
            self._counts.update(other._counts)
            self._extend(other.min, other.max, other.count)

    def percentile(self, percent: float) -> int | None:
        """Return the duration that ``percent`` of those recorded do not exceed, None when there are none."""
        if self.min is None or self.max is None:
            return None
        wanted = max(1, -(-self.count * round(percent * 1000) // 100_000))
        seen = 0
        for index in sorted(self._counts):
            seen += self._counts[index]
            if seen >= wanted:
                return min(max(middle_ns(index), self.min), self.max)
        raise AssertionError("the counts add up to less than the count")

    def _extend(self, low: int, high: int, count: int) -> None:
        self.min = low if self.min is None else min(self.min, low)
        self.max = high if self.max is None else max(self.max, high)
        self.count += count
