"""Sets of sequence numbers, stored as ranges: small if the numbers are nearly consecutive, exact if they are not."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import groupby

MOST = 2**63 - 1
"""Upper limit of a count: larger ones would not fit into the numbers of a summary."""


class RangeSet:
    """A set of integers as sorted, disjoint, non-adjacent inclusive ranges."""

    __slots__ = ("_firsts", "_lasts")

    def __init__(self, spans: Iterable[tuple[int, int]] = ()) -> None:
        # Two lists of integers instead of one of pairs: `bisect` searches them without a key function.
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in spans:
            self.add(first, last)

    @classmethod
    def from_numbers(cls, numbers: Iterable[int]) -> RangeSet:
        """Return the set of some integers, in any order, each also more than once."""
        result = cls()
        # Consecutive numbers have the same distance from their index.
        for _, pairs in groupby(enumerate(sorted(set(numbers))), lambda pair: pair[1] - pair[0]):
            row = [number for _, number in pairs]
            result._firsts.append(row[0])
            result._lasts.append(row[-1])
        return result

    def add(self, first: int, last: int) -> int:
        """Add ``first`` to ``last`` inclusive (nothing when last < first); return how many were new."""
        if last < first:
            return 0
        # Nearly all numbers are added in order, and extend the last range.
        if self._lasts and first == self._lasts[-1] + 1:
            self._lasts[-1] = last
            return last - first + 1
        # One number more on each side, so that adjacent ranges are joined.
        low = bisect_left(self._lasts, first - 1)
        high = bisect_right(self._firsts, last + 1)
        if low == high:
            self._firsts.insert(low, first)
            self._lasts.insert(low, last)
            return last - first + 1
        merged_first = min(first, self._firsts[low])
        merged_last = max(last, self._lasts[high - 1])
        before = sum(b - a + 1 for a, b in zip(self._firsts[low:high], self._lasts[low:high], strict=True))
        self._firsts[low:high] = [merged_first]
        self._lasts[low:high] = [merged_last]
        return merged_last - merged_first + 1 - before

    def __contains__(self, number: int) -> bool:
        at = bisect_left(self._lasts, number)
        return at < len(self._firsts) and self._firsts[at] <= number

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._firsts, self._lasts, strict=True)

    def spans(self) -> list[tuple[int, int]]:
        """Return the ranges."""
        return list(self)

    # Not ``__len__``: `list` and `list.extend` would ask for it, and allocate an entry for each integer.
    @property
    def count(self) -> int:
        """The number of integers in the set, at most `MOST`."""
        return min(sum(self._lasts) - sum(self._firsts) + len(self._firsts), MOST)

    def __bool__(self) -> bool:
        return bool(self._firsts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RangeSet) and (self._firsts, self._lasts) == (other._firsts, other._lasts)

    __hash__ = None  # type: ignore[assignment]  # a mutable set

    def __repr__(self) -> str:
        return f"RangeSet({self.spans()})"

    @property
    def last(self) -> int:
        """The highest integer of the set, 0 if it is empty."""
        return self._lasts[-1] if self._lasts else 0

    def span_of(self, number: int) -> tuple[int, int] | None:
        """Return the range with an integer, None if it is not in the set."""
        at = bisect_left(self._lasts, number)
        return (self._firsts[at], self._lasts[at]) if number in self else None

    def within(self, first: int, last: int) -> RangeSet:
        """Return the integers of the set between ``first`` and ``last`` inclusive."""
        return self & RangeSet([(first, last)])

    def __and__(self, other: RangeSet) -> RangeSet:
        result, mine, theirs = RangeSet(), self.spans(), other.spans()
        i = j = 0
        while i < len(mine) and j < len(theirs):
            result.add(max(mine[i][0], theirs[j][0]), min(mine[i][1], theirs[j][1]))
            # The range that ends later may overlap the next range of the other set, too.
            if mine[i][1] < theirs[j][1]:
                i += 1
            else:
                j += 1
        return result

    def __or__(self, other: RangeSet) -> RangeSet:
        result = RangeSet(self)
        for first, last in other:
            result.add(first, last)
        return result

    def __sub__(self, other: RangeSet) -> RangeSet:
        result, holes = RangeSet(), other.spans()
        j = 0
        for first, last in self:
            # A hole that reached beyond the end of the range before may cover the beginning of this one.
            while j and holes[j - 1][1] >= first:
                j -= 1
            while j < len(holes) and holes[j][1] < first:
                j += 1
            start = first
            while j < len(holes) and holes[j][0] <= last:
                result.add(start, holes[j][0] - 1)
                start = holes[j][1] + 1
                j += 1
            result.add(start, last)
        return result
