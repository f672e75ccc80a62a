"""Tests of services/collector/commands/comparison.py."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from services.collector.commands.comparison import METRICS, Change, compare, relative_range
from services.contract.summary import Quantiles, Summary
from tests.builders.runs import good_run, judged

MADE = judged(good_run())


def runs(latencies: Sequence[int | None], **totals: Any) -> list[Summary]:
    """Return runs with these p99 of latency, and these totals."""
    return [
        msgspec.structs.replace(
            MADE,
            latency_ns=Quantiles(p99=p99) if p99 is None else msgspec.structs.replace(MADE.latency_ns, p99=p99),
            totals=msgspec.structs.replace(MADE.totals, **totals),
        )
        for p99 in latencies
    ]


def change(before: list[Summary], after: list[Summary], metric: str = "latency p99", tolerance: float = 0.1) -> Change:
    """Return the change of one metric."""
    return next(one for one in compare(before, after, tolerance) if one.metric == metric)


def test_every_metric_of_a_good_run_is_compared() -> None:
    """Every metric of a good run is compared, in the order in which they are shown."""
    assert [metric.name for metric in METRICS] == [one.metric for one in compare([MADE], [MADE], 0.1)]


@pytest.mark.parametrize(
    ("before", "after", "outcome", "a", "b"),
    [
        ([100, 101, 102, 103, 104], [150, 151, 152, 153, 154], "worse", 102, 152),
        ([150, 151, 152, 153, 154], [100, 101, 102, 103, 104], "better", 152, 102),
        ([100, 101, 102, 103, 104], [105, 106, 107, 108, 109], "changed", 102, 107),
        ([100, 101, 102, 103, 104], [99, 200, 200, 200, 101], "noise", 102, 200),
        ([100, 100, 100], [900, 900, 900], "noise", 100, 900),
        ([100], [900], "unknown", 100, 900),
        ([100, 101], [900], "unknown", 100.5, 900),
        ([0, 0, 0, 0, 0], [1, 1, 1, 1, 1], "worse", 0, 1),
    ],
)
def test_medians_are_compared_and_held_to_the_noise(
    before: list[int], after: list[int], outcome: str, a: float, b: float
) -> None:
    """A change is reported if it exceeds both the noise and the tolerance."""
    found = change(runs(before), runs(after))

    assert (outcome, a, b) == (found.outcome, found.a, found.b)
    assert (before, after) == (found.a_values, found.b_values)
    assert (outcome == "unknown") is (found.chance is None)


def test_what_is_borne_is_a_share() -> None:
    """A change of 5 % is worse with a tolerance of 4 %, and not with one of 5 %."""
    before, after = runs([100] * 5), runs([105] * 5)

    assert ["worse", "changed"] == [change(before, after, tolerance=tolerance).outcome for tolerance in (0.04, 0.05)]
    assert pytest.approx(0.05) == change(before, after).change


def test_of_the_rate_more_is_better() -> None:
    """A lower rate is worse, a higher one better."""
    slow, fast = runs([1] * 4, messages_per_second=100.0), runs([1] * 4, messages_per_second=200.0)

    assert ("better", "worse") == (change(slow, fast, "rate").outcome, change(fast, slow, "rate").outcome)


@pytest.mark.parametrize(
    ("before", "after", "outcome"), [(0, 0, "same"), (0, 1, "worse"), (3, 2, "better"), (9, 10, "worse")]
)
def test_of_facts_the_worst_run_counts(before: int, after: int, outcome: str) -> None:
    """One more missing message is worse, even with one run a side and with any tolerance."""
    a = [*runs([1, 1]), *runs([1], missing=before)]
    found = change(a, runs([1], missing=after), "missing", tolerance=9.0)

    assert (outcome, before, after) == (found.outcome, found.a, found.b)


def test_a_change_from_nothing_has_no_share() -> None:
    """A change from 0 has no share."""
    assert None is change(runs([1]), runs([1], missing=5), "missing").change


def test_what_one_side_has_not_is_not_compared() -> None:
    """A metric that one side lacks, such as latency at rate 0, is not compared."""
    assert "latency p99" not in [one.metric for one in compare(runs([None]), runs([5]), 0.1)]
    assert 5 == change(runs([None, 5]), runs([5])).a


@pytest.mark.parametrize(("values", "expected"), [([5], None), ([10, 9, 12], 0.2), ([0, 0, 1], None)])
def test_how_far_apart_runs_are_is_relative(values: list[int], expected: float | None) -> None:
    """The relative range is the largest distance from the median, as a share of the median."""
    assert pytest.approx(expected) == relative_range(values)
