"""Measures the age of the published numbers while other programs keep every processor busy.

The age of a published number is the time since the first message that is in a block log but not in the number. Logged
messages are counted by reading the logs every `_SAMPLE_SECONDS`; the published numbers are those in `summary.json`, in
the volumes folder and from the web page.

``python -m benchmarks.busy`` measures only this; ``--records`` and ``--no-containers`` make it shorter.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from benchmarks import report
from benchmarks.measure import Figures, InvalidRun, Metric, environment, free_port
from services.contract import summary
from services.contract.summary import Summary
from tests.integration.stack import Stack, engine_answers

CLIENTS, RATE = 5, 200
TARGET_SECONDS = 2
BESIDE = f"{RATE} records/s × {CLIENTS} clients beside a busy loop on each processor"
FILE = Metric(f"{BESIDE}: greatest age of summary.json", "s", "less", TARGET_SECONDS)
PAGE = Metric(f"{BESIDE}: greatest age of the page's number", "s", "less", TARGET_SECONDS)
LINE = Metric(f"{BESIDE}: longest time between two live lines", "s", "less")
FILE_CONTAINED = Metric(f"{BESIDE}, through containers: greatest age of summary.json", "s", "less", TARGET_SECONDS)
PAGE_CONTAINED = Metric(f"{BESIDE}, through containers: greatest age of the page's number", "s", "less", TARGET_SECONDS)

_SAMPLE_SECONDS = 0.05
_START_SECONDS, _END_SECONDS = 60.0, 30.0
_LOOP = """
import os
if hasattr(os, "sched_setscheduler"):
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
mine = os.getppid()
while os.getppid() == mine:
    for _ in range(1_000_000): pass
"""
"""A busy loop that ends when its parent process has ended, even if that was killed. It does not inherit a real-time
priority, with which it would stop everything else on its processor."""
_COUNT = re.compile(rb'"count":([0-9]+)')
_LIVE = re.compile(rb"[0-9]{2}:[0-9]{2}  running")


class LogCounter:
    """Counts the messages in the block logs of a volumes folder, from the ``count`` fields of the blocks."""

    def __init__(self, volumes: Path) -> None:
        self.messages = 0
        self._volumes = volumes
        self._read: dict[Path, int] = {}

    def update(self) -> int:
        """Read the lines that were appended since the last call; return the count."""
        for path in self._volumes.glob("logs/*/*/*.jsonl"):
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                *lines, rest = file.read().split(b"\n")
                self._read[path] = file.tell() - len(rest)
            for line in lines:
                match = _COUNT.search(line, 0, 2000) if b'"kind":"block"' in line[:400] else None
                self.messages += int(match[1]) if match else 0
        return self.messages


class NumberAge:
    """Tracks the age of one published number: the times of logged messages that are not in it yet."""

    def __init__(self) -> None:
        self.largest = 0.0
        self._waiting: deque[tuple[int, float]] = deque()
        self._logged = 0

    def update(self, counter: int, published: int, now: float) -> None:
        """Add a sample: the numbers of logged and published messages at ``now`` (monotonic seconds)."""
        if counter > self._logged:
            self._waiting.append((counter, now))
            self._logged = counter
        while self._waiting and self._waiting[0][0] <= published:
            self._waiting.popleft()
        if self._waiting:
            self.largest = max(self.largest, now - self._waiting[0][1])


class _PagePoller:
    """Polls the page for its number in a thread, since a response may take long."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._requests = self._received = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._thread.start()

    @property
    def received(self) -> int:
        """The number in the page's last response."""
        return self._received

    def stop(self) -> None:
        """Stop polling."""
        self._stop.set()
        self._thread.join(10)

    def _poll(self) -> None:
        while not self._stop.wait(2 * _SAMPLE_SECONDS):
            try:
                with urllib.request.urlopen(self._address + "summary.json", timeout=10) as response:
                    self._received = summary.decode(response.read()).totals.received or 0
            except (OSError, msgspec.MsgspecError):
                continue


def measure(figures: Figures, folder: Path, records: int, *, containers: bool) -> None:
    """Send ``records`` records beside busy loops, with processes and, if Docker is available, with containers."""
    with busy_loops(os.cpu_count() or 1):
        _processes(figures, folder / "processes", records)
        if containers:
            _containers(figures, folder / "containers", records)


