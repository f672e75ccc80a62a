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
    """Return the tally of durations that came in parts."""
    made = BucketHistogram()
    for values in parts:
        made.add(counted(values))
    return made


def told(tally: BucketHistogram) -> object:
    """Return all answers of a histogram."""
    return tally.count, tally.summary(), tally.heat()


def test_nothing_has_no_summary() -> None:
    """Of no durations there are no percentiles and no heat."""
    assert (0, None, []) == told(of([]))


@given(st.lists(st.integers(256, 2**62), min_size=1, max_size=200))
def test_percentiles_are_close(values: list[int]) -> None:
    """Half and 99 % of the durations do not exceed the percentiles, within 2 %; the greatest is exact."""
    ordered = sorted(values)
    summary = of(values).summary()

    assert summary is not None
    for percent, found in zip((50, 99), summary[:2], strict=True):
        exact = ordered[-(-len(values) * percent // 100) - 1]
        assert abs(found - exact) * 50 <= exact
    assert ordered[-1] == summary[2]


@given(parts)
def test_the_order_of_counting_does_not_matter(given: list[list[int]]) -> None:
    """Counted together, part by part, backwards or merged: the tally is the same."""
    merged = BucketHistogram()
    for values in reversed(given):
        merged.merge(of(values))

    assert told(of([value for values in given for value in values])) == told(of(*given))
    assert told(of(*given)) == told(of(*reversed(given))) == told(merged)


@given(st.lists(st.integers(0, LONGEST_NS), max_size=50))
def test_every_message_is_in_the_heat_once(values: list[int]) -> None:
    """The rows add up to all messages, and rise; every message is in its row or in the next one to it."""
    heat = of(values).heat()
    rows = [row for row, _ in heat]

    assert len(values) == sum(count for _, count in heat)
    assert sorted(set(rows)) == rows
    assert all(any(abs(heat_row(value) - row) <= 1 for row in rows) for value in values)
