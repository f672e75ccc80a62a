"""Changes of each metric between two sets of runs, and whether they exceed the noise. Pure.

The noise is judged by the Mann–Whitney U test. It is written here because scipy, 35 MB, is exact only without ties.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import groupby
from math import comb
from statistics import median
from typing import Literal, NamedTuple

import msgspec

from services.contract.summary import Summary

Outcome = Literal["same", "noise", "unknown", "better", "worse", "changed"]
"""The outcome of a metric.

``noise``: chance alone may give the difference. ``unknown``: with one run a side the noise is unknown.
``changed``: a significant difference within the tolerance. ``same``: equal counts.
"""

ALPHA = 0.05
"""Significance level: a difference with a lower probability under chance alone counts as more than noise."""


class Metric(NamedTuple):
    """A number of each run.

    Attributes:
        name: its displayed name.
        unit: ``ns``, ``msg/s``, or empty for a count of messages.
        read: returns it from a summary, None where it does not apply.
        more_is: whether a higher value is better or worse.
        is_count: a count without noise: the highest value of a side decides, and any increase is worse.
    """

    name: str
    unit: str
    read: Callable[[Summary], float | int | None]
    more_is: Literal["better", "worse"] = "worse"
    is_count: bool = False


METRICS = (
    Metric("latency p50", "ns", lambda summary: summary.latency_ns.p50),
    Metric("latency p99", "ns", lambda summary: summary.latency_ns.p99),
    Metric("latency p99.9", "ns", lambda summary: summary.latency_ns.p99_9),
    Metric("transit p99", "ns", lambda summary: summary.transit_ns.p99),
    Metric("spread p99", "ns", lambda summary: summary.spread_ns.p99),
    Metric("rate", "msg/s", lambda summary: summary.totals.messages_per_second, "better"),
    Metric("block p50", "ns", lambda summary: summary.block_duration_ns.p50),
    Metric("silence", "ns", lambda summary: summary.silence.duration_ns if summary.silence else None),
    Metric("missing", "", lambda summary: summary.totals.missing, is_count=True),
    Metric("duplicates", "", lambda summary: summary.totals.duplicates, is_count=True),
)


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One metric of both sides.

    Attributes:
        a: the median of side A, of a count the highest value; ``b`` of side B.
        a_values: the values of the runs; ``b_values`` of side B.
        change: relative to ``a``; null if that is 0.
        chance: the probability that noise alone gives such a difference; null for counts and for one run a side.
    """

    metric: str
    unit: str
    a: float
    b: float
    a_values: list[float]
    b_values: list[float]
    change: float | None
    chance: float | None
    outcome: Outcome


def compare(before: Sequence[Summary], after: Sequence[Summary], tolerance: float) -> list[Change]:
    """Return the change of every metric that both sides have.

    Args:
        before: the runs of the reference side.
        after: the runs of the other side.
        tolerance: a relative regression up to this is not called worse: 0.1 for 10 %.
    """
    changes = []
    for metric in METRICS:
        values = [[metric.read(summary) for summary in side] for side in (before, after)]
        a, b = ([value for value in side if value is not None] for side in values)
        if a and b:
            changes.append(
                _count_change(metric, a, b) if metric.is_count else _measured_change(metric, a, b, tolerance)
            )
    return changes


def relative_range(values: Sequence[float]) -> float | None:
    """Return the largest distance of a value from the median, relative to it; None for one value or a median of 0."""
    center = median(values)
    return max(abs(value - center) for value in values) / center if len(values) > 1 and center else None


def p_value(left: Sequence[float], right: Sequence[float]) -> float:
    """Return the two-sided p-value: how likely two samples of the same distribution differ at least this much.

    It is the fraction of all assignments of the ranks to the two samples in which the rank sum of the first is at least
    as far from its mean as it is here. No assumption is made about the distribution. 1 if a sample is empty.
    """
    if not left or not right:
        return 1.0
    doubled = _doubled_ranks([*left, *right])
    count, rank_sum = len(left), sum(doubled)
    # ways[k][s]: the number of ways to choose k of the ranks so far with the sum s.
    ways: list[dict[int, int]] = [{0: 1}, *({} for _ in range(count))]
    for rank in doubled:
        for taken in range(count, 0, -1):
            for total, number in ways[taken - 1].items():
                ways[taken][total + rank] = ways[taken].get(total + rank, 0) + number
    # Exact fractions: whether a sum is as far from the mean as the observed one must not depend on rounding.
    mean = Fraction(rank_sum * count, len(doubled))
    observed = abs(sum(doubled[:count]) - mean)
    extreme = sum(number for total, number in ways[count].items() if abs(total - mean) >= observed)
    return extreme / sum(ways[count].values())


def can_be_significant(left: int, right: int) -> bool:
    """Return whether samples of these sizes are large enough for any difference to be significant."""
    # The two most extreme assignments of the ranks are the least probable result that there can be.
    return 2 / comb(left + right, left) < ALPHA


def _count_change(metric: Metric, a: list[float], b: list[float]) -> Change:
    # A lost message is a fact without noise, so the worst run of a side counts and no median (ADR 40).
    worst_a, worst_b = max(a), max(b)
    outcome: Outcome = "same" if worst_a == worst_b else "worse" if worst_b > worst_a else "better"
    return _change(metric, a, b, worst_a, worst_b, None, outcome)


def _measured_change(metric: Metric, a: list[float], b: list[float], tolerance: float) -> Change:
    median_a, median_b = median(a), median(b)
    # From one run the noise is unknown, so a difference from it has no significance.
    if len(a) == 1 or len(b) == 1:
        return _change(metric, a, b, median_a, median_b, None, "unknown")
    chance = p_value(a, b)
    return _change(metric, a, b, median_a, median_b, chance, _outcome(metric, median_a, median_b, chance, tolerance))


def _outcome(metric: Metric, a: float, b: float, chance: float, tolerance: float) -> Outcome:
    # Ranks may differ significantly although both medians are equal; then there is no change to name.
    if chance >= ALPHA or a == b:
        return "noise"
    # From 0 no relative change exists, and any change exceeds the tolerance.
    difference = math.copysign(math.inf, b - a) if a == 0 else (b - a) / a
    if (difference > 0) is (metric.more_is == "better"):
        return "better" if abs(difference) > tolerance else "changed"
    return "worse" if abs(difference) > tolerance else "changed"


def _change(
    metric: Metric,
    a: list[float],
    b: list[float],
    value_a: float,
    value_b: float,
    chance: float | None,
    outcome: Outcome,
) -> Change:
    return Change(
        metric=metric.name,
        unit=metric.unit,
        a=value_a,
        b=value_b,
        a_values=a,
        b_values=b,
        change=(value_b - value_a) / value_a if value_a else None,
        chance=chance,
        outcome=outcome,
    )


def _doubled_ranks(values: list[float]) -> list[int]:
    """Return twice the rank of each value: an integer even for ties, which get the mean of their ranks."""
    ranks = [0] * len(values)
    start = 0
    for _, group in groupby(sorted(range(len(values)), key=values.__getitem__), key=values.__getitem__):
        equal = list(group)
        for index in equal:
            ranks[index] = 2 * start + len(equal) + 1
        start += len(equal)
    return ranks
