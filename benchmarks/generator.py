"""Measures the generator alone: records per second on one core, without cached chunks.

Each measurement runs in a new process, since the C library's handling of large buffers depends on earlier frees, and
this process has read whole logs.
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
    """Measure in a new process the start of the generator and its speed."""
    command = [sys.executable, "-m", "benchmarks.generator", str(records)]
    start, rate = map(float, subprocess.run(command, capture_output=True, check=True, timeout=300).stdout.split())
    figures.add(START, start)
    figures.add(RECORDS, rate)


def measure_here(records: int) -> tuple[float, float]:
    """Return the seconds to fill the pools, and the records per second after that."""
    began = time.perf_counter()
    feed = FeedGenerator("person", "en_US", 42)
    start, chunks = time.perf_counter() - began, records // CHUNK
    began = time.perf_counter()
    for number in range(chunks):
        feed.lines(number * CHUNK + 1, (number + 1) * CHUNK)
    return start, chunks * CHUNK / (time.perf_counter() - began)


if __name__ == "__main__":
    print(*measure_here(int(sys.argv[1])))
