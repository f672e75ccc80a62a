"""`wait`: waits for the verdict of a run, prints the summary and returns its exit code, for scripts.

Reads only files on the volumes, so it needs no connection to the collector that writes the summary.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec

from services.collector.publish.files import run_files
from services.collector.publish.terminal.printer import TerminalPrinter
from services.collector.scan import find_runs, newest_run
from services.collector.settings import CollectorSettings
from services.collector.verdict.snapshot import Snapshot, empty
from services.contract.summary import EXIT_CODES, Summary
from services.runtime import lifecycle
from services.runtime.cli import Commands
from services.runtime.errors import EXIT_ABORTED, BadSettings
from services.runtime.settings import EXTERNAL


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


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    parser = commands.add(
        "wait",
        "wait for the newest run's verdict, print its summary",
        run,
        {
            "wait": "the exit code is the verdict: for scripts and CI jobs",
            "wait --run 20261122T073000Z": "the verdict of this run, also when it was closed long ago",
        },
    )
    parser.add_argument("--run", help="wait for the verdict of this run")
    parser.add_argument(
        "--clients-elsewhere",
        action="store_true",
        help="refuse settings of a feed in this environment, which the clients do not read",
    )


def run(chosen: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Wait for the chosen run; return the exit code.

    Raises:
        BadSettings: the environment has settings of a feed, and the clients have an environment of their own.
    """
    if chosen.clients_elsewhere:
        refuse_feed_settings(environment)

    async def until_closed(settings: CollectorSettings, stop: asyncio.Event) -> int:
        printer = TerminalPrinter.on_stdout(settings.volumes, colour=settings.colour)
        try:
            return await wait(
                settings.volumes,
                stop,
                printer,
                report=_print_to_stderr,
                now=time.monotonic,
                run=chosen.run,
                has_server=settings.server_url is not None,
            )
        finally:
            printer.close()

    return lifecycle.run(lambda: CollectorSettings.read(environment), until_closed)


def refuse_feed_settings(environment: Mapping[str, str]) -> None:
    """Refuse settings of a feed where only the verdict is waited for, as after `docker compose run -e`.

    The clients would run without them, and a run without a path of numbers passes.

    Raises:
        BadSettings: with every such setting.
    """
    names = ["SERVER_URL", "CLIENTS", *(setting.name for setting in EXTERNAL)]
    given = [name for name in names if environment.get(name, "").strip() not in ("", "foreign")]
    if given:
        raise BadSettings([
            f"{name}: the clients do not get what is given with run -e; write it before the command:"
            f" {name}='…' docker compose -f deploy/judge.yml run --rm verdict"
            for name in given
        ])  # fmt: skip


def _print_to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class ObservedRun:
    """What the volumes show of the run that is waited for: its summary, and the sizes of its files in bytes."""

    run: str | None
    summary: Summary | None = None
    ledger_bytes: int = 0
    log_bytes: int = 0


class StallDetector:
    """Detects that a run makes no progress, and names the cause. Times are monotonic seconds."""

    def __init__(self, now: float, stall_seconds: float = DEFAULT_INTERVALS.stall) -> None:
        self._stall_seconds = stall_seconds
        self._since = now
        self._last: ObservedRun | None = None
        self._summary_log_bytes = 0

    def add_status(self, status: ObservedRun, now: float) -> str | None:
        """Add the current status; return what the run has waited for without progress for too long, or None."""
        last = self._last
        if last is None or status.summary != last.summary or status.run != last.run:
            # Logs that have grown since this summary show later that the collector, and not a client, is behind.
            self._summary_log_bytes = status.log_bytes
            self._since = now
        # A growing ledger shows that the server goes on. Growing logs do not count: the collector has to publish them.
        elif status.ledger_bytes != last.ledger_bytes or self._waits_for_feed(status):
            self._since = now
        self._last = status
        return self._reason(status) if now - self._since >= self._stall_seconds else None

    def _waits_for_feed(self, status: ObservedRun) -> bool:
        """Return whether clients wait for an external feed, which may be silent for any length of time."""
        summary = status.summary
        return (
            summary is not None
            and (summary.books, summary.state) == ("one-sided", "running")
            and status.log_bytes <= self._summary_log_bytes
        )

    def _reason(self, status: ObservedRun) -> str:
        if status.run is None:
            return "a run: none has been opened"
        summary = status.summary
        if summary is None or status.log_bytes > self._summary_log_bytes:
            return f"collector: it does not keep up the summary of run {status.run}"
        if summary.state in ("opened", "waiting"):
            return f"client: {summary.headline.removeprefix('waiting: ')} subscribed"
        if summary.state == "paused":
            return f"nothing: run {status.run} is paused; resume it, or start the server again"
        if summary.state == "ended":
            return f"collector: run {status.run} has ended and is not closed"
        return f"client: run {status.run} makes no progress at {summary.totals.received:,} messages"


