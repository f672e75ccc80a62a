"""Measures the latency with containers, using the project's compose file; skipped if Docker is not available."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.measure import Figures, InvalidRun, Metric
from benchmarks.system import CLIENTS, FIXED_RATE
from tests.integration.stack import Stack, engine_answers

P50 = Metric(f"{FIXED_RATE}, through containers: p50", "ms", "less")
P99 = Metric(f"{FIXED_RATE}, through containers: p99", "ms", "less", 4)

_DEADLINE_SECONDS = 120.0


def fixed_rate(figures: Figures, folder: Path, records: int) -> None:
    """Send 1,000 records per second with containers, and read the latency from the due time."""
    if not engine_answers():
        figures.skip(f"{FIXED_RATE}, through containers", "no Docker engine answers")
        return
    folder.mkdir()
    # Sync first, or the kernel would write the previous benchmark's data between the blocks of this one.
    os.sync()
    with Stack(folder, RATE=1000, RECORDS=records, CLIENTS=CLIENTS) as stack:
        try:
            stack.up(clients=CLIENTS)
        except AssertionError as problem:
            figures.skip(
                f"{FIXED_RATE}, through containers", f"they do not start: {str(problem).splitlines()[-1][:80]}"
            )
            return
        code, output = stack.wait(_DEADLINE_SECONDS)
        result = stack.volumes.verdict()
    if code or result is None or result.totals.residual:
        raise InvalidRun(f"a run in containers ended with code {code}:\n{output}")
    for metric, value in ((P50, result.latency_ns.p50), (P99, result.latency_ns.p99)):
        figures.add(metric, (value or 0) / 1e6)
