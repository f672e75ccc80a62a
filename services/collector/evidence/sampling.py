"""How far apart the clients received the same record, sampled evenly and in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable

from services.contract.histogram import Histogram

MOST = 2048
"""Seqs kept at a time. The stride is the smallest power of two that keeps no more."""
SEVERAL = ""
"""Stands for more than one client; no client has this name."""


class Spread:
    """First and last receipt of every ``stride``-th record.

    The stride depends on the highest seq alone, and a coarser one only drops samples: so whatever the order in
    which clients and blocks are read, the same samples remain.
    """

    def __init__(self) -> None:
        self._stride = 1
        self._seen: dict[int, tuple[int, int, str]] = {}

    def stride(self, last: int) -> int:
        """Return which seqs to hand to `take`, the multiples of this, once ``last`` is the highest seq logged."""
        if last > self._stride * MOST:
            while last > self._stride * MOST:
                self._stride *= 2
            self._seen = {seq: times for seq, times in self._seen.items() if not seq % self._stride}
        return self._stride

    def take(self, client: str, received: Iterable[tuple[int, int]]) -> None:
        """Note when a client received records: pairs of seq and epoch microseconds."""
        seen = self._seen
        for seq, at_us in received:
            first, latest, who = seen.get(seq, (at_us, at_us, client))
            seen[seq] = (min(first, at_us), max(latest, at_us), who if who == client else SEVERAL)

    def histogram(self) -> Histogram:
        """Return the durations from first to last client, of the records that more than one client logged."""
        result = Histogram()
        result.record([(last - first) * 1000 for first, last, who in self._seen.values() if who == SEVERAL])
        return result