@contextmanager
def busy_loops(count: int) -> Iterator[None]:
    """Keep ``count`` processors busy inside a ``with`` block."""
    loops = [subprocess.Popen([sys.executable, "-c", _LOOP]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def _processes(figures: Figures, folder: Path, records: int) -> None:
    folder.mkdir(parents=True)
    output, port = folder / "output", free_port()
    variables = environment(
        CLIENTS=CLIENTS,
        RATE=RATE,
        RECORDS=records,
        VOLUMES=folder,
        PORT=free_port(),
        PAGE_PORT=port,
        PYTHONUNBUFFERED=1,
    )
    with output.open("wb") as file:
        process = subprocess.Popen([sys.executable, "-m", "services"], env=variables, stdout=file, stderr=file)
    line_gaps = LineGaps(output)
    try:
        ages = _follow(folder, f"http://127.0.0.1:{port}/", records, line_gaps.update)
        process.wait(_END_SECONDS)
    except (InvalidRun, subprocess.TimeoutExpired) as problem:
        tail = "\n".join(output.read_text(errors="replace").splitlines()[-20:])
        raise InvalidRun(f"{problem}:\n{tail}") from problem
    finally:
        process.terminate()
        process.wait(_END_SECONDS)
    for metric, value in zip((FILE, PAGE, LINE), (*ages, line_gaps.longest), strict=True):
        figures.add(metric, value)


def _containers(figures: Figures, folder: Path, records: int) -> None:
    if not engine_answers():
        figures.skip(f"{BESIDE}, through containers", "no Docker engine answers")
        return
    folder.mkdir(parents=True)
    with Stack(folder, RATE=RATE, RECORDS=records, CLIENTS=CLIENTS) as stack:
        try:
            stack.up(clients=CLIENTS)
        except AssertionError as problem:
            figures.skip(f"{BESIDE}, through containers", f"they do not start: {str(problem).splitlines()[-1][:80]}")
            return
        ages = _follow(folder, stack.page() + "/", records, lambda _: None)
    for metric, value in zip((FILE_CONTAINED, PAGE_CONTAINED), ages, strict=True):
        figures.add(metric, value)


class LineGaps:
    """Measures the longest gap between the progress lines that a run prints into a file."""

    def __init__(self, output: Path) -> None:
        self.longest = 0.0
        self._output = output
        self._line_count, self._changed_at = 0, 0.0

    def update(self, now: float) -> None:
        """Look for new lines at ``now`` (monotonic seconds)."""
        line_count = len(_LIVE.findall(self._output.read_bytes()))
        if line_count != self._line_count:
            self._line_count, self._changed_at = line_count, now
        elif line_count:
            self.longest = max(self.longest, now - self._changed_at)


def _follow(folder: Path, page: str, records: int, on_sample: Callable[[float], None]) -> tuple[float, float]:
    """Watch a run until all messages are logged; return the largest age of the file's and the page's number (s)."""
    counter, by_file, by_page, poller = LogCounter(folder), NumberAge(), NumberAge(), _PagePoller(page)
    deadline = time.monotonic() + _START_SECONDS + records / RATE
    try:
        while counter.update() < records * CLIENTS:
            now = time.monotonic()
            if now > deadline:
                raise InvalidRun(f"{counter.messages:,} of {records * CLIENTS:,} messages were logged in time")
            by_file.update(counter.messages, _received(folder), now)
            by_page.update(counter.messages, poller.received, now)
            on_sample(now)
            time.sleep(_SAMPLE_SECONDS)
    finally:
        poller.stop()
    return by_file.largest, by_page.largest


def _received(folder: Path) -> int:
    try:
        summary_: Summary = summary.decode((folder / "summary" / "summary.json").read_bytes())
    except (OSError, msgspec.MsgspecError):
        return 0
    return summary_.totals.received or 0


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.busy", description=__doc__)
    parser.add_argument("--records", type=int, default=6000, help="records to send, 200 per second")
    parser.add_argument("--no-containers", action="store_true", help="measure only with processes")
    arguments = parser.parse_args()
    figures = Figures()
    with tempfile.TemporaryDirectory(prefix="busy-") as folder:
        measure(figures, Path(folder), arguments.records, containers=not arguments.no_containers)
    print(report.table(figures))


if __name__ == "__main__":
    main()
