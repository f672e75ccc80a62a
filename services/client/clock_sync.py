"""How far the server's clock is from this one, and how surely: four timestamps, the quickest exchange counts."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

_KEPT = 16
_SAME_KERNEL_SLACK_US = 1000


class Estimate(NamedTuple):
    """Server's clock minus this one's, and the most that this can be wrong, microseconds."""

    offset_us: int
    error_us: int


class Offset:
    """Estimates the clock offset from ping exchanges.

    Processes on one kernel share a clock, so their offset is 0 without error, unless the exchange proves
    otherwise: then somebody set the clock of one of them between the two starts.
    """

    def __init__(self) -> None:
        self._samples: deque[tuple[int, int]] = deque(maxlen=_KEPT)
        self._same_kernel = False

    def begin(self, *, same_kernel: bool) -> None:
        """Forget the samples: this may be another server."""
        self._samples.clear()
        self._same_kernel = same_kernel

    def sample(self, t1_us: int, t2_us: int, t3_us: int, t4_us: int) -> None:
        """Take in one exchange: asked, arrived there, answered there, arrived here."""
        round_trip_us = max((t4_us - t1_us) - (t3_us - t2_us), 0)
        self._samples.append((round_trip_us, ((t2_us - t1_us) + (t3_us - t4_us)) // 2))

    def __len__(self) -> int:
        return len(self._samples)

    def estimate(self, step_us: int = 0) -> Estimate:
        """Return the best estimate; ``step_us`` is by how much this process's clock was set since it started."""
        if not self._samples:
            best = Estimate(0, 0 if self._same_kernel else 1_000_000)
        else:
            round_trip_us, offset_us = min(self._samples)
            error_us = round_trip_us // 2 + 1
            proves_otherwise = abs(offset_us) > error_us + _SAME_KERNEL_SLACK_US
            best = Estimate(offset_us, error_us) if proves_otherwise or not self._same_kernel else Estimate(0, 0)
        return Estimate(best.offset_us, max(best.error_us, step_us))
