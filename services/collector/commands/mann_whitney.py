"""Whether two small samples differ by more than noise: Mann and Whitney's U, exact. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import groupby
from math import comb

ALPHA = 0.05
"""Below this a difference is held to be more than noise: chance alone gives one in twenty."""


def chance(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return how likely two samples of one and the same thing differ at least so much, 1 when either is empty.

    Two-sided, and exact with ties too: of all ways to deal the ranks to the two sides, the share in which the sum of
    ours is as far from its middle as it is. Nothing is assumed of how the values are distributed.
    """
    if not ours or not theirs:
        return 1.0
    doubled = _doubled_ranks([*ours, *theirs])
    count, whole = len(ours), sum(doubled)
    # ways[k][s]: in how many ways k of the ranks seen so far have the sum s.
    ways: list[dict[int, int]] = [{0: 1}, *({} for _ in range(count))]
    for rank in doubled:
        for taken in range(count, 0, -1):
            for total, number in ways[taken - 1].items():
                ways[taken][total + rank] = ways[taken].get(total + rank, 0) + number
    middle = Fraction(whole * count, len(doubled))
    found = abs(sum(doubled[:count]) - middle)
    extreme = sum(number for total, number in ways[count].items() if abs(total - middle) >= found)
    return extreme / sum(ways[count].values())


def can_tell(ours: int, theirs: int) -> bool:
    """Tell whether any difference between samples of these sizes, however great, is less likely than `ALPHA`."""
    return 2 / comb(ours + theirs, ours) < ALPHA


def _doubled_ranks(values: list[float]) -> list[int]:
    """Return twice the rank of each value, a whole number even where equal ones share the ranks between them."""
    ranks = [0] * len(values)
    start = 0
    for _, group in groupby(sorted(range(len(values)), key=values.__getitem__), key=values.__getitem__):
        equal = list(group)
        for at in equal:
            ranks[at] = 2 * start + len(equal) + 1
        start += len(equal)
    return ranks
