"""Tracks the numbers of one sequence of an external feed: gaps, duplicates, order and restarts.

Unlike with the own feed, the first number is unknown: the sequence begins with the first number that is received.
"""

from __future__ import annotations

from services.contract.rangeset import RangeSet

FIRSTS = (0, 1)
"""The numbers with which a sequence may begin, and begin again."""
SPARE = 1000
"""Most numbers by which a record is late: a sequence that falls back further, to a first number, has begun again."""


class SequenceTracker:
    """The numbers of one sequence, as one client received them.

    Attributes:
        held: the numbers received since the last restart.
        start: the lowest of them, None before the first.
        past: the number of different numbers received before the last restart.
        duplicates: the number of numbers received again.
        reordered: the number of numbers received after a higher one.
        restarts: how often the sequence began again.
        restarts_by_connection: how often it did so on a new connection.
        gaps_before: the ranges that were missing before each restart.
    """

    def __init__(self) -> None:
        self.held = RangeSet()
        self.start: int | None = None
        self.past = self.duplicates = self.reordered = self.restarts = self.restarts_by_connection = 0
        self.gaps_before: list[tuple[int, int]] = []
        # Digests only of the records under first numbers: no other number can begin a sequence again.
        self._beginnings: dict[int, int] = {}
        self._reconnected = False

    def reconnected(self) -> None:
        """Record that the next number is received over a new connection, with which the sequence may begin again."""
        self._reconnected = True

    def accept(self, seq: int, digest: int) -> bool:
        """Add the next number in the order received, with the digest of its record; return whether it is a new one."""
        if self.start is None:
            self.start = seq
        elif self._begins_again(seq, digest):
            self.restarts += 1
            self.restarts_by_connection += self._reconnected
            self.past += self.held.count
            self.gaps_before += self.missing().spans()
            self.held, self.start = RangeSet(), seq
            # The first numbers of the sequence before must not make those of this one look like restarts.
            self._beginnings.clear()
        elif seq in self.held:
            self._reconnected = False
            self.duplicates += 1
            return False
        elif seq < self.held.last:
            self.reordered += 1
            self.start = min(self.start, seq)
        if seq in FIRSTS:
            self._beginnings[seq] = digest
        self._reconnected = False
        self.held.add(seq, seq)
        return True

    def accept_run(self, first: int, last: int, digest: int) -> None:
        """Add consecutive numbers; ``digest`` is of the first record. Only the first number may begin a sequence."""
        # Nearly all ranges lie above all numbers so far. Then none is a duplicate, late or a restart, and none needs a
        # look of its own.
        if self.start is not None and first > self.held.last and first not in FIRSTS:
            self._reconnected = False
            self.held.add(first, last)
            return
        self.accept(first, digest)
        # The first number is the highest one now, so the rest of the range lies above all others.
        if first == self.held.last and last > first:
            self.held.add(first + 1, last)
            return
        for seq in range(first + 1, last + 1):
            self.accept(seq, 0)

    def _begins_again(self, seq: int, digest: int) -> bool:
        if seq not in FIRSTS:
            return False
        if seq in self._beginnings:
            # The same record again is a duplicate; a different record under its number begins another sequence.
            return self._beginnings[seq] != digest
        # No record is late on a new connection, so there any fall back to a first number is a new sequence.
        return self.held.last - seq > (0 if self._reconnected else SPARE)

    def missing(self, after: int | None = None) -> RangeSet:
        """Return the missing numbers, from ``after`` + 1 or the first one received to the highest one."""
        if self.start is None:
            return RangeSet()
        begin = self.start if after is None else max(self.start, after + 1)
        return RangeSet([(begin, self.held.last)]) - self.held
