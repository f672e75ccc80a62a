"""Runs the scale benchmarks, round by round."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.measure import Figures
from benchmarks.scale import cuts, following, growth, logging_clients, neighbours, two_servers, verifying
from benchmarks.scale.sizes import Sizes

Benchmark = Callable[[Figures, Path, Sizes], None]

BENCHMARKS: dict[str, Benchmark] = {
    "cuts": lambda figures, folder, sizes: cuts.measure(figures, folder, sizes.cuts),
    "growth": lambda figures, folder, sizes: growth.measure(figures, folder, sizes.growth),
    "two-servers": lambda figures, folder, sizes: two_servers.measure(figures, folder, sizes.two_servers),
    "neighbours": lambda figures, folder, sizes: neighbours.measure(figures, folder, sizes.paced),
    "verify": lambda figures, folder, sizes: verifying.measure(figures, folder, sizes.volumes),
    "logging": lambda figures, folder, sizes: logging_clients.measure(figures, folder, sizes.logging),
    "follow": lambda figures, folder, sizes: following.measure(figures, folder, sizes.appended, sizes.idle),
}


def measure(figures: Figures, folder: Path, sizes: Sizes, names: Sequence[str] = tuple(BENCHMARKS)) -> None:
    """Run the benchmarks with these names once per round, one after the other.

    Raises:
        InvalidRun: a run failed, or its deliveries do not add up.
    """
    for number in range(1, sizes.rounds + 1):
        for name in names:
            began, size_folder = time.monotonic(), folder / f"{name}-{number}"
            BENCHMARKS[name](figures, size_folder, sizes)
            shutil.rmtree(size_folder)
            seconds = time.monotonic() - began
            print(f"scale, round {number} of {sizes.rounds}, {name}: {seconds:.0f} s", file=sys.stderr, flush=True)
