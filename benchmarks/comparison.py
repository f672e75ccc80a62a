"""Compares figures with those of an earlier run, and names each that became worse by more than its noise. Pure.

The noise of a figure is the greatest distance of a round from the median, in its worse direction, as a share of the
median: that of the noisier run of the two. Figures of one round have none, so a fifth is assumed, by which figures of a
shared machine spread.
"""

from __future__ import annotations

from statistics import median
from typing import NamedTuple

import msgspec

from benchmarks.measure import Figures, Metric

LEAST_NOISE, ASSUMED_NOISE = 0.05, 0.2
_ENOUGH_ROUNDS = 3
_QUICK = "  the runs now were shorter: a figure that contains a start is worse for that alone"


class EarlierFigure(msgspec.Struct, frozen=True):
    """A figure of an earlier run: the values of its rounds, or the lowest, the median and the highest of them."""

    name: str
    unit: str
    better: str
    values: list[float]


class EarlierRun(msgspec.Struct, frozen=True):
    """An earlier run: the date, the conditions and the figures."""

    date: str
    figures: list[EarlierFigure]
    conditions: dict[str, str] = {}

    @classmethod
    def of(cls, text: bytes) -> EarlierRun:
        """Return the run of which ``--json`` has written the text.

        Raises:
            msgspec.MsgspecError: it is no such text.
        """
        return msgspec.json.decode(text, type=cls)


class Fall(NamedTuple):
    """A figure that became worse by more than its noise: both medians, and both shares of the median before."""

    metric: Metric
    before: float
    now: float
    worse: float
    noise: float

    def sentence(self) -> str:
        """Return the sentence that names it."""
        return (
            f"{self.metric.name}: {self.before:.4g} → {self.now:.4g} {self.metric.unit}, "
            f"{100 * self.worse:.0f} % worse; its noise is {100 * self.noise:.0f} %"
        )


class Comparison(NamedTuple):
    """What became worse, the number of figures that were compared, and the names of those of one run only."""

    falls: list[Fall]
    compared: int
    only_now: list[str]
    only_before: list[str]


def compare(before: EarlierRun, now: Figures) -> Comparison:
    """Compare the figures that have the same name and unit in both runs."""
    earlier = {(figure.name, figure.unit): figure for figure in before.figures if figure.values}
    falls, only_now = [], []
    for metric, values in now.values.items():
        figure = earlier.pop((metric.name, metric.unit), None)
        if figure is None:
            only_now.append(metric.name)
        elif (fall := _fall(metric, figure.values, values)) is not None:
            falls.append(fall)
    only_before = [name for name, _ in earlier]
    return Comparison(falls, len(now.values) - len(only_now), only_now, only_before)


def noise(values: list[float], better: str) -> float:
    """Return the noise of a figure, a share of its median."""
    middle = median(values)
    if len(values) < _ENOUGH_ROUNDS or not middle:
        return ASSUMED_NOISE
    distance = middle - min(values) if better == "more" else max(values) - middle
    return max(distance / abs(middle), LEAST_NOISE)


def report(before: EarlierRun, comparison: Comparison, conditions: dict[str, str], *, is_quick: bool = False) -> str:
    """Return the lines for the end of a run.

    Args:
        before: the earlier run.
        comparison: with it.
        conditions: of the run now.
        is_quick: whether the runs now were shorter than those before.
    """
    others = [
        f"{name} {before.conditions.get(name, 'unknown')} → {value}"
        for name, value in conditions.items()
        if before.conditions and before.conditions.get(name) != value
    ]
    head = f"compared with the run of {before.date}: {comparison.compared} figures, {len(comparison.falls)} worse"
    return "\n".join(
        [
            f"{head} by more than their noise",
            *(f"  {fall.sentence()}" for fall in comparison.falls),
            *(
                ["  the runs now were shorter: a figure that contains a start is worse for that alone"]
                if is_quick
                else []
            ),
            *([f"  other conditions: {', '.join(others)}"] if others else []),
            *_missing("only in this run", comparison.only_now),
            *_missing("only in the earlier run", comparison.only_before),
        ]
    )


def _fall(metric: Metric, before: list[float], now: list[float]) -> Fall | None:
    was, is_ = median(before), median(now)
    allowed = max(noise(before, metric.better), noise(now, metric.better))
    difference = was - is_ if metric.better == "more" else is_ - was
    if not was:
        # A share of nothing cannot be computed: any value above it is worse.
        return Fall(metric, was, is_, 1.0, allowed) if difference > 0 else None
    worse = difference / abs(was)
    return Fall(metric, was, is_, worse, allowed) if worse > allowed else None


def _missing(where: str, names: list[str]) -> list[str]:
    return [f"  {where}: {len(names)} figures, such as “{names[0]}”"] if names else []
