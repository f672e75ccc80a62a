"""The collector's own use of resources: processor time, memory, and how far it is behind the files."""

from __future__ import annotations

import os
import resource
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from services.collector import formatting
from services.collector.publish.view_model import Tile

WINDOW_SECONDS = 5.0
"""The window over which processor time is averaged."""
HIGH_CPU, LONG_BEHIND_SECONDS = 0.5, 2.0
"""More than half a processor, or more than 2 s behind, is marked as a doubt."""

_STATM = Path("/proc/self/statm")


@dataclass(frozen=True)
class CollectorEffort:
    """What the collector has read since it started.

    Attributes:
        lines: number of lines, of all runs.
        bytes: bytes of these lines.
        caught_up_at: when it had last read everything in the files, in monotonic seconds.
    """

    lines: int
    bytes: int
    caught_up_at: float

    def plus(self, lines: int, size: int) -> CollectorEffort:
        """Return the effort after more lines of a total size in bytes were read."""
        return CollectorEffort(self.lines + lines, self.bytes + size, self.caught_up_at)


class SelfMeter:
    """Averages readings of this process's processor time, and formats what the collector costs as tiles."""

    def __init__(self) -> None:
        self._readings: deque[tuple[float, float]] = deque()

    def add_reading(self, now: float, used: float) -> None:
        """Add the processor seconds that the process has used since its start; ``now`` is monotonic seconds."""
        self._readings.append((now, used))
        # One reading from before the window is kept, so that the average covers the whole window.
        while len(self._readings) > 2 and self._readings[1][0] <= now - WINDOW_SECONDS:
            self._readings.popleft()

    @property
    def cpu(self) -> float:
        """The fraction of one processor used in the last seconds."""
        if len(self._readings) < 2:
            return 0.0
        (first_at, first), (last_at, last) = self._readings[0], self._readings[-1]
        return (last - first) / (last_at - first_at) if last_at > first_at else 0.0

    def tiles(self, effort: CollectorEffort, errors: int, resident: int, now: float) -> list[Tile]:
        """Return what the collector costs, as it is shown.

        Args:
            effort: the lines and bytes that it has read.
            errors: the number of errors that it has logged.
            resident: its memory in bytes.
            now: monotonic seconds.
        """
        behind = max(0.0, now - effort.caught_up_at)
        return [
            Tile(
                key="cpu", label="processor", text=f"{100 * self.cpu:.1f} %",
                hint=f"of one, over {WINDOW_SECONDS:.0f} s", tone="doubt" if self.cpu > HIGH_CPU else "",
            ),
            Tile(key="memory", label="memory", text=formatting.size(resident), hint="resident"),
            Tile(
                key="behind", label="behind", text=f"{behind:.1f} s", hint="since all files had been read completely",
                tone="doubt" if behind > LONG_BEHIND_SECONDS else "",
            ),
            Tile(key="lines", label="lines read", text=f"{effort.lines:,}", hint=formatting.size(effort.bytes)),
            Tile(
                key="errors", label="errors", text=f"{errors:,}", tone="bad" if errors else "",
                hint="logged by the collector, each once",
            ),
        ]  # fmt: skip


def resident_bytes() -> int:
    """Return the resident memory of this process; where there is no ``/proc``, the highest it ever had."""
    try:
        return int(_STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        # The unit is bytes on macOS and KiB elsewhere.
        return most if sys.platform == "darwin" else most * 1024
