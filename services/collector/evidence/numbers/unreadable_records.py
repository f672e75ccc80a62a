"""Finds missing numbers that unreadable records may account for.

A record whose number cannot be read is in the log, so a gap at its position is no evidence of a loss. Each such record
accounts for at most one number, and only for a number between those received before and after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from services.contract.rangeset import RangeSet

Name = str | None


class _Last(NamedTuple):
    """The last number of a sequence, and the number of unreadable records that the client had received before."""

    number: int
    unreadable: int


class UnreadableRecords:
    """The unreadable records of one client, counted from 1 in the order received, and the numbers they account for."""

    def __init__(self) -> None:
        self.count = 0
        self._used = RangeSet()
        self._numbers: dict[Name, RangeSet] = {}
        self._lasts: dict[Name, _Last] = {}

    def follow(self, key: Name, first: int, last: int, before: tuple[int, int], *, is_range: bool = False) -> None:
        """Add the next range of consecutive numbers of a sequence.

        Args:
            key: of the sequence.
            first: the first number.
            last: the last number.
            before: the number of unreadable records in the block before the first and before the last record.
            is_range: a message of the feed may cover many numbers, so one record may account for a whole gap.
        """
        known = self._lasts.get(key)
        if known is not None and first > known.number + 1:
            gap = (known.number + 1, first - 1)
            spans = _assigned(gap, known.unreadable, self.count + before[0], self._used)
            for span in [gap] if spans and is_range else spans:
                self._numbers.setdefault(key, RangeSet()).add(*span)
        self._lasts[key] = _Last(last, self.count + before[1])

    def forget(self, key: Name) -> RangeSet:
        """Remove the numbers of a sequence that has begun again, and return them."""
        return self._numbers.pop(key, RangeSet())

    def among(self, missing: Mapping[Name, RangeSet]) -> dict[Name, RangeSet]:
        """Return the missing numbers that unreadable records account for, also those after the last number."""
        # A copy, since a query must use up no record: more blocks may follow that fill the gap at the end.
        used, result = RangeSet(self._used), {}
        # Sequences share the records, so a fixed order makes the result independent of the order of reading.
        for key in sorted(missing, key=lambda key: key or ""):
            numbers, known = missing[key] & self._numbers.get(key, RangeSet()), self._lasts.get(key)
            behind = missing[key].last
            if known is not None and self.count > known.unreadable and behind > known.number:
                tail = missing[key].within(known.number + 1, behind)
                for span in tail:
                    for assigned in _assigned(span, known.unreadable, self.count, used):
                        numbers.add(*assigned)
            result[key] = numbers
        return result


def _assigned(span: tuple[int, int], after: int, through: int, used: RangeSet) -> list[tuple[int, int]]:
    """Assign the lowest numbers of a gap to unused unreadable records after ``after`` and mark these used."""
    free = RangeSet([(after + 1, through)]) - used
    count = min(free.count, span[1] - span[0] + 1)
    left = count
    for first, last in free:
        if not left:
            break
        taken = min(left, last - first + 1)
        used.add(first, first + taken - 1)
        left -= taken
    return [(span[0], span[0] + count - 1)] if count else []
