"""``python -m benchmarks``: measure, print the table, and end with 1 when the books of any run did not close.

``QUICK=1`` takes one round of smaller runs, and leaves ``docs/performance.md`` alone.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import busy, containers, fanout, generator, report, system
from benchmarks.measure import BooksOpen, Figures, Sizes
from benchmarks.peers import fanout as peers
from benchmarks.peers import naive
from benchmarks.profile import report as profile_report
from benchmarks.profile import suite as profile
from benchmarks.scale import sizes as scale_sizes
from benchmarks.scale import suite as scale
from tests import doc_tables

DOCUMENT = Path("docs/performance.md")


def measure(sizes: Sizes, folder: Path) -> Figures:
    """Run every benchmark once a round, all of them in turn, after a warm-up that does not count."""
    figures = Figures()
    servers = peers.prepare(figures, sizes, folder)
    system.flat_out(Figures(), folder / "warm-up", sizes.warm_up)
    for number in range(1, sizes.rounds + 1):
        began = time.monotonic()
        generator.measure(figures, sizes.generator)
        system.flat_out(figures, folder / f"flat-out-{number}", sizes.flat_out)
        naive.measure(figures, folder, sizes.naive)
        system.paced(figures, folder / f"paced-{number}", sizes.paced)
        if sizes.containers:
            containers.paced(figures, folder / f"containers-{number}", sizes.paced)
        fanout.measure(figures, folder / f"fan-out-{number}", sizes.fan_out)
        peers.measure(figures, folder, servers, sizes)
        print(f"round {number} of {sizes.rounds}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return figures


def main() -> int:
    """Measure and report; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures of every round to this file")
    parser.add_argument("--no-document", action="store_true", help=f"leave {DOCUMENT} alone")
    chosen = parser.parse_args()
    quick = os.environ.get("QUICK", "") not in ("", "0")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        try:
            figures = measure(Sizes.quick() if quick else Sizes.full(), Path(folder))
            much = scale_sizes.Sizes.quick() if quick else scale_sizes.Sizes.full()
            scale.measure(figures, Path(folder), much)
            sizes = Sizes.quick() if quick else Sizes.full()
            busy.measure(figures, Path(folder) / "busy", sizes.busy, containers=sizes.containers)
            cut = _profile(Path(folder), quick=quick)
        except BooksOpen as problem:
            print(f"error: {problem}", file=sys.stderr)
            return 1
    report.say(figures, chosen.json, profile=profile_report.described(cut))
    profile_report.say(cut)
    if not cut.closed:
        return 1
    if not quick and not chosen.no_document:
        doc_tables.write(DOCUMENT, report.table(figures))
        doc_tables.write(DOCUMENT, profile_report.table(cut), profile_report.MARK)
    return 0


def _profile(folder: Path, *, quick: bool) -> profile.Results:
    if not quick:
        return profile.measure(folder, profile.FULL)
    return profile.measure(folder, profile.TINY, names=profile.FEW)


if __name__ == "__main__":
    sys.exit(main())