class RunWatcher:
    """Reads the status of one run from a volumes folder.

    Unless a run is named, it is the newest one at the first reading. If that run is closed already, a run that is
    opened within ``intervals.restart`` replaces it. ``has_server`` is that of `newest_run`.
    """

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

    def status(self, now: float) -> ObservedRun:
        """Read the status."""
        if not self.is_decided(now):
            self._run = self._newest()
        if self._run is None:
            return ObservedRun(None)
        if self._decided_at is None:
            published = run_files.load(self._volumes, self._run)
            is_closed = published is not None and published.state == "closed"
            # A verdict of an earlier run must not be returned for one that a starting server is about to open.
            self._decided_at = now + self._intervals.restart if is_closed else now
        if self._measured_at is None or now - self._measured_at >= self._intervals.measure:
            self._log_bytes, self._measured_at = _size(self._volumes / "logs" / self._run, "*/*.jsonl"), now
        summary = run_files.load(self._volumes, self._run)
        return ObservedRun(
            self._run,
            # Without its date: a summary that was only made again is no progress.
            msgspec.structs.replace(summary, made_at=None) if summary else None,
            _size(self._volumes / "ledger" / self._run, "*.jsonl"),
            self._log_bytes,
        )

    def is_decided(self, now: float) -> bool:
        """Return whether it is decided which run is waited for."""
        return self._decided_at is not None and now >= self._decided_at

    def _newest(self) -> str | None:
        return newest_run(self._volumes, find_runs(self._volumes), has_server=self._has_server)


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


async def wait(
    volumes: Path,
    stop: asyncio.Event,
    printer: TerminalPrinter,
    *,
    report: Callable[[str], None],
    now: Callable[[], float],
    run: str | None = None,
    intervals: WaitIntervals = DEFAULT_INTERVALS,
    has_server: bool = False,
) -> int:
    """Wait for the verdict; return its exit code, or 105 if the wait is aborted.

    Args:
        volumes: the volumes folder.
        stop: set by an interruption.
        printer: prints the summary; on a terminal it also shows the run meanwhile.
        report: prints progress if there is no terminal, and the reason for an abort.
        now: monotonic seconds.
        run: the run; None for the newest.
        intervals: how often the volumes are read, and when to give up.
        has_server: the feed is this project's own; see `newest_run`.
    """
    watcher = RunWatcher(volumes, run, intervals, has_server=has_server)
    detector = StallDetector(now(), intervals.stall)
    reported_at, shown = now(), None
    while not stop.is_set():
        status = watcher.status(now())
        summary = status.summary
        if summary is not None and summary.state == "closed" and watcher.is_decided(now()):
            printer.print_summary(
                run_files.load_snapshot(volumes, summary.run) or Snapshot(summary, empty(summary.run))
            )
            return EXIT_CODES[summary.verdict]
        reason = detector.add_status(status, now())
        if reason is not None:
            printer.close()
            report(f"no progress for {intervals.stall:.0f} s, waiting for {reason}")
            return EXIT_ABORTED
        if printer.display is not None:
            if summary is not None and summary != shown:
                printer.print_progress(Snapshot(summary, empty(summary.run)))
                shown = summary
        elif now() - reported_at >= intervals.progress:
            reported_at = now()
            report(_progress(status))
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), intervals.poll)
    printer.close()
    report("interrupted before the verdict")
    return EXIT_ABORTED


def _progress(status: ObservedRun) -> str:
    if status.run is None:
        return "waiting for a run to be opened"
    if status.summary is None:
        return f"waiting for the collector's first summary of run {status.run}"
    return f"{status.summary.state}: {status.summary.headline}"
