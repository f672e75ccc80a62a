"""A finished histogram, held in sorted arrays: at most six bytes a bucket, and it never changes.

A result keeps one for each kind of duration and client. Histograms of parts merge exactly, in any order.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
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
        if not histogram.count:
            return EMPTY
        counts = histogram.counts
        ordered = sorted(counts)
        sizes = list(map(counts.__getitem__, ordered))
        width = "I" if max(sizes) <= _MOST_IN_FOUR_BYTES else "Q"
        return cls(array("H", ordered), array(width, sizes), histogram.count, histogram.min, histogram.max)

    @classmethod
    def merged(cls, histograms: Iterable[SparseHistogram]) -> SparseHistogram:
        """Return the sum of several histograms."""
        total = Histogram()
        for histogram in histograms:
            total.add(histogram.counted())
        return cls.of(total)

    def percentile(self, percent: float) -> int | None:
        """Return the duration that ``percent`` of those recorded do not exceed, None when there are none."""
        return self.percentiles([percent])[0]

    def percentiles(self, percents: Sequence[float]) -> list[int | None]:
        """Return several percentiles, for little more than the price of one."""
        if self.min is None or self.max is None:
            return [None] * len(percents)
        reached = list(accumulate(self.counts))
        found: list[int | None] = []
        for percent in percents:
            rank = max(1, -(-self.count * round(percent * 1000) // 100_000))
            middle = middle_ns(self.buckets[bisect_left(reached, rank)])
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
        histogram = Histogram()
        histogram.add(self.counted())
        return histogram

    def counted(self) -> CountedDurations:
        """Return the counts, to be added to another histogram."""
        counts = dict(zip(self.buckets, self.counts, strict=True))
        return CountedDurations(counts, self.count, self.min or 0, self.max or 0)


EMPTY = SparseHistogram()
"""Without any duration."""
