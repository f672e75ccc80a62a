"""Selects the run whose verdict `wait` waits for, and reads from a volumes folder how far it is."""

from __future__ import annotations

import math
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec

from services.collector.publish.files import run_files
from services.collector.scan import find_runs, ledger_sources, newest_run
from services.contract.scalars import run_order
from services.contract.summary import Summary
from services.runtime.volumes import run_name

_TAIL_BYTES = 64 * 1024
"""Behind the end of a run its ledger has a few entries of clients that leave."""


class WaitIntervals(NamedTuple):
    """The intervals of a wait, seconds.

    Attributes:
        poll: between two readings of the volumes.
        measure: between two measurements of the logs' size, which lists every client's folder.
        stall: time without progress after which the wait is aborted.
        progress: between two lines of progress where there is no terminal.
        restart: how long a run that was closed before the wait began can still be superseded by a new one: a server
            that starts again needs that long to open it.
    """

    poll: float = 0.25
    measure: float = 2.0
    stall: float = 60.0
    progress: float = 5.0
    restart: float = 3.0


DEFAULT_INTERVALS = WaitIntervals()


@dataclass(frozen=True)
class ObservedRun:
    """What the volumes show of the run that is waited for: its summary, and the sizes of its files in bytes.

    ``is_ahead`` is whether the run has not begun by its name, which with ``START_AT`` is when it starts.
    """

    run: str | None
    summary: Summary | None = None
    ledger_bytes: int = 0
    log_bytes: int = 0
    is_ahead: bool = False


class RunWatcher:
    """Reads the status of one run from a volumes folder.

    Unless a run is named, it is the newest one at the first reading. If that run is closed already, a run that is
    opened within ``intervals.restart`` replaces it. ``has_server`` is that of `newest_run`.
    """

    over: str | None = None
    """A run that is not waited for, since it ended before the wait began."""

    def __init__(
        self,
        volumes: Path,
        run: str | None = None,
        intervals: WaitIntervals = DEFAULT_INTERVALS,
        *,
        has_server: bool = False,
    ) -> None:
        self._volumes, self._intervals, self._has_server = volumes, intervals, has_server
        self._run = run
        # A run that is named is decided from the beginning, even if there is a newer one.
        self._decided_at: float | None = None if run is None else -math.inf
        self._log_bytes = 0
        self._measured_at: float | None = None

    @property
    def run(self) -> str | None:
        """The run that is waited for, None while there is none."""
        return self._run

    def status(self, now: float) -> ObservedRun:
        """Read the status."""
        self._select(now)
        if self._run is None:
            return ObservedRun(None)
        if self._measured_at is None or now - self._measured_at >= self._intervals.measure:
            self._log_bytes, self._measured_at = _size(self._volumes / "logs" / self._run, "*/*.jsonl"), now
        summary = run_files.load(self._volumes, self._run)
        return ObservedRun(
            self._run,
            # Without its date: a summary that was only made again is no progress.
            msgspec.structs.replace(summary, made_at=None) if summary else None,
            _size(self._volumes / "ledger" / self._run, "*.jsonl"),
            self._log_bytes,
            run_order(self._run) > run_order(run_name(time.time_ns() // 1000)),
        )

    def is_decided(self, now: float) -> bool:
        """Return whether it is decided which run is waited for."""
        return self._decided_at is not None and now >= self._decided_at

    def _select(self, now: float) -> None:
        """Select the run to read, unless it is decided."""
        if not self.is_decided(now):
            self._run = newest_run(self._volumes, find_runs(self._volumes), has_server=self._has_server)
        if self._run is not None and self._decided_at is None:
            # A verdict of an earlier run must not be returned for one that a starting server is about to open.
            self._decided_at = now + self._intervals.restart if is_closed(self._volumes, self._run) else now


class NextRunWatcher(RunWatcher):
    """Reads the status of the first run after another one that is closed; until then, of the newest run after it."""

    def __init__(
        self,
        volumes: Path,
        over: str | None,
        intervals: WaitIntervals = DEFAULT_INTERVALS,
        *,
        has_server: bool = False,
    ) -> None:
        """Begin after the run ``over``; None begins with the first run of the folder."""
        super().__init__(volumes, None, intervals, has_server=has_server)
        self.over = over

    def _select(self, now: float) -> None:
        runs = [
            run
            for run in find_runs(self._volumes)
            if (self.over is None or run_order(run) > run_order(self.over))
            and (not self._has_server or ledger_sources(self._volumes, run))
        ]
        # Clients of an external feed may make several folders at their start, of which they agree on one.
        self._run = next((run for run in runs if is_closed(self._volumes, run)), runs[-1] if runs else None)
        # Selected again at every reading, until the verdict of one is there.
        self._decided_at = None if self._run is None else now


def is_closed(volumes: Path, run: str) -> bool:
    """Return whether the collector has closed a run."""
    published = run_files.load(volumes, run)
    return published is not None and published.state == "closed"


def last_run_over(volumes: Path) -> str | None:
    """Return the newest run that is over, None without one. The last run of a folder may be continued."""
    runs = find_runs(volumes)
    if not runs:
        return None
    is_over = is_closed(volumes, runs[-1]) or has_end(volumes / "ledger" / runs[-1])
    return runs[-1] if is_over else next(iter(runs[-2:-1]), None)


def has_end(folder: Path) -> bool:
    """Return whether a ledger in this folder has an `end` entry; its collector may not have closed the run."""
    for path in folder.glob("*.jsonl"):
        with suppress(OSError), path.open("rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - _TAIL_BYTES, 0))
            if any(b'"kind":"end"' in line for line in file):
                return True
    return False


def _size(folder: Path, pattern: str) -> int:
    """Return the size of the matching files in bytes."""
    total = 0
    for path in folder.glob(pattern):
        try:
            # A client may put anything into its folder, such as a link that leads to itself.
            total += path.lstat().st_size
        # `KEEP_RUNS` may remove a file between the listing and this call, and a folder may be closed to this user.
        except OSError:
            continue
    return total
