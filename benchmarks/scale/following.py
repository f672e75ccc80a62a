"""Measures how soon a block is in the summary of a running collector, and the CPU time of an idle collector.

The delay of a block runs from the write of its newline until a `summary.json` counts its messages; the file is checked
every 5 ms. Blocks are appended at random times, so that they are not in step with the collector's polls.
"""

from __future__ import annotations

import math
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import Figures, InvalidRun, Metric, cpu_seconds, environment, free_port
from benchmarks.scale.run_files import RUN, Ledger, Log, batch
from services.collector.publish.files.run_files import load, summary_path
from services.contract.summary import Summary
from services.server.feed.generator import FeedGenerator

P50 = Metric("collector that follows: from a block's newline until it is in the summary, p50", "ms", "less")
P99 = Metric("collector that follows: from a block's newline until it is in the summary, p99", "ms", "less", 300)
IDLE = Metric("collector with nothing to follow: processor time", "% of a core", "less", 1)

BLOCK = 10
SEED = 42
_POLL_SECONDS = 0.005
_GAP_SECONDS = 0.1, 0.5
_LAST_SECONDS = 10.0
_SETTLE_SECONDS = 1.0


class AppendedBlock(NamedTuple):
    """A written block: the number of messages in the log including it, and the time of writing."""

    messages: int
    at: float


class SummaryWatch:
    """Reads a summary whenever the file has been replaced."""

    def __init__(self, volumes: Path) -> None:
        self._volumes, self._path = volumes, summary_path(volumes, RUN)
        self._seen = 0, 0

    def changed_summary(self) -> Summary | None:
        """Return the summary if it was replaced since the last call, otherwise None."""
        try:
            status = os.stat(self._path)
        except FileNotFoundError:
            return None
        identity = status.st_ino, status.st_mtime_ns
        if identity == self._seen:
            return None
        self._seen = identity
        return load(self._volumes, RUN)

    def wait(self, state: str, seconds: float = _LAST_SECONDS) -> None:
        """Wait for a summary in this state, at most this long.

        Raises:
            InvalidRun: there is none within the deadline.
        """
        deadline = time.monotonic() + seconds
        while (summary := load(self._volumes, RUN)) is None or summary.state != state:
            if time.monotonic() > deadline:
                raise InvalidRun(f"the collector does not find the run {state}: {summary}")
            time.sleep(_POLL_SECONDS)


def measure(figures: Figures, folder: Path, blocks: int, idle: float) -> None:
    """Append ``blocks`` blocks while a collector follows, end the run, and measure the idle collector."""
    folder.mkdir(parents=True)
    log = Log(folder, "client-1", 1, BLOCK)
    run_ledger = Ledger(folder, blocks * BLOCK, [log], BLOCK)
    with collector(folder) as pid:
        watch = SummaryWatch(folder)
        watch.wait("running")
        delays = sorted(_delays(watch, log, run_ledger, blocks))
        log.finish()
        run_ledger.finish()
        watch.wait("closed")
        figures.add(P50, 1000 * _percentile(delays, 50))
        figures.add(P99, 1000 * _percentile(delays, 99))
        figures.add(IDLE, 100 * _idle(pid, idle))


def _delays(watch: SummaryWatch, log: Log, run_ledger: Ledger, blocks: int) -> Iterator[float]:
    """Append the blocks, and yield the delay of each until it is in the summary, in seconds."""
    feed, rng = FeedGenerator("person", "en_US", 42), random.Random(SEED)
    waiting: list[AppendedBlock] = []
    written, due = 0, time.monotonic()
    while written < blocks or waiting:
        now = time.monotonic()
        if written < blocks and now >= due:
            first = written * BLOCK + 1
            receipt = log.put(batch(feed.records(first, BLOCK), first))
            waiting.append(AppendedBlock(first + BLOCK - 1, time.monotonic()))
            run_ledger.put(receipt)
            written, due = written + 1, now + rng.uniform(*_GAP_SECONDS)
        summary = watch.changed_summary()
        now = time.monotonic()
        while summary is not None and waiting and waiting[0].messages <= summary.totals.received:
            yield now - waiting.pop(0).at
        if waiting and now - waiting[0].at > _LAST_SECONDS:
            raise InvalidRun(f"block {waiting[0].messages // BLOCK} is not in the summary after {_LAST_SECONDS:.0f} s")
        time.sleep(_POLL_SECONDS)


def _idle(pid: int, seconds: float) -> float:
    """Return the share of a core that a process uses."""
    time.sleep(_SETTLE_SECONDS)
    spent, began = cpu_seconds(pid) or 0.0, time.monotonic()
    time.sleep(seconds)
    return ((cpu_seconds(pid) or 0.0) - spent) / (time.monotonic() - began)


def _percentile(ascending: list[float], percent: float) -> float:
    return ascending[max(0, math.ceil(len(ascending) * percent / 100) - 1)]


@contextmanager
def collector(volumes: Path) -> Iterator[int]:
    """Run the collector's service inside a ``with`` block; yield its process id."""
    variables = environment(VOLUMES=volumes, PAGE_PORT=free_port())
    with (volumes / "output").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.collector"], env=variables, stdout=output, stderr=output
        )
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(30)
