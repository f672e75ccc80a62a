"""The generator alone: records per second of one core, no chunk made before."""

from __future__ import annotations

import time
from itertools import count

from services.server.generate import CHUNK, Feed
from tests.bench.measure import Figures, Metric

RECORDS = Metric("generator, chunks never made before", "records/s", "more", 700_000)
START = Metric("generator, start (filling the pools)", "s", "less", 1.5)

_chunks = count(1)


def measure(figures: Figures, records: int) -> None:
    """Make pools anew, then as many records, each chunk for the first time."""
    began = time.perf_counter()
    feed = Feed("person", "en_US", 42)
    figures.add(START, time.perf_counter() - began)
    chunks = records // CHUNK
    firsts = [(number - 1) * CHUNK + 1 for number, _ in zip(_chunks, range(chunks), strict=False)]
    began = time.perf_counter()
    for first in firsts:
        feed.lines(first, first + CHUNK - 1)
    figures.add(RECORDS, chunks * CHUNK / (time.perf_counter() - began))
