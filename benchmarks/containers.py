"""The latency through containers: the one compose file, as anybody starts it; left out where no engine answers."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.measure import BooksOpen, Figures, Metric
from benchmarks.system import CLIENTS, PACED
from tests.integration.stack import Stack, engine_answers

P50 = Metric(f"{PACED}, through containers: p50", "ms", "less")
P99 = Metric(f"{PACED}, through containers: p99", "ms", "less", 4)

_DEADLINE_SECONDS = 120.0


def paced(figures: Figures, folder: Path, records: int) -> None:
    """Play at 1,000 records per second in containers, and read the latency from the due time."""
    if not engine_answers():
        figures.skip(f"{PACED}, through containers", "no Docker engine answers")
        return
    folder.mkdir()
    # What the benchmark before has written and not synced would be written now, between the blocks.
    os.sync()
    with Stack(folder, RATE=1000, RECORDS=records, CLIENTS=CLIENTS) as stack:
        try:
            stack.up(clients=CLIENTS)
        except AssertionError as problem:
            figures.skip(f"{PACED}, through containers", f"they do not start: {str(problem).splitlines()[-1][:80]}")
            return
        code, said = stack.wait(_DEADLINE_SECONDS)
        found = stack.volumes.verdict()
    if code or found is None or found.totals.residual:
        raise BooksOpen(f"a run in containers ended with code {code}:\n{said}")
    for metric, value in ((P50, found.latency_ns.p50), (P99, found.latency_ns.p99)):
        figures.add(metric, (value or 0) / 1e6)
