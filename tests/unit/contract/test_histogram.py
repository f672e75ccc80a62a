"""Tests of the mergeable histogram, compared with exact percentiles and two well-known libraries."""

from __future__ import annotations

import random
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contract.histogram import Histogram, PendingDurations, buckets, middle_ns

PERCENTS = (50, 90, 99, 99.9)
HOUR_NS = 3_600_000_000_000

durations = st.integers(0, 2**53 - 1)
samples = st.lists(durations | st.integers(0, 300), min_size=1, max_size=200)


def of(values: list[int]) -> Histogram:
    """Return a histogram of values."""
    histogram = Histogram()
    histogram.record(values)
    return histogram


def quantiles(histogram: Histogram) -> list[int | None]:
    """Return the values that a summary shows of a histogram."""
    return [histogram.min, *map(histogram.percentile, PERCENTS), histogram.max, histogram.count]


def exact(values: list[int], percent: float) -> int:
    """Return the smallest value that ``percent`` of the values do not exceed."""
    rank = -(-len(values) * Fraction(str(percent)) // 100)
    return sorted(values)[max(1, int(rank)) - 1]


def lognormal(count: int, seed: int) -> list[int]:
    """Return latencies as services have them: around 2 ms, with a long tail."""
    dice = random.Random(seed)
    return [int(dice.lognormvariate(14.5, 1.2)) for _ in range(count)]


def bucket(value: int) -> int:
    """Return the bucket of one duration."""
    (found,) = buckets([value])
    return found


@given(durations)
def test_buckets_are_narrow(value: int) -> None:
    """The middle of a bucket is within 0.4 % of every value in it."""
    assert abs(middle_ns(bucket(value)) - value) * 250 <= value


def test_every_bucket_is_narrow() -> None:
    """At both edges of every bucket, and so between them, the error is below 0.4 %."""
    edges = [(row << shift, (row + 1 << shift) - 1) for shift in range(1, 46) for row in range(128, 256)]
    around = [edge + step for pair in edges for edge in pair for step in (-1, 0, 1)]

    assert not [first for first, last in edges if last < 2**24 and bucket(first) != bucket(last)]
    assert not [value for value in around if abs(middle_ns(bucket(value)) - value) * 250 > value]


def test_small_durations_are_exact() -> None:
    """Below 256 ns every duration has a bucket of its own."""
    assert list(range(256)) == [middle_ns(bucket(value)) for value in range(256)]


@given(durations, durations)
def test_buckets_are_in_order(one: int, other: int) -> None:
    """A longer duration is never in a lower bucket."""
    assert bucket(min(one, other)) <= bucket(max(one, other))


def test_buckets_leave_no_gap() -> None:
    """From the first bucket with several durations on, the number of the next bucket is one higher."""
    edges = [bucket(value) for value in range(255, 200_000)]

    assert list(range(edges[0], edges[-1] + 1)) == sorted(set(edges))


@given(samples)
def test_the_average_is_close(values: list[int]) -> None:
    """The mean is within 0.4 % of the exact one, or one nanosecond, and between minimum and maximum."""
    found, average = of(values).mean(), Fraction(sum(values), len(values))

    assert found is not None
    assert abs(found - average) * 250 <= average + 250
    assert min(values) <= found <= max(values)


def test_of_nothing_there_is_no_average() -> None:
    """Without durations there is no mean."""
    assert None is Histogram().mean()


@given(st.lists(st.integers(-(2**70), 2**70) | st.just(10**400), min_size=1, max_size=20))
def test_no_duration_is_refused(values: list[int]) -> None:
    """Any integer is counted: a negative one as 0, one above 292 years as 292 years."""
    histogram = of(values)

    assert (min(values), max(values), len(values)) == (histogram.min, histogram.max, histogram.count)
    assert all(value is not None for value in histogram.percentiles(PERCENTS))


@given(st.lists(durations | st.integers(-3, 3), min_size=1, max_size=20), st.integers(10, 50))
def test_durations_that_are_shared_are_counted_alike(few: list[int], times: int) -> None:
    """Many messages with few different times are counted like each by itself."""
    one_by_one = Histogram()
    for value in few * times:
        one_by_one.record([value])

    assert quantiles(one_by_one) == quantiles(of([value for value in few for _ in range(times)]))


@given(samples, st.sampled_from(PERCENTS))
def test_percentiles_are_within_one_percent(values: list[int], percent: float) -> None:
    """A percentile of any values is within 1 % of the exact one."""
    expected = exact(values, percent)
    found = of(values).percentile(percent)

    assert found is not None
    assert abs(found - expected) * 100 <= expected


@given(samples)
def test_extremes_are_exact(values: list[int]) -> None:
    """Minimum and maximum are exact, and no percentile is beyond them."""
    histogram = of(values)
    found = [histogram.percentile(percent) for percent in (0, *PERCENTS, 100)]

    assert (min(values), max(values)) == (histogram.min, histogram.max)
    assert sorted(value for value in found if value is not None) == found
    assert all(value is not None and min(values) <= value <= max(values) for value in found)


@given(st.lists(samples, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_merging_is_order_independent(parts: list[list[int]], dice: random.Random) -> None:
    """The quantiles do not depend on which histogram recorded a value, nor on the order of merging."""
    everything = [value for part in parts for value in part]
    shuffled = [of(dice.sample(part, len(part))) for part in dice.sample(parts, len(parts))]
    merged = Histogram()
    for part in shuffled:
        merged.merge(part)

    assert quantiles(of(everything)) == quantiles(merged)


@given(samples)
def test_buckets_show_their_counts(values: list[int]) -> None:
    """Every duration is counted in its bucket."""
    assert Counter(buckets(values)) == of(values).counts


@given(st.lists(st.lists(durations | st.integers(-300, 300), max_size=50), max_size=5))
def test_gathered_counts_alike(parts: list[list[int]]) -> None:
    """Durations that are recorded, pending, merged or added as counts give equal histograms."""
    expected = of([value for values in parts for value in values])
    every, few, added = PendingDurations(), Histogram(), Histogram()
    for values in parts:
        gathered = PendingDurations()
        gathered.add(values)
        every.merge(gathered)
        few.add_pending(gathered)
        added.add(gathered.counted())
    whole = Histogram()
    whole.add(every.counted())

    assert quantiles(expected) == quantiles(few) == quantiles(added) == quantiles(whole)


def test_merging_an_empty_one_changes_nothing() -> None:
    """Merging an empty histogram changes nothing."""
    histogram = of([1, 2, 3])
    expected = quantiles(histogram)
    histogram.merge(Histogram())

    assert expected == quantiles(histogram)


def test_nothing_recorded_is_nothing_measured() -> None:
    """Without durations a percentile is None, not 0."""
    expected = [None, None, None, None, None, None, 0]

    assert expected == quantiles(of([]))


def test_negative_durations_count_as_none() -> None:
    """A negative duration, an error of a clock, counts as 0, and the minimum keeps its value."""
    histogram = of([-5, 10, 20])
    expected = (-5, 0, 10)

    assert expected == (histogram.min, histogram.percentile(1), histogram.percentile(50))


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_hdrhistogram(seed: int) -> None:
    """Percentiles agree with those of HdrHistogram, within the errors of both."""
    hdrh = pytest.importorskip("hdrh.histogram", reason="hdrhistogram has no wheel for this machine")
    values = lognormal(10_000, seed)
    theirs = hdrh.HdrHistogram(1, HOUR_NS, 3)
    for value in values:
        theirs.record_value(value)
    ours = of(values)

    for percent in PERCENTS:
        assert theirs.get_value_at_percentile(percent) == pytest.approx(ours.percentile(percent), rel=0.005)


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_ddsketch(seed: int) -> None:
    """Percentiles agree with those of DDSketch, within the errors of both."""
    ddsketch = pytest.importorskip("ddsketch")
    values = lognormal(10_000, seed)
    theirs = ddsketch.DDSketch(relative_accuracy=0.001)
    for value in values:
        theirs.add(value)
    ours = of(values)

    for percent in PERCENTS:
        # Its rank may be one off ours: between two neighbours of the tail lies more than its accuracy.
        rank = percent / 100 * (len(values) - 1)
        neighbours = sorted(values)[int(rank) : int(rank) + 2]
        found = ours.percentile(percent)

        assert neighbours[0] * 0.999 <= theirs.get_quantile_value(percent / 100) <= neighbours[1] * 1.001
        assert found is not None
        assert neighbours[0] * 0.99 <= found <= neighbours[1] * 1.01


@given(samples, st.lists(durations, max_size=5))
def test_counts_up_to_a_bound_are_near(values: list[int], others: list[int]) -> None:
    """Only values within 0.4 % of a bound are counted on its wrong side."""
    bounds = sorted([*others, values[0]])
    for bound, count in zip(bounds, of(values).up_to(bounds), strict=True):
        sure = sum(value <= bound * 249 // 250 for value in values)
        possible = sum(value * 249 // 250 <= bound for value in values)

        assert sure <= count <= possible


@given(samples)
def test_no_value_is_above_the_greatest(values: list[int]) -> None:
    """All values are up to the maximum, none is below 0, and an empty histogram has none."""
    assert [0, len(values)] == of(values).up_to([-1, max(values)])
    assert [0] == Histogram().up_to([1])


@given(samples)
def test_the_sum_is_near(values: list[int]) -> None:
    """The sum is within 0.4 % of the sum of the values."""
    assert abs(of(values).total_ns() - sum(values)) * 250 <= sum(values)
