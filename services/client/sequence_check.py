"""What came, against what should have come: gaps, duplicates, order. Pure."""

from __future__ import annotations

from services.contract.rangeset import RangeSet
from services.contract.scalars import Span


class SequenceChecker:
    """Remembers which records a client holds, and counts what is wrong with those that come.

    The counts are of what came since they were last taken: the next block carries them.
    """

    def __init__(self, held: RangeSet) -> None:
        self.held = held
        self.duplicates = 0
        self.reordered = 0
        self.corrupt: list[Span] = []
        self._unreadable = False

    @property
    def after(self) -> int:
        """The last seq held: where a subscription resumes."""
        return self.held.last

    def accept(self, first: int, count: int) -> list[int] | None:
        """Take in a batch; return the places in it that are new, or None when all are (the usual case)."""
        last = first + count - 1
        if first == self.held.last + 1:
            self.held.add(first, last)
            self._unreadable = False
            return None
        self.reached(first - 1)
        places = []
        for place, seq in enumerate(range(first, last + 1)):
            if seq in self.held:
                self.duplicates += 1
                continue
            if seq < self.held.last:
                self.reordered += 1
            self.held.add(seq, seq)
            places.append(place)
        return places

    def refuse(self, first: int, count: int) -> None:
        """Note a batch that failed its digest: it is not logged, and not asked for again."""
        self.corrupt.append((first, first + count - 1))

    def unreadable(self) -> None:
        """Note a frame of which not even the header is to be trusted: the gap that it leaves is its doing."""
        self._unreadable = True

    def reached(self, last: int) -> None:
        """Note that everything up to ``last`` has been sent; what is missing behind an unreadable frame was in it."""
        if self._unreadable and last > self.held.last:
            self.corrupt.append((self.held.last + 1, last))
            self._unreadable = False

    def take_counts(self) -> tuple[int, int, list[Span]]:
        """Return duplicates, reordered and corrupt ranges since the last call."""
        counts = self.duplicates, self.reordered, self.corrupt
        self.duplicates, self.reordered, self.corrupt = 0, 0, []
        return counts
