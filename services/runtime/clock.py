"""The clock of a process: epoch time derived from the monotonic clock, so that timestamps never run backwards."""

from __future__ import annotations

import time
import uuid
from pathlib import Path

STEP_NS = 50_000_000
"""A larger divergence of the wall clock means that it was set; NTP corrects smaller ones gradually."""


class Clock:
    """Epoch time: the monotonic clock plus an offset that is measured once, at the start.

    A later change of the wall clock does not change the offset; `step_ns` returns the divergence.
    """

    def __init__(self) -> None:
        # The middle of two readings belongs to the wall time between them best.
        before = time.monotonic_ns()
        wall = time.time_ns()
        after = time.monotonic_ns()
        self.offset_ns = wall - (before + after) // 2

    def not_before(self, epoch_us: int) -> int:
        """Move the clock forward to a time that was recorded before, if it is behind that time.

        The timestamps of one ledger must not run backwards, even if the wall clock was set back while no process ran.

        Args:
            epoch_us: the recorded time, epoch microseconds.

        Returns:
            By how many microseconds the clock was moved; 0 if it was not behind.
        """
        behind_us = max(epoch_us - self.now_us(), 0)
        self.offset_ns += behind_us * 1000
        return behind_us

    def now_ns(self) -> int:
        """Return epoch nanoseconds."""
        return time.monotonic_ns() + self.offset_ns

    def now_us(self) -> int:
        """Return epoch microseconds."""
        return (time.monotonic_ns() + self.offset_ns) // 1000

    def step_ns(self) -> int:
        """Return by how much the wall clock was set since the start; 0 for a divergence within `STEP_NS`."""
        divergence = abs(time.time_ns() - self.now_ns())
        return divergence if divergence > STEP_NS else 0


def boot_id() -> str:
    """Return the identity of the running kernel; two processes with the same identity share a clock."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return uuid.uuid4().hex
