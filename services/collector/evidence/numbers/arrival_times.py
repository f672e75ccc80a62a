"""When the records of a block of an external feed were received."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from services.contract.blocklog import ExternalMessage


class ArrivalTimesOfBlock(NamedTuple):
    """When the records of a block were received, epoch microseconds. Records of one time are one arrival.

    Attributes:
        first_us: the first arrival, ``last_us`` the last one.
        longest_us: the longest interval between two arrivals.
        arrival_count: the number of arrivals.
    """

    first_us: int
    last_us: int
    longest_us: int
    arrival_count: int

    @classmethod
    def of(cls, times_us: Iterable[int]) -> ArrivalTimesOfBlock | None:
        """Return the arrivals at these times, given in any order; None without any."""
        times = sorted(set(times_us))
        if not times:
            return None
        longest_us = max((later - earlier for earlier, later in pairwise(times)), default=0)
        return cls(times[0], times[-1], longest_us, len(times))

    @classmethod
    def by_key(
        cls, messages: Sequence[ExternalMessage], stamps: Mapping[str, int]
    ) -> dict[str | None, ArrivalTimesOfBlock] | None:
        """Return the arrivals of each sequence in a block, of the records that have a number; None if it has only one.

        Args:
            messages: of the block.
            stamps: epoch microseconds of every ``received_at``; empty if one of them is not a time.
        """
        times: dict[str | None, list[int]] = {}
        for message in messages if stamps else ():
            if message.seq is not None:
                times.setdefault(message.key, []).append(stamps[message.received_at])
        found = {key: cls.of(of_key) for key, of_key in times.items()}
        return {key: arrivals for key, arrivals in found.items() if arrivals is not None} if len(found) > 1 else None

    def joined(self, later: ArrivalTimesOfBlock, *, is_continued: bool) -> ArrivalTimesOfBlock:
        """Return these arrivals and later ones; the interval between them counts only if ``is_continued``."""
        between_us = max(0, later.first_us - self.last_us) if is_continued else 0
        return ArrivalTimesOfBlock(
            self.first_us,
            max(self.last_us, later.last_us),
            max(self.longest_us, between_us, later.longest_us),
            # Two arrivals at one time are one.
            self.arrival_count + later.arrival_count - (is_continued and not between_us),
        )
