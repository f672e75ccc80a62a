"""When the records of a block of an external feed were received."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple


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
