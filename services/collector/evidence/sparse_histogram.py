"""A finished histogram, held in sorted arrays: at most six bytes a bucket, and it never changes.

Evidence and results have one for each kind of duration and client. Histograms of parts merge exactly, in any order.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from services.contract.histogram import CountedDurations, Histogram, middle_ns

_MOST_IN_FOUR_BYTES = 2**32 - 1


@dataclass(frozen=True, slots=True)
class SparseHistogram:
    """Counts of durations in nanoseconds, of those buckets that have any.

    Attributes:
        buckets: the bucket numbers of `services.contract.histogram`, ascending.
        counts: how many durations are in each of them.
        count: of all durations.
        min: the shortest one, None without any; ``max`` is the longest.
    """

    buckets: array[int] = field(default_factory=lambda: array("H"))
    counts: array[int] = field(default_factory=lambda: array("I"))
    count: int = 0
    min: int | None = None
    max: int | None = None

    @classmethod
    def of(cls, histogram: Histogram) -> SparseHistogram:
        """Return a histogram as it is now."""
        return cls._of(histogram.counts, histogram.count, histogram.min, histogram.max)

    @classmethod
    def from_rows(
        cls, buckets: Sequence[int], counts: Sequence[int], shortest: int | None, longest: int | None
    ) -> SparseHistogram:
        """Return the histogram with these counts of these buckets, of which none is given twice."""
        return cls._of(dict(zip(buckets, counts, strict=True)), sum(counts), shortest, longest)

    @classmethod
    def merged(cls, histograms: Iterable[SparseHistogram]) -> SparseHistogram:
        """Return the sum of several histograms."""
        parts = [histogram for histogram in histograms if histogram.count]
        # It never changes, so it need not be copied.
        if len(parts) == 1:
            return parts[0]
        counts: dict[int, int] = {}
        known = counts.get
        for part in parts:
            for bucket, count in zip(part.buckets, part.counts, strict=True):
                counts[bucket] = known(bucket, 0) + count
        shortest = min((part.min for part in parts if part.min is not None), default=None)
        longest = max((part.max for part in parts if part.max is not None), default=None)
        return cls._of(counts, sum(part.count for part in parts), shortest, longest)

    def plus(self, durations: CountedDurations) -> SparseHistogram:
        """Return this histogram with more durations."""
        if not durations.total:
            return self
        counts = dict(zip(self.buckets, self.counts, strict=True))
        known = counts.get
        for bucket, count in durations.counts.items():
            counts[bucket] = known(bucket, 0) + count
        shortest = durations.min if self.min is None else min(self.min, durations.min)
        longest = durations.max if self.max is None else max(self.max, durations.max)
        return self._of(counts, self.count + durations.total, shortest, longest)

    @classmethod
    def _of(cls, counts: Mapping[int, int], count: int, shortest: int | None, longest: int | None) -> SparseHistogram:
        if not count:
            return EMPTY
        ordered = sorted(counts)
        sizes = list(map(counts.__getitem__, ordered))
        # No bucket counts more than all durations together.
        width = "I" if count <= _MOST_IN_FOUR_BYTES else "Q"
        return cls(array("H", ordered), array(width, sizes), count, shortest, longest)

    def percentile(self, percent: float) -> int | None:
        """Return the duration that ``percent`` of those recorded do not exceed, None when there are none."""
        return self.percentiles([percent])[0]

    def percentiles(self, percents: Sequence[float]) -> list[int | None]:
        """Return several percentiles, at little more than the cost of one."""
        if self.min is None or self.max is None:
            return [None] * len(percents)
        reached = list(accumulate(self.counts))
        found: list[int | None] = []
        for percent in percents:
            # In integers, with the three decimals that a percentile may have: the rank must not depend on a rounded
            # product.
            rank = max(1, -(-self.count * round(percent * 1000) // 100_000))
            middle = middle_ns(self.buckets[bisect_left(reached, rank)])
            # The middle of the first or last bucket may lie beyond the shortest or longest duration, which are exact.
            found.append(min(max(middle, self.min), self.max))
        return found

    def mean(self) -> int | None:
        """Return the average duration, within 0.4 % of the exact one, None when there is none."""
        return self._histogram().mean()

    def up_to(self, bounds_ns: Sequence[int]) -> list[int]:
        """Return how many durations do not exceed each bound; one within 0.4 % of a bound may be on its other side."""
        return self._histogram().up_to(bounds_ns)

    def total_ns(self) -> int:
        """Return the sum of the durations, within 0.4 %."""
        return self._histogram().total_ns()

    def _histogram(self) -> Histogram:
        counts = dict(zip(self.buckets, self.counts, strict=True))
        histogram = Histogram()
        histogram.add(CountedDurations(counts, self.count, self.min or 0, self.max or 0))
        return histogram


EMPTY = SparseHistogram()
"""Without any duration."""
