"""``python -m benchmarks.scale``: runs only the scale benchmarks and prints the table; ``--only cuts`` runs one."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from benchmarks import report
from benchmarks.measure import Figures, InvalidRun
from benchmarks.scale.sizes import Sizes
from benchmarks.scale.suite import BENCHMARKS, measure


def main() -> int:
    """Measure, print the report, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--only", choices=BENCHMARKS, action="append", help="only this benchmark; may be repeated")
    parser.add_argument("--rounds", type=int, help="number of rounds")
    parser.add_argument("--clients", type=int, help="number of connections in the cuts benchmark")
    parser.add_argument("--volumes", type=int, nargs="+", metavar="MB", help="sizes of the folders to verify")
    parser.add_argument("--json", type=Path, help="write the figures of every round to this file")
    arguments = parser.parse_args()
    sizes = Sizes.quick() if os.environ.get("QUICK", "") not in ("", "0") else Sizes.full()
    if arguments.rounds:
        sizes = sizes._replace(rounds=arguments.rounds)
    if arguments.clients:
        sizes = sizes._replace(cuts=(sizes.cuts[0]._replace(clients=arguments.clients),))
    if arguments.volumes:
        sizes = sizes._replace(volumes=tuple(arguments.volumes))
    figures = Figures()
    with tempfile.TemporaryDirectory(prefix="scale-") as folder:
        try:
            measure(figures, Path(folder), sizes, arguments.only or list(BENCHMARKS))
        except InvalidRun as problem:
            print(f"error: {problem}", file=sys.stderr)
            return 1
    report.print_report(figures, arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
