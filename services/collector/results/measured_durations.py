"""What a part of a run keeps of the durations of one client: the figures that are asked for. Pure data."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from services.collector.evidence.sparse_histogram import SparseHistogram

PERCENTILES = (50, 90, 95, 99, 99.9)
"""Those of the summary, which are kept of all durations."""


class Measured(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What is asked of the durations of one client, in nanoseconds: fewer bytes than its histogram.

    Attributes:
        count: of the durations.
        shortest: the shortest one, ``longest`` the longest, ``average`` the mean; None without any.
        usual: the `PERCENTILES`.
        more: others that a threshold names, as pairs of the percentile and its duration.
    """

    count: int
    shortest: int | None
    longest: int | None
    average: int | None
    usual: tuple[int | None, ...]
    more: tuple[tuple[float, int | None], ...] = ()

    @classmethod
    def of(cls, histogram: SparseHistogram, more: Sequence[float]) -> Measured:
        """Return what is asked of a histogram; ``more`` are percentiles of thresholds."""
        others = zip(more, histogram.percentiles(more), strict=True)
        usual = tuple(histogram.percentiles(PERCENTILES))
        return cls(histogram.count, histogram.min, histogram.max, histogram.mean(), usual, tuple(others))

    @property
    def min(self) -> int | None:
        """The shortest duration."""
        return self.shortest

    @property
    def max(self) -> int | None:
        """The longest duration."""
        return self.longest

    def mean(self) -> int | None:
        """Return the mean duration."""
        return self.average

    def percentile(self, percent: float) -> int | None:
        """Return the duration that ``percent`` of those recorded do not exceed, None without any."""
        if not self.count:
            return None
        return dict(self.more)[percent] if percent not in PERCENTILES else self.usual[PERCENTILES.index(percent)]

    def percentiles(self, percents: Sequence[float]) -> list[int | None]:
        """Return several percentiles; all have to be known."""
        return [self.percentile(percent) for percent in percents]


NOTHING = Measured(0, None, None, None, (None,) * len(PERCENTILES))
