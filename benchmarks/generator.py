"""The generator alone: records per second of one core, no chunk made before.

In a new process each time: what the C library does with large buffers depends on what a process freed before, and
this one has read whole logs.
"""

from __future__ import annotations

import subprocess
import sys
import time

from benchmarks.measure import Figures, Metric
from services.server.feed.generator import CHUNK, FeedGenerator

RECORDS = Metric("generator, new process, chunks never made before", "records/s", "more", 700_000)
START = Metric("generator, start (filling the pools)", "s", "less", 1.5)


def measure(figures: Figures, records: int) -> None:
    """Have a new process make pools and then records; note what both took."""
    command = [sys.executable, "-m", "benchmarks.generator", str(records)]
    start, rate = map(float, subprocess.run(command, capture_output=True, check=True, timeout=300).stdout.split())
    figures.add(START, start)
    figures.add(RECORDS, rate)


def make(records: int) -> tuple[float, float]:
    """Return the seconds it takes to make the pools, and the records per second after that."""
    began = time.perf_counter()
    feed = FeedGenerator("person", "en_US", 42)
    start, chunks = time.perf_counter() - began, records // CHUNK
    began = time.perf_counter()
    for number in range(chunks):
        feed.lines(number * CHUNK + 1, (number + 1) * CHUNK)
    return start, chunks * CHUNK / (time.perf_counter() - began)


if __name__ == "__main__":
    print(*make(int(sys.argv[1])))
