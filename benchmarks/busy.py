"""How old the published numbers are while every processor is kept busy by other programs, and records flow.

At any moment the age of a published number is the time since the first message that is in a block log and not in the
number. What is logged is counted by reading the logs themselves, every `_LOOK_SECONDS`; what is published is
`summary.json`, once in the volumes folder and once as the page answers with it.

``python -m benchmarks.busy`` takes these figures alone: ``--records`` and ``--no-containers`` make it shorter.
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
from benchmarks.measure import BooksOpen, Figures, Metric, environment, free_port
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

_LOOK_SECONDS = 0.05
_START_SECONDS, _END_SECONDS = 60.0, 30.0
_LOOP = "import os\nmine = os.getppid()\nwhile os.getppid() == mine:\n    for _ in range(1_000_000): pass\n"
"""Ends by itself when its parent is gone, however that ended."""
_COUNT = re.compile(rb'"count":([0-9]+)')
_LIVE = re.compile(rb"[0-9]{2}:[0-9]{2}  running")


class Logged:
    """How many messages the block logs of the newest run hold, counted by their blocks' own fields."""

    def __init__(self, volumes: Path) -> None:
        self.messages = 0
        self._volumes = volumes
        self._read: dict[Path, int] = {}

    def look(self) -> int:
        """Read what has been appended; return the count."""
        for path in self._volumes.glob("logs/*/*/*.jsonl"):
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                *lines, rest = file.read().split(b"\n")
                self._read[path] = file.tell() - len(rest)
            for line in lines:
                found = _COUNT.search(line, 0, 2000) if b'"kind":"block"' in line[:400] else None
                self.messages += int(found[1]) if found else 0
        return self.messages


class Age:
    """The age of one published number: what was logged, and when, that is not in it yet."""

    def __init__(self) -> None:
        self.greatest = 0.0
        self._waiting: deque[tuple[int, float]] = deque()
        self._logged = 0

    def note(self, logged: int, published: int, now: float) -> None:
        """Take how many messages are logged and published at a time, in seconds of one clock."""
        if logged > self._logged:
            self._waiting.append((logged, now))
            self._logged = logged
        while self._waiting and self._waiting[0][0] <= published:
            self._waiting.popleft()
        if self._waiting:
            self.greatest = max(self.greatest, now - self._waiting[0][1])


class _Page:
    """Asks the page for its number again and again, in a thread: an answer may take long."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._asked = self._received = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    @property
    def received(self) -> int:
        """What the page said last."""
        return self._received

    def stop(self) -> None:
        """Ask no more."""
        self._stop.set()
        self._thread.join(10)

    def _ask(self) -> None:
        while not self._stop.wait(2 * _LOOK_SECONDS):
            try:
                with urllib.request.urlopen(self._address + "summary.json", timeout=10) as answer:
                    self._received = summary.decode(answer.read()).totals.received or 0
            except (OSError, msgspec.MsgspecError):
                continue


def measure(figures: Figures, folder: Path, records: int, *, containers: bool) -> None:
    """Play so many records beside busy loops, as processes, and then in containers if an engine answers."""
    with busy_loops(os.cpu_count() or 1):
        _processes(figures, folder / "processes", records)
        if containers:
            _containers(figures, folder / "containers", records)


@contextmanager
def busy_loops(count: int) -> Iterator[None]:
    """Keep so many processors busy."""
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
    given = environment(
        CLIENTS=CLIENTS,
        RATE=RATE,
        RECORDS=records,
        VOLUMES=folder,
        PORT=free_port(),
        PAGE_PORT=port,
        PYTHONUNBUFFERED=1,
    )
    with output.open("wb") as file:
        process = subprocess.Popen([sys.executable, "-m", "services"], env=given, stdout=file, stderr=file)
    pauses = Pauses(output)
    try:
        ages = _follow(folder, f"http://127.0.0.1:{port}/", records, pauses.look)
        process.wait(_END_SECONDS)
    except (BooksOpen, subprocess.TimeoutExpired) as problem:
        tail = "\n".join(output.read_text(errors="replace").splitlines()[-20:])
        raise BooksOpen(f"{problem}:\n{tail}") from problem
    finally:
        process.terminate()
        process.wait(_END_SECONDS)
    for metric, value in zip((FILE, PAGE, LINE), (*ages, pauses.longest), strict=True):
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


class Pauses:
    """How far apart the live lines are that a run prints into a file."""

    def __init__(self, output: Path) -> None:
        self.longest = 0.0
        self._output = output
        self._said, self._said_at = 0, 0.0

    def look(self, now: float) -> None:
        """Look for further lines at a time in seconds."""
        said = len(_LIVE.findall(self._output.read_bytes()))
        if said != self._said:
            self._said, self._said_at = said, now
        elif said:
            self.longest = max(self.longest, now - self._said_at)


def _follow(folder: Path, page: str, records: int, also: Callable[[float], None]) -> tuple[float, float]:
    """Watch a run until all is logged; return the greatest age of the file's and the page's number, in seconds."""
    logged, by_file, by_page, asked = Logged(folder), Age(), Age(), _Page(page)
    deadline = time.monotonic() + _START_SECONDS + records / RATE
    try:
        while logged.look() < records * CLIENTS:
            now = time.monotonic()
            if now > deadline:
                raise BooksOpen(f"{logged.messages:,} of {records * CLIENTS:,} messages were logged in time")
            by_file.note(logged.messages, _received(folder), now)
            by_page.note(logged.messages, asked.received, now)
            also(now)
            time.sleep(_LOOK_SECONDS)
    finally:
        asked.stop()
    return by_file.greatest, by_page.greatest


def _received(folder: Path) -> int:
    try:
        made: Summary = summary.decode((folder / "summary" / "summary.json").read_bytes())
    except (OSError, msgspec.MsgspecError):
        return 0
    return made.totals.received or 0


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.busy", description=__doc__)
    parser.add_argument("--records", type=int, default=6000, help="records to play, 200 a second")
    parser.add_argument("--no-containers", action="store_true", help="as processes alone")
    chosen = parser.parse_args()
    figures = Figures()
    with tempfile.TemporaryDirectory(prefix="busy-") as folder:
        measure(figures, Path(folder), chosen.records, containers=not chosen.no_containers)
    print(report.table(figures))


if __name__ == "__main__":
    main()
