"""Tests of the test for noise, compared with published tables and an enumeration."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.collector.commands.comparison import ALPHA, can_be_significant, p_value

# Of the two-sided test at 5 %: the greatest U that is significant, by the two sizes (Mann and Whitney's table).
CRITICAL = {
    (4, 4): 0, (4, 5): 1, (4, 8): 4, (5, 5): 2, (5, 6): 3, (5, 8): 6, (6, 6): 5, (7, 7): 8, (8, 8): 13,
    (9, 9): 17, (10, 10): 23, (12, 12): 37, (15, 15): 64, (20, 20): 127,
}  # fmt: skip


def samples(ours: int, theirs: int, u: int) -> tuple[list[float], list[float]]:
    """Return samples without ties whose U has this value: the number of pairs in which theirs is lower."""
    values = [float(value) for value in range(ours)]
    for at in reversed(range(ours)):
        step = min(u, theirs)
        u -= step
        values[at] += step
    every = range(ours + theirs)
    return values, [float(value) for value in every if value not in values]


@pytest.mark.parametrize(("sizes", "u"), CRITICAL.items())
def test_the_published_bounds_are_kept(sizes: tuple[int, int], u: int) -> None:
    """At the table's U a difference is significant, and one step nearer to the middle it is not."""
    assert p_value(*samples(*sizes, u)) < ALPHA <= p_value(*samples(*sizes, u + 1))


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ([1, 2, 3], [4, 5, 6], 2 / 20),
        ([1, 2, 3, 4, 5], [6, 7, 8, 9, 10], 2 / 252),
        ([1, 2, 3, 4, 6], [5, 7, 8, 9, 10], 4 / 252),
        ([1], [2], 1.0),
        ([1, 1, 1], [1, 1, 1], 1.0),
        ([], [1], 1.0),
        ([1, 1, 2], [2, 2, 2], 8 / 20),
    ],
)
def test_chance_is_counted_exactly(ours: list[float], theirs: list[float], expected: float) -> None:
    """The p-value with ties equals the fraction of rank assignments at least as far from the mean."""
    assert pytest.approx(expected) == p_value(ours, theirs)


numbers = st.lists(st.integers(0, 9).map(float), min_size=1, max_size=5)


@given(numbers, numbers)
def test_it_is_what_trying_all_ways_gives(ours: list[float], theirs: list[float]) -> None:
    """The p-value is the share of all assignments of the values to the sides whose rank sum is as extreme."""
    every = sorted([*ours, *theirs])
    ranks = [2 * every.index(value) + every.count(value) + 1 for value in [*ours, *theirs]]
    sums = [sum(dealt) * len(ranks) for dealt in combinations(ranks, len(ours))]
    middle = sum(ranks) * len(ours)
    extreme = [one for one in sums if abs(one - middle) >= abs(sum(ranks[: len(ours)]) * len(ranks) - middle)]

    assert pytest.approx(len(extreme) / len(sums)) == p_value(ours, theirs)


@given(numbers, numbers)
def test_it_does_not_matter_which_side_is_ours(ours: list[float], theirs: list[float]) -> None:
    """The p-value does not depend on which side is first, nor on the unit."""
    assert pytest.approx(p_value(ours, theirs)) == p_value(theirs, ours)
    assert pytest.approx(p_value(ours, theirs)) == p_value([10 * one for one in ours], [10 * one for one in theirs])


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [(3, 3, False), (3, 4, False), (3, 5, True), (4, 4, True), (1, 38, False), (1, 40, True)],
)
def test_too_few_runs_show_nothing(ours: int, theirs: int, expected: bool) -> None:
    """`can_be_significant` is whether the most extreme samples of these sizes are significant."""
    apart = p_value(range(ours), range(100, 100 + theirs))

    assert expected is can_be_significant(ours, theirs)
    assert expected is (apart < ALPHA)
