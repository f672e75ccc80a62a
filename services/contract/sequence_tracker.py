"""What came of a feed that is not ours, by its own numbers: gaps, duplicates, order, restarts.

Unlike a client of our own feed nobody knows here where the feed begins: the first number that comes does.
"""

from __future__ import annotations

from services.contract.rangeset import RangeSet

FIRSTS = (0, 1)
"""With one of these a feed begins, and begins again."""
SPARE = 1000
"""From further ahead nothing comes late: a sequence that falls back by more, to a beginning, has begun again."""


class SequenceTracker:
    """The numbers of one sequence, as one client received them.

    Attributes:
        held: the numbers that came since the last restart.
        start: the lowest of them that the client can answer for, None before the first.
        past: how many different numbers came before the last restart.
        restarts: how often the sequence began again, ``restarts_by_connection`` of these with a new connection.
        gaps_before: the ranges that were missing at each restart, of the numbers before it.
    """

    def __init__(self) -> None:
        self.held = RangeSet()
        self.start: int | None = None
        self.past = self.duplicates = self.reordered = self.restarts = self.restarts_by_connection = 0
        self.gaps_before: list[tuple[int, int]] = []
        self._beginnings: dict[int, int] = {}
        self._reconnected = False

    def reconnected(self) -> None:
        """Say that the next number comes over a new connection, with which the numbers may begin again."""
        self._reconnected = True

    def accept(self, seq: int, digest: int) -> bool:
        """Take in the next number that came, and the digest of its record; return whether it is a new one."""
        if self.start is None:
            self.start = seq
        elif self._begins_again(seq, digest):
            self.restarts += 1
            self.restarts_by_connection += self._reconnected
            self.past += len(self.held)
            self.gaps_before += self.missing()
            self.held, self.start = RangeSet(), seq
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
        """Take in consecutive numbers; ``digest`` is of the first one's record. Only that may be a beginning."""
        if self.start is not None and first > self.held.last and first not in FIRSTS:
            self._reconnected = False
            self.held.add(first, last)
            return
        self.accept(first, digest)
        if first == self.held.last and last > first:
            self.held.add(first + 1, last)
            return
        for seq in range(first + 1, last + 1):
            self.accept(seq, 0)

    def _begins_again(self, seq: int, digest: int) -> bool:
        if seq not in FIRSTS:
            return False
        if seq in self._beginnings:
            # The same record again is a duplicate; another one under its number is another sequence.
            return self._beginnings[seq] != digest
        # Over a new connection nothing comes late, so there any fall to a beginning is a new sequence.
        return self.held.last - seq > (0 if self._reconnected else SPARE)

    def missing(self, after: int | None = None) -> RangeSet:
        """Return the numbers that have not come: from behind ``after``, or from the first that came, to the last."""
        if self.start is None:
            return RangeSet()
        begin = self.start if after is None else max(self.start, after + 1)
        return RangeSet([(begin, self.held.last)]) - self.held
