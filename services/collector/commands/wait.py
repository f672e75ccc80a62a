"""`wait`: waits for the verdict of a run, prints the summary and returns its exit code, for scripts.

Reads only files on the volumes, so it needs no connection to the collector that writes the summary.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from services.collector.commands.run_watcher import (
    DEFAULT_INTERVALS,
    NextRunWatcher,
    ObservedRun,
    RunWatcher,
    WaitIntervals,
    last_run_over,
)
from services.collector.publish.files import run_files
from services.collector.publish.terminal.printer import TerminalPrinter
from services.collector.scan import find_runs
from services.collector.settings import CollectorSettings
from services.collector.verdict.snapshot import Snapshot, empty
from services.collector.verdict.summary import ABANDONED
from services.contract.summary import EXIT_CODES
from services.runtime import lifecycle
from services.runtime.cli import Commands
from services.runtime.errors import EXIT_ABORTED, BadSettings
from services.runtime.settings import EXTERNAL, read


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    parser = commands.add(
        "wait",
        "wait for the newest run's verdict, print its summary",
        run,
        {
            "wait": "the exit code is the verdict: for scripts and CI jobs",
            "wait --run 20261122T073000Z": "the verdict of this run, also when it was closed long ago",
            "wait --next": "the verdict of the run that the services are about to open, or continue",
        },
    )
    parser.add_argument("--run", help="wait for the verdict of this run")
    parser.add_argument(
        "--next",
        action="store_true",
        help="wait for as many runs as RUNS says, without those that were over when the command began",
    )
    parser.add_argument("--brief", action="store_true", help="print one line for each run instead of its summary")
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
    if chosen.next and chosen.run is not None:
        raise BadSettings(["--next and --run name different runs: give one of them"])
    runs = max(read(environment, ("RUNS",))["runs"], 1) if chosen.next else 1  # of an endless series, the first

    async def until_closed(settings: CollectorSettings, stop: asyncio.Event) -> int:
        volumes, kind = settings.volumes, BriefPrinter if chosen.brief else TerminalPrinter
        printer = kind.on_stdout(volumes, colour=settings.colour)
        report, now = _print_to_stderr, time.monotonic
        try:
            has_server = settings.server_url is not None
            if chosen.next:
                return await wait_for_next(
                    *(volumes, stop, printer, runs), report=report, now=now, has_server=has_server
                )
            watcher = RunWatcher(volumes, chosen.run, has_server=has_server)
            return await wait(volumes, stop, printer, watcher, report=report, now=now)
        finally:
            printer.close()

    return lifecycle.run(lambda: CollectorSettings.read(environment), until_closed)


class BriefPrinter(TerminalPrinter):
    """Prints one line for each run: beside the collector's own output, its summary would be printed twice."""

    def print_summary(self, snapshot: Snapshot) -> None:
        """Print verdict and headline."""
        self.close()
        summary = snapshot.summary
        print(f"{summary.verdict}  {summary.run}  {summary.headline}", flush=True)


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


class StallDetector:
    """Detects that a run makes no progress, and names the cause. Times are monotonic seconds."""

    def __init__(self, now: float, stall_seconds: float = DEFAULT_INTERVALS.stall, over: str | None = None) -> None:
        """Begin at ``now``; ``over`` is a run that ended before and is not waited for."""
        self._stall_seconds, self._over = stall_seconds, over
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
        elif status.ledger_bytes != last.ledger_bytes or self._waits_for_start(status) or self._waits_for_feed(status):
            self._since = now
        self._last = status
        return self._reason(status) if now - self._since >= self._stall_seconds else None

    def _waits_for_start(self, status: ObservedRun) -> bool:
        """Return whether the time has not come at which the run is to start."""
        return status.is_ahead and status.summary is not None and status.summary.state in ("opened", "waiting")

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
            earlier = f" since this wait began, and {self._over} was over before" if self._over is not None else ""
            return f"a run: none has been opened{earlier}; a service that refuses its settings logs the reason"
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


async def wait(
    volumes: Path,
    stop: asyncio.Event,
    printer: TerminalPrinter,
    watcher: RunWatcher,
    *,
    report: Callable[[str], None],
    now: Callable[[], float],
    intervals: WaitIntervals = DEFAULT_INTERVALS,
) -> int:
    """Wait for the verdict; return its exit code, or 105 if the wait is aborted.

    Args:
        volumes: the volumes folder.
        stop: set by an interruption.
        printer: prints the summary; on a terminal it also shows the run meanwhile.
        watcher: selects the run and reads its status.
        report: prints progress if there is no terminal, and the reason for an abort.
        now: monotonic seconds.
        intervals: how often the volumes are read, and when to give up.
    """
    detector = StallDetector(now(), intervals.stall, watcher.over)
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


async def wait_for_next(
    volumes: Path,
    stop: asyncio.Event,
    printer: TerminalPrinter,
    runs: int,
    *,
    report: Callable[[str], None],
    now: Callable[[], float],
    intervals: WaitIntervals = DEFAULT_INTERVALS,
    has_server: bool = False,
) -> int:
    """Wait for runs that are not over yet, one after the other; return the worst verdict's exit code, or 105.

    Args:
        volumes: the volumes folder.
        stop: set by an interruption.
        printer: prints the summaries.
        runs: how many runs to wait for. One that was interrupted, and is not continued, is not counted.
        report: prints progress if there is no terminal, and the reason for an abort.
        now: monotonic seconds.
        intervals: see `wait`.
        has_server: the feed is this project's own; see `newest_run`.
    """
    over, code, counted = last_run_over(volumes), 0, 0
    present = frozenset(find_runs(volumes))
    while counted < runs:
        watcher = NextRunWatcher(volumes, over, intervals, has_server=has_server)
        latest = await wait(volumes, stop, printer, watcher, report=report, now=now, intervals=intervals)
        if latest == EXIT_ABORTED:
            return latest
        over = watcher.run
        summary = run_files.load(volumes, over) if over is not None else None
        if over in present and summary is not None and ABANDONED in summary.reasons:
            continue
        code, counted = max(code, latest), counted + 1
    return code


def _progress(status: ObservedRun) -> str:
    if status.run is None:
        return "waiting for a run to be opened"
    if status.summary is None:
        return f"waiting for the collector's first summary of run {status.run}"
    return f"{status.summary.state}: {status.summary.headline}"
