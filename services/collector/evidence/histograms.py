"""Histograms that evidence is counted in: of one client, in batches; of one time bucket, in few bytes."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from functools import cache
from itertools import accumulate

from services.contract.histogram import CountedDurations, Histogram, middle_ns
from services.contract.timeline import heat_row

_SHIFT = 2
"""Four buckets of a `Histogram` are one of a `BucketHistogram`, so a percentile is within 2 % of the exact one."""
_WIDTH = 8
"""Bytes of a count."""
_MOST_PENDING = 256
"""Durations that wait to be counted, eight bytes each."""


class BatchedHistogram:
    """A histogram that counts its durations in batches: counting them one by one costs several times as much.

    When it counts cannot be seen from outside.
    """

    __slots__ = ("_counted", "_pending")

    def __init__(self) -> None:
        self._counted = Histogram()
        self._pending = array("q")

    def add(self, duration_ns: int) -> None:
        """Add a duration."""
        self._pending.append(duration_ns)
        if len(self._pending) >= _MOST_PENDING:
            self.total()

    def total(self) -> Histogram:
        """Return the histogram of all durations. Durations that are added later may be counted in it, too."""
        self._counted.record(self._pending)
        del self._pending[:]
        return self._counted


class BucketHistogram:
    """Counts of durations in nanoseconds, in one array of adjacent buckets: a run has hundreds of time buckets."""

    __slots__ = ("_counts", "_low", "count", "max", "min")

    def __init__(self) -> None:
        self._low, self._counts = 0, array("Q")
        self.count = self.min = self.max = 0

    def add(self, some: CountedDurations) -> None:
        """Add durations that are counted."""
        if not some.total:
            return
        self._extend(some.min, some.max, some.total)
        self._reach(min(some.counts) >> _SHIFT, max(some.counts) >> _SHIFT)
        counts, low = self._counts, self._low
        for bucket, count in some.counts.items():
            counts[(bucket >> _SHIFT) - low] += count

    def merge(self, other: BucketHistogram) -> None:
        """Count all durations of another slot."""
        if other.count:
            self._extend(other.min, other.max, other.count)
            self._reach(other._low, other._low + len(other._counts) - 1)
            start = other._low - self._low
            for place, count in enumerate(other._counts, start):
                self._counts[place] += count

    def summary(self) -> tuple[int, int, int] | None:
        """Return p50, p99 and the greatest, None when there are none."""
        if not self.count:
            return None
        reached = list(accumulate(self._counts))
        p50, p99 = (self._middle(bisect_left(reached, -(-self.count * percent // 100))) for percent in (50, 99))
        return p50, p99, self.max

    def heat(self) -> list[tuple[int, int]]:
        """Return how many there are in each row of the heat map that has any."""
        rows: dict[int, int] = {}
        for place, count in enumerate(self._counts):
            if count:
                row = _row(self._low + place)
                rows[row] = rows.get(row, 0) + count
        return list(rows.items())

    def _middle(self, place: int) -> int:
        return min(max(_middle_ns(self._low + place), self.min), self.max)

    def _extend(self, low: int, high: int, count: int) -> None:
        self.min, self.max = (min(self.min, low), max(self.max, high)) if self.count else (low, high)
        self.count += count

    def _reach(self, low: int, high: int) -> None:
        counts = self._counts
        if not counts:
            self._low, self._counts = low, array("Q", bytes(_WIDTH * (high - low + 1)))
            return
        if low < self._low:
            self._counts = counts = array("Q", bytes(_WIDTH * (self._low - low))) + counts
            self._low = low
        beyond = high - self._low - len(counts) + 1
        if beyond > 0:
            counts.frombytes(bytes(_WIDTH * beyond))


def _middle_ns(bucket: int) -> int:
    return middle_ns((bucket << _SHIFT) + (1 << _SHIFT >> 1))


@cache
def _row(bucket: int) -> int:
    return heat_row(_middle_ns(bucket))
