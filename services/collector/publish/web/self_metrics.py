"""What the collector itself costs: an instrument that watches others says what it takes, and how far it is behind."""

from __future__ import annotations

import os
import resource
import sys
from collections import deque
from pathlib import Path

from services.collector import formatting
from services.collector.publish.view_model import Tile
from services.collector.publish.web.prometheus import CollectorEffort

WINDOW_SECONDS = 5.0
MUCH_CPU, LONG_BEHIND_SECONDS = 0.5, 2.0
"""More than half a processor, or so long behind: worth a second look."""

_STATM = Path("/proc/self/statm")


class SelfMeter:
    """Measures one process: readings go in, with their times in monotonic seconds; what is shown of them comes out."""

    def __init__(self) -> None:
        self._used: deque[tuple[float, float]] = deque()

    def note(self, now: float, cpu_s: float) -> None:
        """Take a reading of the processor time that the process has used since its start."""
        self._used.append((now, cpu_s))
        while len(self._used) > 2 and self._used[1][0] <= now - WINDOW_SECONDS:
            self._used.popleft()

    @property
    def cpu(self) -> float:
        """The share of one processor that it took of late."""
        if len(self._used) < 2:
            return 0.0
        (first_at, first), (last_at, last) = self._used[0], self._used[-1]
        return (last - first) / (last_at - first_at) if last_at > first_at else 0.0

    def tiles(self, effort: CollectorEffort, complaints: int, resident: int, now: float) -> list[Tile]:
        """Return what it costs as it is shown.

        Args:
            effort: what it has read.
            complaints: how often it could not do something, and said so in its log.
            resident: its memory in bytes.
            now: monotonic seconds.
        """
        behind, strained = max(0.0, now - effort.caught_up_at), self.cpu > MUCH_CPU
        return [
            Tile(
                key="cpu", label="processor", text=f"{100 * self.cpu:.1f} %", tone="doubt" if strained else "",
                hint=f"of one, over {WINDOW_SECONDS:.0f} s",
            ),
            Tile(key="memory", label="memory", text=formatting.size(resident), hint="resident"),
            Tile(
                key="behind", label="behind", text=f"{behind:.1f} s", hint="since all that lay there had been read",
                tone="doubt" if behind > LONG_BEHIND_SECONDS else "",
            ),
            Tile(key="lines", label="lines read", text=f"{effort.lines:,}", hint=formatting.size(effort.bytes)),
            Tile(
                key="complaints", label="complaints", text=f"{complaints:,}", tone="bad" if complaints else "",
                hint="what it could not do; its log has them",
            ),
        ]  # fmt: skip


def resident_bytes() -> int:
    """Return the memory that this process has, where the system tells only that the most it ever had."""
    try:
        return int(_STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
