"""Tests of sets of sequence numbers, compared with Python's own sets."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contract.rangeset import MOST, RangeSet

seqs = st.integers(0, 40)
spans = st.lists(st.tuples(seqs, seqs), max_size=12)
"""Spans in any order, overlapping, touching, and some the wrong way round."""


def members(of: list[tuple[int, int]]) -> set[int]:
    """Return the numbers within spans."""
    return {number for first, last in of for number in range(first, last + 1)}


def held(ranges: RangeSet) -> set[int]:
    """Return the numbers that ranges hold, by their spans."""
    return members(ranges.spans())


@given(spans)
def test_holds_what_was_added(given_spans: list[tuple[int, int]]) -> None:
    """A range set has the numbers of its spans, in any order of the spans."""
    ranges, expected = RangeSet(given_spans), members(given_spans)

    assert expected == held(ranges)
    assert expected == {number for number in range(-2, 44) if number in ranges}
    assert len(expected) == ranges.count
    assert bool(expected) == bool(ranges)
    assert max(expected, default=0) == ranges.last


@given(st.lists(seqs))
def test_numbers_become_ranges(numbers: list[int]) -> None:
    """A set made of numbers in any order, also repeated ones, holds these numbers in the fewest ranges."""
    ranges = RangeSet.from_numbers(numbers)

    assert set(numbers) == held(ranges)
    assert RangeSet((number, number) for number in numbers) == ranges


@given(spans)
def test_spans_are_fewest(given_spans: list[tuple[int, int]]) -> None:
    """Spans are sorted, none is empty, and between two of them at least one number is missing."""
    found = RangeSet(given_spans).spans()

    assert all(first <= last for first, last in found)
    assert all(one[1] + 1 < other[0] for one, other in pairwise(found))


@given(spans, seqs, seqs)
def test_add_counts_the_new(given_spans: list[tuple[int, int]], first: int, last: int) -> None:
    """`add` returns how many numbers of a span are new."""
    ranges = RangeSet(given_spans)
    before = held(ranges)

    assert len(members([(first, last)]) - before) == ranges.add(first, last)
    assert before | members([(first, last)]) == held(ranges)


@given(spans, spans)
def test_set_operations(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
    """Union, intersection and difference are those of sets."""
    a, b = RangeSet(one), RangeSet(other)

    assert members(one) | members(other) == held(a | b)
    assert members(one) & members(other) == held(a & b)
    assert members(one) - members(other) == held(a - b)


@given(spans, spans)
def test_operations_leave_the_operands(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
    """An operation returns a new set, and adding numbers to it does not change the old ones."""
    a, b = RangeSet(one), RangeSet(other)
    for result in (a | b, a & b, a - b):
        result.add(100, 200)

    assert members(one) == held(a)
    assert members(other) == held(b)


@given(spans, seqs, seqs)
def test_within(given_spans: list[tuple[int, int]], first: int, last: int) -> None:
    """`within` includes both bounds."""
    expected = members(given_spans) & members([(first, last)])

    assert expected == held(RangeSet(given_spans).within(first, last))


@given(spans, seqs)
def test_the_range_of_a_number(given_spans: list[tuple[int, int]], number: int) -> None:
    """A number of the set is in exactly one range, any other number in none."""
    ranges = RangeSet(given_spans)
    expected = next((span for span in ranges if span[0] <= number <= span[1]), None)

    assert expected == ranges.span_of(number)


@given(spans, spans)
def test_equality(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
    """Two sets are equal if they have the same numbers, however these were added."""
    assert (members(one) == members(other)) == (RangeSet(one) == RangeSet(other))


def test_differs_from_other_types() -> None:
    """A set is not equal to a list of its spans."""
    assert RangeSet([(1, 2)]) != [(1, 2)]


def test_huge_spans_cost_nothing() -> None:
    """A set takes two integers for each span, however many numbers it has."""
    ranges = RangeSet([(1, 2**53 - 1)]) - RangeSet([(7, 7)])
    expected = [(1, 6), (8, 2**53 - 1)]

    assert sum(last - first + 1 for first, last in expected) == ranges.count
    assert expected == ranges.spans() == list(iter(ranges))


def test_shows_its_spans() -> None:
    """The representation of a set shows its spans."""
    expected = "RangeSet([(1, 3), (5, 5)])"

    assert expected == repr(RangeSet([(1, 2), (5, 5), (3, 3)]))


def test_has_no_hash() -> None:
    """A set is not hashable, since it can grow."""
    with pytest.raises(TypeError, match="unhashable"):
        hash(RangeSet())


def test_a_length_is_never_more_than_len_can_return() -> None:
    """The count of a set is limited, since numbers of 64 bits may leave larger gaps."""
    assert MOST == RangeSet([(1, 2**64)]).count
