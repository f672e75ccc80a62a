"""The unreadable records of one client of an external feed, and the missing numbers that they account for.

A record whose number cannot be read is in the log, so a gap at its position is no evidence of a loss. Each such record
accounts for at most one missing number, and only for a number between those received before and after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from services.collector.evidence.numbers.number_ranges import SequenceName
from services.contract.rangeset import RangeSet
from services.contract.scalars import Span


class _LastNumber(NamedTuple):
    """The last number of a sequence, and the number of unreadable records that the client had received before."""

    number: int
    unreadable: int


class UnreadableRecords:
    """The unreadable records of one client, counted from 1 in the order received, and the numbers they account for."""

    def __init__(self) -> None:
        self.count = 0
        self._used = RangeSet()
        self._numbers: dict[SequenceName, RangeSet] = {}
        self._lasts: dict[SequenceName, _LastNumber] = {}

    def follow(
        self, key: SequenceName, first: int, last: int, before: tuple[int, int], *, is_range: bool = False
    ) -> None:
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
            for span in self._assign(gap, known.unreadable, before[0], is_range=is_range):
                self._numbers.setdefault(key, RangeSet()).add(*span)
        self._lasts[key] = _LastNumber(last, self.count + before[1])

    def begin_again(
        self, key: SequenceName, missing: RangeSet, head: Span, before: int, *, is_range: bool = False
    ) -> RangeSet:
        """Begin a sequence again; return the numbers before it that unreadable records account for.

        Args:
            key: of the sequence.
            missing: the numbers that it lacked before. After a wrap they reach up to the counter's highest number.
            head: the numbers from its new start to the one before the first received, which are missing after a wrap;
                an empty range, whose end is below its begin, without any.
            before: the number of unreadable records in the block before the first record.
            is_range: as in `follow`.
        """
        numbers, known = self._numbers.pop(key, RangeSet()), self._lasts[key]
        for gap in missing.within(known.number + 1, missing.last):
            for span in self._assign(gap, known.unreadable, before, is_range=is_range):
                numbers.add(*span)
        for span in self._assign(head, known.unreadable, before, is_range=is_range):
            self._numbers.setdefault(key, RangeSet()).add(*span)
        return numbers

    def _assign(self, gap: Span, after: int, before: int, *, is_range: bool) -> list[Span]:
        if gap[1] < gap[0]:
            return []
        spans = _assigned(gap, after, self.count + before, self._used)
        return [gap] if spans and is_range else spans

    def among(self, missing: Mapping[SequenceName, RangeSet]) -> dict[SequenceName, RangeSet]:
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
