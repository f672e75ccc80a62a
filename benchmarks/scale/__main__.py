"""``python -m benchmarks.scale``: measure this alone and print the table; ``--only cuts`` takes one benchmark."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from benchmarks import report
from benchmarks.measure import BooksOpen, Figures
from benchmarks.scale.sizes import Sizes
from benchmarks.scale.suite import BENCHMARKS, measure


def main() -> int:
    """Measure and report; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--only", choices=BENCHMARKS, action="append", help="this benchmark alone; may be repeated")
    parser.add_argument("--rounds", type=int, help="how many rounds")
    parser.add_argument("--clients", type=int, help="how many connections are cut")
    parser.add_argument("--volumes", type=int, nargs="+", metavar="MB", help="sizes of the folders to verify")
    parser.add_argument("--json", type=Path, help="write the figures of every round to this file")
    chosen = parser.parse_args()
    sizes = Sizes.quick() if os.environ.get("QUICK", "") not in ("", "0") else Sizes.full()
    if chosen.rounds:
        sizes = sizes._replace(rounds=chosen.rounds)
    if chosen.clients:
        sizes = sizes._replace(cuts=(sizes.cuts[0]._replace(clients=chosen.clients),))
    if chosen.volumes:
        sizes = sizes._replace(volumes=tuple(chosen.volumes))
    figures = Figures()
    with tempfile.TemporaryDirectory(prefix="scale-") as folder:
        try:
            measure(figures, Path(folder), sizes, chosen.only or list(BENCHMARKS))
        except BooksOpen as problem:
            print(f"error: {problem}", file=sys.stderr)
            return 1
    report.say(figures, chosen.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
