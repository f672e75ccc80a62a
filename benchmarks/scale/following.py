"""How soon a block is in the summary of a collector that follows the run, and what it costs to follow nothing.

A block's time runs from when its newline was written until a `summary.json` is found that counts its messages; the
file is looked at every 5 ms. Blocks are appended at moments that no poll of the collector can keep step with.
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

from benchmarks.measure import BooksOpen, Figures, Metric, cpu_seconds, environment, free_port
from benchmarks.scale.run_files import RUN, Ledger, Log, batch
from services.collector.publish.files.run_files import load, summary_path
from services.contract.summary import Summary
from services.server.feed.generator import FeedGenerator

P50 = Metric("collector that follows: from a block's newline until it is in the summary, p50", "ms", "less")
P99 = Metric("collector that follows: from a block's newline until it is in the summary, p99", "ms", "less", 300)
IDLE = Metric("collector with nothing to follow: processor time", "% of a core", "less", 1)

BLOCK = 10
SEED = 42
_LOOK_SECONDS = 0.005
_GAP_SECONDS = 0.1, 0.5
_LAST_SECONDS = 10.0
_SETTLE_SECONDS = 1.0


class Appended(NamedTuple):
    """A block that was written: how many messages the log had with it, and when."""

    messages: int
    at: float


class Watch:
    """Looks at a summary whenever it has been replaced."""

    def __init__(self, volumes: Path) -> None:
        self._volumes, self._path = volumes, summary_path(volumes, RUN)
        self._seen = 0, 0

    def look(self) -> Summary | None:
        """Return the summary if there is another one than before."""
        try:
            status = os.stat(self._path)
        except FileNotFoundError:
            return None
        found = status.st_ino, status.st_mtime_ns
        if found == self._seen:
            return None
        self._seen = found
        return load(self._volumes, RUN)

    def wait(self, state: str) -> None:
        """Wait for a summary in this state.

        Raises:
            BooksOpen: it does not come.
        """
        deadline = time.monotonic() + _LAST_SECONDS
        while (made := load(self._volumes, RUN)) is None or made.state != state:
            if time.monotonic() > deadline:
                raise BooksOpen(f"the collector does not find the run {state}: {made}")
            time.sleep(_LOOK_SECONDS)


def measure(figures: Figures, folder: Path, blocks: int, idle: float) -> None:
    """Append so many blocks beside a collector that follows, end the run, and watch the collector do nothing."""
    folder.mkdir(parents=True)
    log = Log(folder, "client-1", 1, BLOCK)
    books = Ledger(folder, blocks * BLOCK, [log], BLOCK)
    with _collector(folder) as pid:
        watch = Watch(folder)
        watch.wait("running")
        delays = sorted(_followed(watch, log, books, blocks))
        log.finish()
        books.finish()
        watch.wait("closed")
        figures.add(P50, 1000 * _percentile(delays, 50))
        figures.add(P99, 1000 * _percentile(delays, 99))
        figures.add(IDLE, 100 * _idle(pid, idle))


def _followed(watch: Watch, log: Log, books: Ledger, blocks: int) -> Iterator[float]:
    """Append the blocks, and yield the time that each took to be in the summary."""
    feed, dice = FeedGenerator("person", "en_US", 42), random.Random(SEED)
    waiting: list[Appended] = []
    written, due = 0, time.monotonic()
    while written < blocks or waiting:
        now = time.monotonic()
        if written < blocks and now >= due:
            first = written * BLOCK + 1
            receipt = log.put(batch(feed.records(first, BLOCK), first))
            waiting.append(Appended(first + BLOCK - 1, time.monotonic()))
            books.put(receipt)
            written, due = written + 1, now + dice.uniform(*_GAP_SECONDS)
        made = watch.look()
        now = time.monotonic()
        while made is not None and waiting and waiting[0].messages <= made.totals.received:
            yield now - waiting.pop(0).at
        if waiting and now - waiting[0].at > _LAST_SECONDS:
            raise BooksOpen(f"block {waiting[0].messages // BLOCK} is not in the summary after {_LAST_SECONDS:.0f} s")
        time.sleep(_LOOK_SECONDS)


def _idle(pid: int, seconds: float) -> float:
    """Return the share of a core that a process takes."""
    time.sleep(_SETTLE_SECONDS)
    spent, began = cpu_seconds(pid) or 0.0, time.monotonic()
    time.sleep(seconds)
    return ((cpu_seconds(pid) or 0.0) - spent) / (time.monotonic() - began)


def _percentile(ascending: list[float], percent: float) -> float:
    return ascending[max(0, math.ceil(len(ascending) * percent / 100) - 1)]


@contextmanager
def _collector(volumes: Path) -> Iterator[int]:
    given = environment(VOLUMES=volumes, PAGE_PORT=free_port())
    with (volumes / "output").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.collector"], env=given, stdout=output, stderr=output
        )
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(30)
