"""Tests of services/collector/results/measured_durations.py."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.collector.evidence.sparse_histogram import SparseHistogram
from services.collector.results.measured_durations import PERCENTILES, Measured
from services.contract.histogram import Histogram
from services.contract.summary import Quantiles


@given(st.lists(st.integers(-5, 10**12), max_size=60), st.floats(0, 100).map(lambda percent: round(percent, 3)))
def test_it_answers_as_its_histogram(values_ns: list[int], percent: float) -> None:
    """Count, extremes, mean, the usual percentiles and those asked for are those of the histogram."""
    recorded = Histogram()
    recorded.record(values_ns)
    histogram = SparseHistogram.of(recorded)
    measured = Measured.of(histogram, [percent])

    assert Quantiles.of(histogram) == Quantiles.of(measured)
    assert (histogram.count, histogram.mean()) == (measured.count, measured.mean())
    assert histogram.percentile(percent) == measured.percentile(percent)
    assert histogram.percentiles(PERCENTILES) == measured.percentiles(PERCENTILES)
