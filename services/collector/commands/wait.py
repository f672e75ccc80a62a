"""Waits for the verdict of the newest run, for scripts: prints the summary and gives its exit code.

Only looks at the volumes, like everybody else: it needs no connection to the collector it runs beside.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from services.collector.publish.files import run_files
from services.collector.publish.terminal.printer import TerminalPrinter
from services.collector.scan import find_runs
from services.collector.settings import CollectorSettings
from services.collector.verdict.snapshot import Snapshot, empty
from services.contract.scalars import run_order
from services.contract.summary import EXIT_CODES, Summary
from services.runtime import lifecycle
from services.runtime.cli import Commands
from services.runtime.errors import EXIT_ABORTED

POLL_SECONDS = 0.25
WEIGH_SECONDS = 2.0
PATIENCE_SECONDS = 60.0
PROGRESS_SECONDS = 5.0
RESTART_SECONDS = 3.0
"""A run that was closed before anybody waited may be about to be followed: a server needs a moment to start again."""


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add(
        "wait",
        "wait for the newest run's verdict, print its summary",
        run,
        {
            "wait": "the exit code is the verdict: for scripts and CI jobs",
            "wait --run 20261122T073000Z": "the verdict of this run, also when it was closed long ago",
        },
    )
    parser.add_argument("--run", help="wait for this run's")


def run(chosen: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Wait as was chosen; return the exit code."""

    async def until_closed(read: CollectorSettings, stop: asyncio.Event) -> int:
        speaker = TerminalPrinter.on_stdout(read.volumes, colour=read.colour)
        try:
            return await wait(read.volumes, stop, speaker, tell=_tell, now=time.monotonic, run=chosen.run)
        finally:
            speaker.end()

    return lifecycle.run(lambda: CollectorSettings.read(environment), until_closed)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class RunStatus:
    """What can be seen of the run that is waited for."""

    run: str | None
    summary: Summary | None = None
    ledger_bytes: int = 0
    log_bytes: int = 0


class StallDetector:
    """Decides when waiting has become pointless, and on whom. ``now`` is monotonic seconds."""

    def __init__(self, now: float) -> None:
        self._since = now
        self._last: RunStatus | None = None
        self._summary_log_bytes = 0

    def look(self, sight: RunStatus, now: float) -> str | None:
        """Take in what can be seen; return why to give up, None to go on."""
        last = self._last
        if last is None or sight.summary != last.summary or sight.run != last.run:
            self._summary_log_bytes = sight.log_bytes
            self._since = now
        elif sight.ledger_bytes != last.ledger_bytes or self._is_listening(sight):
            self._since = now
        self._last = sight
        return self._reason(sight) if now - self._since >= PATIENCE_SECONDS else None

    def _is_listening(self, sight: RunStatus) -> bool:
        """Tell whether clients wait for a feed that is not ours: it may be silent for as long as it likes."""
        made = sight.summary
        return (
            made is not None
            and (made.books, made.state) == ("one-sided", "running")
            and sight.log_bytes <= self._summary_log_bytes
        )

    def _reason(self, sight: RunStatus) -> str:
        if sight.run is None:
            return "a run: none has been opened"
        made = sight.summary
        if made is None or sight.log_bytes > self._summary_log_bytes:
            return f"collector: it does not keep up the summary of run {sight.run}"
        if made.state in ("opened", "waiting"):
            return f"client: {made.headline.removeprefix('waiting: ')} subscribed"
        if made.state == "paused":
            return f"nothing: run {sight.run} is paused; resume it, or start the server again"
        if made.state == "ended":
            return f"collector: run {sight.run} has ended and is not closed"
        return f"client: run {sight.run} stands still at {made.totals.received:,} messages"


class RunWatcher:
    """Looks at a volumes folder. Unless a run is named, the one that is newest at the first look is meant.

    Unless that one is closed already: then one that is opened within `RESTART_SECONDS` is.
    """

    def __init__(self, volumes: Path, run: str | None = None) -> None:
        self._volumes = volumes
        self._run = run
        self._settled_at: float | None = None if run is None else -math.inf
        self._log_bytes = 0
        self._weighed_at: float | None = None

    def look(self, now: float) -> RunStatus:
        """Return what can be seen."""
        if not self.is_settled(now):
            self._run = self._newest()
        if self._run is None:
            return RunStatus(None)
        if self._settled_at is None:
            known = run_files.load(self._volumes, self._run)
            closed = known is not None and known.state == "closed"
            self._settled_at = now + RESTART_SECONDS if closed else now
        if self._weighed_at is None or now - self._weighed_at >= WEIGH_SECONDS:
            self._log_bytes, self._weighed_at = _weight(self._volumes / "logs" / self._run, "*/*.jsonl"), now
        made = run_files.load(self._volumes, self._run)
        return RunStatus(
            self._run,
            msgspec.structs.replace(made, made_at=None) if made else None,
            _weight(self._volumes / "ledger" / self._run, "*.jsonl"),
            self._log_bytes,
        )

    def is_settled(self, now: float) -> bool:
        """Tell whether it is decided which run is waited for."""
        return self._settled_at is not None and now >= self._settled_at

    def _newest(self) -> str | None:
        return max(find_runs(self._volumes), key=run_order, default=None)


def _weight(folder: Path, pattern: str) -> int:
    total = 0
    for path in folder.glob(pattern):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total


async def wait(
    volumes: Path,
    stop: asyncio.Event,
    speaker: TerminalPrinter,
    *,
    tell: Callable[[str], None],
    now: Callable[[], float],
    run: str | None = None,
) -> int:
    """Wait for the verdict; return its exit code, or the one for a wait that was given up.

    Args:
        volumes: the volumes folder.
        stop: set when somebody interrupts.
        speaker: takes the summary; and, if it has a terminal, shows the run meanwhile.
        tell: takes progress, where there is no terminal, and the reason for giving up.
        now: monotonic seconds.
        run: which one; the newest when none is named.
    """
    eyes, patience, told_at, shown = RunWatcher(volumes, run), StallDetector(now()), now(), None
    while not stop.is_set():
        sight = eyes.look(now())
        made = sight.summary
        if made is not None and made.state == "closed" and eyes.is_settled(now()):
            speaker.final(run_files.load_snapshot(volumes, made.run) or Snapshot(made, empty(made.run)))
            return EXIT_CODES[made.verdict]
        reason = patience.look(sight, now())
        if reason is not None:
            speaker.end()
            tell(f"no progress for {PATIENCE_SECONDS:.0f} s, waiting for {reason}")
            return EXIT_ABORTED
        if speaker.screen is not None:
            if made is not None and made != shown:
                speaker.progress(Snapshot(made, empty(made.run)))
                shown = made
        elif now() - told_at >= PROGRESS_SECONDS:
            told_at = now()
            tell(_progress(sight))
        try:
            await asyncio.wait_for(stop.wait(), POLL_SECONDS)
        except TimeoutError:
            continue
    speaker.end()
    tell("interrupted before the verdict")
    return EXIT_ABORTED


def _progress(sight: RunStatus) -> str:
    if sight.run is None:
        return "waiting for a run to be opened"
    if sight.summary is None:
        return f"waiting for the collector's first summary of run {sight.run}"
    return f"{sight.summary.state}: {sight.summary.headline}"
