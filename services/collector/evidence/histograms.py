"""Histograms for evidence: two that count in batches, for a client, and a compact one, for a time bucket."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from functools import cache
from itertools import accumulate

from services.collector.evidence.sparse_histogram import EMPTY, SparseHistogram
from services.contract.histogram import CountedDurations, PendingDurations, middle_ns
from services.contract.timeline import heat_row

_SHIFT = 2
"""Four buckets of a `Histogram` are one of a `BucketHistogram`, so a percentile is within 2 % of the exact one."""
_WIDTH = 8
"""Bytes of a count."""
_BATCH = 64
"""Number of durations that are converted together; eight bytes each until then."""
_LEAST_PENDING = 256
"""Fewest durations that are counted together; two bytes each until then."""


class GrowingHistogram:
    """A histogram that is kept for each client of a run: six bytes a bucket, two for a duration that is not counted.

    A `Histogram` takes some 70 bytes a bucket, and the three of a client took three quarters of its evidence.
    Reading it counts the rest, so the batches cannot be seen from outside.
    """

    __slots__ = ("_counted", "_pending")

    def __init__(self) -> None:
        self._counted = EMPTY
        self._pending = PendingDurations()

    def add(self, durations: CountedDurations) -> None:
        """Add durations that are counted already."""
        self._counted = self._counted.plus(durations)

    def add_pending(self, durations: PendingDurations) -> None:
        """Add durations that are counted later, many at once."""
        self._pending.merge(durations)
        # The arrays are made anew each time: the more buckets they have, the more durations that should be worth.
        if len(self._pending.buckets) >= max(_LEAST_PENDING, len(self._counted.buckets)):
            self._count()

    @property
    def histogram(self) -> SparseHistogram:
        """All durations so far. It does not change when more are added."""
        if self._pending.buckets:
            self._count()
        return self._counted

    def merge(self, other: GrowingHistogram) -> None:
        """Add the durations of another histogram."""
        self._counted = SparseHistogram.merged([self.histogram, other.histogram])

    def _count(self) -> None:
        pending, self._pending = self._pending, PendingDurations()
        self._counted = self._counted.plus(pending.counted())


class BatchedHistogram:
    """A histogram to which single durations are added: converting each by itself costs several times as much.

    Reading it counts the rest, so the batches cannot be seen from outside.
    """

    __slots__ = ("_converted", "_pending")

    def __init__(self) -> None:
        self._converted = GrowingHistogram()
        self._pending = array("q")

    def add(self, *durations_ns: int) -> None:
        """Add durations."""
        self._pending.extend(durations_ns)
        if len(self._pending) >= _BATCH:
            self._convert()

    @property
    def histogram(self) -> SparseHistogram:
        """All durations so far. It does not change when more are added."""
        self._convert()
        return self._converted.histogram

    def merge(self, other: BatchedHistogram) -> None:
        """Add the durations of another histogram."""
        other._convert()
        self._converted.merge(other._converted)

    def _convert(self) -> None:
        durations = PendingDurations()
        durations.add(self._pending)
        self._pending = array("q")
        self._converted.add_pending(durations)


class BucketHistogram:
    """Counts of durations in nanoseconds, in one array of adjacent buckets.

    A run has hundreds of time buckets with two of these each, and dicts would take several times the memory.
    """

    __slots__ = ("_counts", "_low", "count", "max", "min")

    def __init__(self) -> None:
        self._low, self._counts = 0, array("Q")
        self.count = self.min = self.max = 0

    def add(self, durations: CountedDurations) -> None:
        """Add durations."""
        if not durations.total:
            return
        self._extend(durations.min, durations.max, durations.total)
        self._reach(min(durations.counts) >> _SHIFT, max(durations.counts) >> _SHIFT)
        counts, low = self._counts, self._low
        for bucket, count in durations.counts.items():
            counts[(bucket >> _SHIFT) - low] += count

    def merge(self, other: BucketHistogram) -> None:
        """Add the durations of another histogram."""
        if other.count:
            self._extend(other.min, other.max, other.count)
            # The array grows once for the whole range and not bucket by bucket, since growth at its beginning copies
            # it.
            self._reach(other._low, other._low + len(other._counts) - 1)
            start = other._low - self._low
            for index, count in enumerate(other._counts, start):
                self._counts[index] += count

    def summary(self) -> tuple[int, int, int] | None:
        """Return p50, p99 and maximum in nanoseconds, None without any duration."""
        if not self.count:
            return None
        cumulated = list(accumulate(self._counts))
        p50, p99 = (self._middle(bisect_left(cumulated, -(-self.count * percent // 100))) for percent in (50, 99))
        return p50, p99, self.max

    def heat(self) -> list[tuple[int, int]]:
        """Return pairs of a row of the heat map and its number of durations, for each row that has any."""
        rows: dict[int, int] = {}
        for index, count in enumerate(self._counts):
            if count:
                row = _row(self._low + index)
                rows[row] = rows.get(row, 0) + count
        return list(rows.items())

    def _middle(self, index: int) -> int:
        return min(max(_middle_ns(self._low + index), self.min), self.max)

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


# A bucket has at most 14 bits, and every slot of a timeline asks for the rows of the same few.
@cache
def _row(bucket: int) -> int:
    return heat_row(_middle_ns(bucket))
