"""Mann–Whitney U test, exact also with ties: do two small samples differ by more than noise? Pure.

Written here because scipy, 35 MB, is exact only without ties.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import groupby
from math import comb

ALPHA = 0.05
"""Significance level: a difference with a lower probability under chance alone counts as more than noise."""


def chance(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the two-sided p-value: how likely two samples of the same distribution differ at least this much.

    It is the fraction of all assignments of the ranks to the two samples in which the rank sum of the first is at least
    as far from its mean as it is here. No assumption is made about the distribution. 1 if a sample is empty.
    """
    if not ours or not theirs:
        return 1.0
    doubled = _doubled_ranks([*ours, *theirs])
    count, rank_sum = len(ours), sum(doubled)
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


def can_be_significant(ours: int, theirs: int) -> bool:
    """Return whether samples of these sizes are large enough for any difference to be significant."""
    # The two most extreme assignments of the ranks are the least probable result that there can be.
    return 2 / comb(ours + theirs, ours) < ALPHA


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
