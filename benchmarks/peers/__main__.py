"""``python -m benchmarks.peers``: only the comparisons with other servers and with a naive implementation.

Prints the table, and does not update ``docs/performance.md``; ``QUICK=1`` as for all benchmarks.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from benchmarks import report, system
from benchmarks.measure import Figures, InvalidRun, Sizes
from benchmarks.peers import fanout, naive


def main() -> int:
    """Measure, print the report, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures of every round to this file")
    parser.add_argument("--rounds", type=int, help="number of rounds")
    arguments = parser.parse_args()
    sizes = Sizes.quick() if os.environ.get("QUICK", "") not in ("", "0") else Sizes.full()
    sizes = sizes._replace(rounds=arguments.rounds or sizes.rounds)
    figures = Figures()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        try:
            servers = fanout.prepare(figures, sizes, folder)
            system.full_speed(Figures(), folder / "warm-up", sizes.warm_up)
            for number in range(1, sizes.rounds + 1):
                system.full_speed(figures, folder / f"flat-out-{number}", sizes.full_speed)
                naive.measure(figures, folder, sizes.naive)
                fanout.measure(figures, folder, servers, sizes)
                print(f"round {number} of {sizes.rounds}", file=sys.stderr, flush=True)
        except InvalidRun as problem:
            print(f"error: {problem}", file=sys.stderr)
            return 1
    report.print_report(figures, arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
