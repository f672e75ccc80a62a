"""Tests of services/collector/evidence/sparse_histogram.py."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.collector.evidence.sparse_histogram import EMPTY, SparseHistogram
from services.contract.histogram import BOUNDS_NS, Histogram

durations = st.lists(st.integers(-5, 10**12), max_size=60)


def histogram(values_ns: list[int]) -> Histogram:
    """Return a histogram of these durations."""
    made = Histogram()
    made.record(values_ns)
    return made


@given(durations)
def test_it_answers_as_the_histogram_does_that_it_was_made_of(values_ns: list[int]) -> None:
    """Counts, quantiles, mean and sums are those of the histogram that it was made of."""
    dense = histogram(values_ns)
    sparse = SparseHistogram.of(dense)
    percents = (0.1, 50, 99, 99.9, 100)

    assert (dense.count, dense.min, dense.max, dense.mean()) == (sparse.count, sparse.min, sparse.max, sparse.mean())
    assert dense.percentiles(percents) == sparse.percentiles(percents) == [sparse.percentile(at) for at in percents]
    assert (dense.up_to(BOUNDS_NS), dense.total_ns()) == (sparse.up_to(BOUNDS_NS), sparse.total_ns())


def test_it_does_not_change_with_the_histogram_that_it_was_made_of() -> None:
    """Durations that are recorded later in the original are not in it."""
    dense = histogram([1, 2, 3])
    sparse = SparseHistogram.of(dense)
    dense.record([4])

    assert (3, 3) == (sparse.count, sparse.max)


@given(st.lists(durations, max_size=5), st.randoms(use_true_random=False))
def test_histograms_of_parts_merge_exactly_in_any_order(parts: list[list[int]], dice: object) -> None:
    """The sum is the histogram of all durations, merged at once or one by one."""
    whole = SparseHistogram.of(histogram([value for part in parts for value in part]))
    sparse = [SparseHistogram.of(histogram(part)) for part in parts]
    one_by_one = EMPTY
    for part in sorted(sparse, key=lambda _: dice.random()):  # type: ignore[attr-defined]
        one_by_one = SparseHistogram.merged([one_by_one, part])

    assert whole == SparseHistogram.merged(sparse) == one_by_one


def test_it_takes_six_bytes_a_bucket() -> None:
    """A bucket takes six bytes, and ten only if a count needs more than four."""
    made = SparseHistogram.of(histogram(list(range(1, 1000))))

    assert 6 == made.buckets.itemsize + made.counts.itemsize
