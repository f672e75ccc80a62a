"""Whether this process was held up: by its own event loop, or by a limit on its processor time.

It is evidence for the collector: what was measured by a process that could not keep up says more of the process than
of the feed.
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
"""Ten ticks a second cost less than a thousandth of a processor."""

ENOUGH_TICKS = 50
"""With fewer there is no percentile."""

ASIDE_TICKS = 5
"""So many of the latest ticks are left aside: a process that was stopped now and then, and let go, was not strained."""

_SHARED_NS = 10_000_000
"""Marks that are taken at about the same time are one: a process may have thousands of clients."""

_CGROUPS = "/sys/fs/cgroup"


class SaturationReading(NamedTuple):
    """What is known of some stretch of time, in nanoseconds; null is what is not known.

    ``loop_lag_p99_ns`` and ``loop_lag_max_ns`` are of a timer that should go off every 100 ms: how late it was.
    """

    loop_lag_p99_ns: int | None = None
    loop_lag_max_ns: int | None = None
    cpu_ns: int | None = None
    throttled_ns: int | None = None


class _Mark(NamedTuple):
    at_ns: int
    lags: Histogram
    cpu_ns: int
    throttled_ns: int | None


def file_text(path: str) -> str | None:
    """Return the text of a small file, None when there is none."""
    try:
        return Path(path).read_text(encoding="ascii")
    except (OSError, ValueError):
        return None


class SaturationMonitor:
    """One process's strain, from its start on; see `window` for a part of that time."""

    def __init__(
        self,
        now_ns: Callable[[], int] = time.monotonic_ns,
        cpu_ns: Callable[[], int] = time.process_time_ns,
        read: Callable[[str], str | None] = file_text,
    ) -> None:
        self._now_ns, self._cpu_ns, self._read = now_ns, cpu_ns, read
        self._lags = Histogram()
        self._marked: _Mark | None = None

    async def watch(self) -> None:
        """Let a timer go off again and again, and note how late it was, until cancelled."""
        while True:
            due_ns = self._now_ns() + round(PERIOD_SECONDS * 1e9)
            await asyncio.sleep(PERIOD_SECONDS)
            self.tick(self._now_ns() - due_ns)

    def tick(self, late_ns: int) -> None:
        """Note how late a timer went off."""
        self._lags.record([max(late_ns, 0)])

    def window(self) -> SaturationWindow:
        """Return a window that begins now."""
        return SaturationWindow(self)

    def mark(self) -> _Mark:
        """Return where things stand; for `SaturationWindow`. May run in a thread beside `tick`."""
        now_ns, marked = self._now_ns(), self._marked
        if marked is None or now_ns - marked.at_ns > _SHARED_NS:
            throttled = throttled_ns(self._read)
            marked = self._marked = _Mark(now_ns, self._lags.copy(), self._cpu_ns(), throttled)
        return marked


class SaturationWindow:
    """A stretch of time whose end is open. `begin` lets it begin anew."""

    def __init__(self, strain: SaturationMonitor) -> None:
        self._strain = strain
        self.begin()

    def begin(self) -> None:
        """Forget what was before."""
        self._began = self._strain.mark()

    def reading(self) -> SaturationReading:
        """Return what is known from the beginning until now."""
        began, now = self._began, self._strain.mark()
        lags = now.lags.since(began.lags)
        known = began.throttled_ns is not None and now.throttled_ns is not None
        return SaturationReading(
            loop_lag_p99_ns=_p99(lags),
            loop_lag_max_ns=lags.max,
            cpu_ns=now.cpu_ns - began.cpu_ns,
            throttled_ns=(now.throttled_ns or 0) - (began.throttled_ns or 0) if known else None,
        )


def _p99(lags: Histogram) -> int | None:
    if lags.count < ENOUGH_TICKS:
        return None
    # Rounded down, or there might be one fewer aside.
    aside = math.floor(100_000 * (lags.count - ASIDE_TICKS) / lags.count) / 1000
    return lags.percentile(min(99.0, aside))


def throttled_ns(read: Callable[[str], str | None]) -> int | None:
    """Return for how long this process's control group was stopped for its CPU limit, None when nobody says.

    Args:
        read: returns a file's text, None when there is no such file.
    """
    for path, key, unit_ns in _places(read("/proc/self/cgroup") or ""):
        for line in (read(path) or "").splitlines():
            name, _, value = line.partition(" ")
            if name == key and value.isdecimal():
                return int(value) * unit_ns
    return None


def _places(memberships: str) -> Iterator[tuple[str, str, int]]:
    """Return where it may stand, under which name and in which unit: what is said first counts."""
    for line in memberships.splitlines():
        _, controllers, path = line.split(":", 2)
        if "cpu" in controllers.split(","):
            for mount in (f"{_CGROUPS}/{controllers}", f"{_CGROUPS}/cpu"):
                yield from ((place, "throttled_time", 1) for place in _files(mount, path))
        elif controllers == "":
            yield from ((place, "throttled_usec", 1000) for place in _files(_CGROUPS, path))


def _files(mount: str, path: str) -> Iterator[str]:
    # A container may see its own group alone, at the root of all, and still be told the path from outside.
    for place in dict.fromkeys((path.rstrip("/"), "")):
        yield f"{mount}{place}/cpu.stat"
