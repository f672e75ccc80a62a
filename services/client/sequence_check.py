"""Compares the records that arrive with those expected: gaps, duplicates, order. Pure."""

from __future__ import annotations

from services.contract.rangeset import RangeSet
from services.contract.scalars import Span


class SequenceChecker:
    """Remembers which records a client holds, and counts the faults of those that arrive.

    Attributes:
        held: seqs of the records that the client holds.
        duplicates: records received again since the last block; the next block states it, and the two below.
        reordered: records received after a later one.
        corrupt: ranges of seqs whose bytes were damaged on the way.
    """

    def __init__(self, held: RangeSet) -> None:
        self.held = held
        self.duplicates = 0
        self.reordered = 0
        self.corrupt: list[Span] = []
        self._has_unreadable_frame = False

    @property
    def after(self) -> int:
        """The last seq held: where a subscription resumes."""
        return self.held.last

    def accept(self, first: int, count: int) -> list[int] | None:
        """Add a batch; return the indices of its records that are new, or None when all are (the usual case)."""
        last = first + count - 1
        # The usual case by far, without a look at each record.
        if first == self.held.last + 1:
            self.held.add(first, last)
            self._has_unreadable_frame = False
            return None
        self.sent_through(first - 1)
        indices = []
        for index, seq in enumerate(range(first, last + 1)):
            if seq in self.held:
                self.duplicates += 1
                continue
            if seq < self.held.last:
                self.reordered += 1
            self.held.add(seq, seq)
            indices.append(index)
        return indices

    def add_corrupt_batch(self, first: int, count: int) -> None:
        """Count a batch that failed its digest as corrupt: it is neither logged nor requested again."""
        # A second request would hide the fault, which is a result of the measurement.
        self.corrupt.append((first, first + count - 1))

    def add_unreadable_frame(self) -> None:
        """Count the next gap as corrupt: a frame arrived whose header cannot be trusted, so its seqs are unknown."""
        self._has_unreadable_frame = True

    def sent_through(self, last: int) -> None:
        """Count seqs up to ``last`` that are missing after an unreadable frame as corrupt: they were in that frame."""
        if self._has_unreadable_frame and last > self.held.last:
            self.corrupt.append((self.held.last + 1, last))
            self._has_unreadable_frame = False

    def take_counts(self) -> tuple[int, int, list[Span]]:
        """Return duplicates, reordered and corrupt ranges since the last call, and reset them."""
        counts = self.duplicates, self.reordered, self.corrupt
        self.duplicates, self.reordered, self.corrupt = 0, 0, []
        return counts
