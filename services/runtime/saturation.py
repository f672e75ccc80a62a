"""Saturation of this process: event-loop lag, and time for which its CPU limit stopped it.

Written to the ledger and the block logs as evidence: times measured by a saturated process describe that process rather
than the feed.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from services.contract.histogram import Histogram

PERIOD_SECONDS = 0.1
"""Interval of the timer whose lag is measured; ten ticks a second use less than 0.1 % of a processor."""

ENOUGH_TICKS = 50
"""Fewest ticks for which a percentile is reported."""

EXCLUDED_TICKS = 5
"""The latest this many ticks are excluded from the p99: a process that was suspended a few times is not saturated."""

_SHARED_NS = 10_000_000
"""Readings within 10 ms share one snapshot, since a process may have thousands of clients."""

_CGROUPS = "/sys/fs/cgroup"


class SaturationReading(NamedTuple):
    """Saturation in an interval, nanoseconds; None for values that are not known.

    Attributes:
        loop_lag_p99_ns: lag of a timer that is due every 100 ms, 99th percentile.
        loop_lag_max_ns: the largest lag.
        cpu_ns: processor time used.
        throttled_ns: time for which the control group was stopped by its CPU limit.
    """

    loop_lag_p99_ns: int | None = None
    loop_lag_max_ns: int | None = None
    cpu_ns: int | None = None
    throttled_ns: int | None = None


class _Snapshot(NamedTuple):
    at_ns: int
    lags: Histogram
    cpu_ns: int
    throttled_ns: int | None


def file_text(path: str) -> str | None:
    """Return the text of a small file; None if it cannot be read."""
    try:
        return Path(path).read_text(encoding="ascii")
    except (OSError, ValueError):
        return None


class SaturationMonitor:
    """Measures the saturation of this process from its start; `window` returns the values of an interval."""

    def __init__(
        self,
        now_ns: Callable[[], int] = time.monotonic_ns,
        cpu_ns: Callable[[], int] = time.process_time_ns,
        read: Callable[[str], str | None] = file_text,
    ) -> None:
        self._now_ns, self._cpu_ns, self._read = now_ns, cpu_ns, read
        self._lags = Histogram()
        self._latest: _Snapshot | None = None

    async def watch(self) -> None:
        """Measure the lag of a timer every `PERIOD_SECONDS`, until cancelled."""
        while True:
            due_ns = self._now_ns() + round(PERIOD_SECONDS * 1e9)
            await asyncio.sleep(PERIOD_SECONDS)
            self.tick(self._now_ns() - due_ns)

    def tick(self, late_ns: int) -> None:
        """Record the lag of one timer, nanoseconds."""
        # A timer may fire a clock tick early.
        self._lags.record([max(late_ns, 0)])

    def window(self) -> SaturationWindow:
        """Return an interval that begins now."""
        return SaturationWindow(self)

    def snapshot(self) -> _Snapshot:
        """Return the current counters for `SaturationWindow`. May run in another thread than `tick`."""
        now_ns, latest = self._now_ns(), self._latest
        # A snapshot copies a histogram and reads two files.
        if latest is None or now_ns - latest.at_ns > _SHARED_NS:
            throttled = throttled_ns(self._read)
            latest = self._latest = _Snapshot(now_ns, self._lags.copy(), self._cpu_ns(), throttled)
        return latest


class SaturationWindow:
    """An interval that ends at each reading. `begin` starts it again."""

    def __init__(self, monitor: SaturationMonitor) -> None:
        self._monitor = monitor
        self.begin()

    def begin(self) -> None:
        """Start the interval now."""
        self._began = self._monitor.snapshot()

    def reading(self) -> SaturationReading:
        """Return the values from the start of the interval until now."""
        began, now = self._began, self._monitor.snapshot()
        lags = now.lags.since(began.lags)
        is_known = began.throttled_ns is not None and now.throttled_ns is not None
        return SaturationReading(
            loop_lag_p99_ns=_p99(lags),
            loop_lag_max_ns=lags.max,
            cpu_ns=now.cpu_ns - began.cpu_ns,
            throttled_ns=(now.throttled_ns or 0) - (began.throttled_ns or 0) if is_known else None,
        )


def _p99(lags: Histogram) -> int | None:
    if lags.count < ENOUGH_TICKS:
        return None
    # Rounded down: rounding up could exclude one tick fewer.
    bounded = math.floor(100_000 * (lags.count - EXCLUDED_TICKS) / lags.count) / 1000
    return lags.percentile(min(99.0, bounded))


def throttled_ns(read: Callable[[str], str | None]) -> int | None:
    """Return for how long the CPU limit has stopped this process's control group; None if it is not known.

    Args:
        read: returns the text of a file, None if there is no such file.
    """
    for path, key, unit_ns in _statistics(read("/proc/self/cgroup") or ""):
        for line in (read(path) or "").splitlines():
            name, _, value = line.partition(" ")
            if name == key and value.isdecimal():
                return int(value) * unit_ns
    return None


def _statistics(memberships: str) -> Iterator[tuple[str, str, int]]:
    """Yield the files that may have the value, with its key and unit in nanoseconds; the first that exists counts."""
    for line in memberships.splitlines():
        _, controllers, path = line.split(":", 2)
        if "cpu" in controllers.split(","):
            for mount in (f"{_CGROUPS}/{controllers}", f"{_CGROUPS}/cpu"):
                yield from ((file, "throttled_time", 1) for file in _files(mount, path))
        elif controllers == "":
            yield from ((file, "throttled_usec", 1000) for file in _files(_CGROUPS, path))


def _files(mount: str, path: str) -> Iterator[str]:
    # In a container the group is often mounted as the root, although /proc/self/cgroup has its path on the host.
    for folder in dict.fromkeys((path.rstrip("/"), "")):
        yield f"{mount}{folder}/cpu.stat"
