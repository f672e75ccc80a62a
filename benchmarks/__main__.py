"""``python -m benchmarks``: runs all benchmarks and prints the figures; exits with 1 if a run lost or repeated records.

``QUICK=1`` makes one round of smaller runs, and does not update ``docs/performance.md``.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import busy, containers, fanout, generator, report, system
from benchmarks.external import suite as external
from benchmarks.measure import Figures, InvalidRun, Sizes
from benchmarks.peers import fanout as peers
from benchmarks.peers import naive
from benchmarks.profile import report as profile_report
from benchmarks.profile import suite as profile
from benchmarks.scale import sizes as scale_sizes
from benchmarks.scale import suite as scale
from tests import doc_tables

DOCUMENT = Path("docs/performance.md")


def measure(sizes: Sizes, folder: Path) -> Figures:
    """Run every benchmark once per round, one after the other, after a warm-up that does not count."""
    figures = Figures()
    servers = peers.prepare(figures, sizes, folder)
    system.full_speed(Figures(), folder / "warm-up", sizes.warm_up)
    for number in range(1, sizes.rounds + 1):
        began = time.monotonic()
        generator.measure(figures, sizes.generator)
        system.full_speed(figures, folder / f"flat-out-{number}", sizes.full_speed)
        naive.measure(figures, folder, sizes.naive)
        system.fixed_rate(figures, folder / f"paced-{number}", sizes.fixed_rate)
        if sizes.containers:
            containers.fixed_rate(figures, folder / f"containers-{number}", sizes.fixed_rate)
        fanout.measure(figures, folder / f"fan-out-{number}", sizes.fan_out)
        peers.measure(figures, folder, servers, sizes)
        external.measure(figures, folder, sizes.external)
        print(f"round {number} of {sizes.rounds}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return figures


def main() -> int:
    """Measure, print the report, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures of every round to this file")
    parser.add_argument("--no-document", action="store_true", help=f"do not update the tables in {DOCUMENT}")
    arguments = parser.parse_args()
    quick = os.environ.get("QUICK", "") not in ("", "0")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        try:
            figures = measure(Sizes.quick() if quick else Sizes.full(), Path(folder))
            scale_volume = scale_sizes.Sizes.quick() if quick else scale_sizes.Sizes.full()
            scale.measure(figures, Path(folder), scale_volume)
            sizes = Sizes.quick() if quick else Sizes.full()
            busy.measure(figures, Path(folder) / "busy", sizes.busy, containers=sizes.containers)
            profile_results = _measure_profile(Path(folder), quick=quick)
        except InvalidRun as problem:
            print(f"error: {problem}", file=sys.stderr)
            return 1
    report.print_report(figures, arguments.json, profile=profile_report.as_dict(profile_results))
    profile_report.print_report(profile_results)
    if not profile_results.is_consistent:
        return 1
    if not quick and not arguments.no_document:
        doc_tables.write(DOCUMENT, report.table(figures))
        doc_tables.write(DOCUMENT, profile_report.table(profile_results), profile_report.MARK)
    return 0


def _measure_profile(folder: Path, *, quick: bool) -> profile.Results:
    if not quick:
        return profile.measure(folder, profile.FULL)
    return profile.measure(folder, profile.TINY, names=profile.FEW)


if __name__ == "__main__":
    sys.exit(main())
