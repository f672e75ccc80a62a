"""Tests of services/collector/evidence/histograms.py."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.collector.evidence.histograms import BucketHistogram
from services.contract.histogram import LONGEST_NS, CountedDurations, PendingDurations
from services.contract.timeline import heat_row

parts = st.lists(st.lists(st.integers(-5, 2**63) | st.integers(10**6, 10**7), max_size=50), min_size=1, max_size=5)


def counted(values: list[int]) -> CountedDurations:
    """Return these durations, counted."""
    made = PendingDurations()
    made.add(values)
    return made.counted()


def of(*parts: list[int]) -> BucketHistogram:
    """Return a histogram of durations that were added in parts."""
    made = BucketHistogram()
    for values in parts:
        made.add(counted(values))
    return made


def results_of(tally: BucketHistogram) -> object:
    """Return all results of a histogram."""
    return tally.count, tally.summary(), tally.heat()


def test_nothing_has_no_summary() -> None:
    """An empty histogram has no percentiles and no heat."""
    assert (0, None, []) == results_of(of([]))


@given(st.lists(st.integers(256, 2**62), min_size=1, max_size=200))
def test_percentiles_are_close(values: list[int]) -> None:
    """p50 and p99 are within 2 % of the exact percentiles, and the maximum is exact."""
    ordered = sorted(values)
    summary = of(values).summary()

    assert summary is not None
    for percent, found in zip((50, 99), summary[:2], strict=True):
        exact = ordered[-(-len(values) * percent // 100) - 1]
        assert abs(found - exact) * 50 <= exact
    assert ordered[-1] == summary[2]


@given(parts)
def test_the_order_of_counting_does_not_matter(given: list[list[int]]) -> None:
    """The histogram is the same if durations are added together, in parts, in reverse order or merged."""
    merged = BucketHistogram()
    for values in reversed(given):
        merged.merge(of(values))

    assert results_of(of([value for values in given for value in values])) == results_of(of(*given))
    assert results_of(of(*given)) == results_of(of(*reversed(given))) == results_of(merged)


@given(st.lists(st.integers(0, LONGEST_NS), max_size=50))
def test_every_message_is_in_the_heat_once(values: list[int]) -> None:
    """The rows of the heat map are ascending, add up to all messages, and each message is in or beside its row."""
    heat = of(values).heat()
    rows = [row for row, _ in heat]

    assert len(values) == sum(count for _, count in heat)
    assert sorted(set(rows)) == rows
    assert all(any(abs(heat_row(value) - row) <= 1 for row in rows) for value in values)
