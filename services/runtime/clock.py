"""One clock per process: wall time tied to monotonic time once, so that stamps never run backwards."""

from __future__ import annotations

import time
import uuid
from pathlib import Path

STEP_NS = 50_000_000
"""A divergence of the wall clock beyond this means that someone set it."""


class Clock:
    """Derives epoch time from the monotonic clock, from one tie made at start.

    A later change of the wall clock does not move the stamps; `step_ns` tells of it.
    """

    def __init__(self) -> None:
        before = time.monotonic_ns()
        wall = time.time_ns()
        after = time.monotonic_ns()
        self.tie_ns = wall - (before + after) // 2

    def not_before(self, epoch_us: int) -> int:
        """Go on from a time that has been already, if the wall clock is behind it: stamps of one story never go back.

        Returns:
            By how many microseconds it was moved.
        """
        behind_us = max(epoch_us - self.now_us(), 0)
        self.tie_ns += behind_us * 1000
        return behind_us

    def now_ns(self) -> int:
        """Return epoch nanoseconds."""
        return time.monotonic_ns() + self.tie_ns

    def now_us(self) -> int:
        """Return epoch microseconds."""
        return (time.monotonic_ns() + self.tie_ns) // 1000

    def step_ns(self) -> int:
        """Return how far the wall clock was set since the start, 0 when only disciplined."""
        divergence = abs(time.time_ns() - self.now_ns())
        return divergence if divergence > STEP_NS else 0


def boot_id() -> str:
    """Return the identity of the running kernel: equal in two processes means that they share a clock."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return uuid.uuid4().hex
