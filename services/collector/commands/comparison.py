"""What changed from one set of runs to another, metric by metric, and whether it is more than noise. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import median
from typing import Literal, NamedTuple

import msgspec

from services.collector.commands import mann_whitney
from services.contract.summary import Summary

Outcome = Literal["same", "noise", "unknown", "better", "worse", "changed"]
"""Of a metric.

``noise``: no difference that chance would not give; ``unknown``: nobody knows what the noise is, with one run a side;
``changed``: a difference, and none that counts: smaller than asked for.
"""


class Metric(NamedTuple):
    """A number that every run has, or None where it does not apply.

    Attributes:
        name: what it is called.
        unit: ``ns``, ``msg/s``, or empty for a count of messages.
        read: takes it from a summary.
        more_is: what more of it means.
        is_fact: it has no noise: the worst run of a side counts, and any more is worse.
    """

    name: str
    unit: str
    read: Callable[[Summary], float | int | None]
    more_is: Literal["better", "worse"] = "worse"
    is_fact: bool = False


METRICS = (
    Metric("latency p50", "ns", lambda made: made.latency_ns.p50),
    Metric("latency p99", "ns", lambda made: made.latency_ns.p99),
    Metric("latency p99.9", "ns", lambda made: made.latency_ns.p99_9),
    Metric("transit p99", "ns", lambda made: made.transit_ns.p99),
    Metric("spread p99", "ns", lambda made: made.spread_ns.p99),
    Metric("rate", "msg/s", lambda made: made.totals.messages_per_second, "better"),
    Metric("block p50", "ns", lambda made: made.block_duration_ns.p50),
    Metric("silence", "ns", lambda made: made.silence.duration_ns if made.silence else None),
    Metric("missing", "", lambda made: made.totals.missing, is_fact=True),
    Metric("duplicates", "", lambda made: made.totals.duplicates, is_fact=True),
)


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One metric of both sides.

    ``a`` and ``b`` are medians, of facts the greatest; ``a_values`` and ``b_values`` those of the runs. ``change`` is
    relative to ``a``; null where that is 0. ``chance`` is how likely noise alone gives such a difference; null where
    nobody can tell.
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


def compare(before: Sequence[Summary], after: Sequence[Summary], bearable: float) -> list[Change]:
    """Return what changed, of every metric that both sides have.

    Args:
        before: the runs of one side, which the other is held to.
        after: the runs of the other.
        bearable: so much worse, relatively, is not called worse: 0.1 for 10 %.
    """
    changes = []
    for metric in METRICS:
        values = [[metric.read(made) for made in side] for side in (before, after)]
        a, b = ([value for value in side if value is not None] for side in values)
        if a and b:
            changes.append(_fact(metric, a, b) if metric.is_fact else _measure(metric, a, b, bearable))
    return changes


def apart(values: Sequence[float]) -> float | None:
    """Return how far the farthest run is from the median, relatively; None for one run, or a median of 0."""
    middle = median(values)
    return max(abs(value - middle) for value in values) / middle if len(values) > 1 and middle else None


def _fact(metric: Metric, a: list[float], b: list[float]) -> Change:
    worst_a, worst_b = max(a), max(b)
    outcome: Outcome = "same" if worst_a == worst_b else "worse" if worst_b > worst_a else "better"
    return _change(metric, a, b, worst_a, worst_b, None, outcome)


def _measure(metric: Metric, a: list[float], b: list[float], bearable: float) -> Change:
    middle_a, middle_b = median(a), median(b)
    if len(a) == 1 or len(b) == 1:
        return _change(metric, a, b, middle_a, middle_b, None, "unknown")
    chance = mann_whitney.chance(a, b)
    return _change(metric, a, b, middle_a, middle_b, chance, _outcome(metric, middle_a, middle_b, chance, bearable))


def _outcome(metric: Metric, a: float, b: float, chance: float, bearable: float) -> Outcome:
    if chance >= mann_whitney.ALPHA or a == b:
        return "noise"
    difference = math.copysign(math.inf, b - a) if a == 0 else (b - a) / a
    if (difference > 0) is (metric.more_is == "better"):
        return "better" if abs(difference) > bearable else "changed"
    return "worse" if abs(difference) > bearable else "changed"


def _change(
    metric: Metric, a: list[float], b: list[float], one: float, other: float, chance: float | None, outcome: Outcome
) -> Change:
    return Change(
        metric=metric.name,
        unit=metric.unit,
        a=one,
        b=other,
        a_values=a,
        b_values=b,
        change=(other - one) / one if one else None,
        chance=chance,
        outcome=outcome,
    )
