"""``python -m benchmarks.peers``: the comparisons alone, with the run of ours that the naive form is set against.

Prints the table and leaves ``docs/performance.md`` alone; ``QUICK=1`` as for the whole.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from benchmarks import report, system
from benchmarks.measure import BooksOpen, Figures, Sizes
from benchmarks.peers import fanout, naive


def main() -> int:
    """Compare and report; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures of every round to this file")
    parser.add_argument("--rounds", type=int, help="so many rounds instead of the usual number")
    chosen = parser.parse_args()
    sizes = Sizes.quick() if os.environ.get("QUICK", "") not in ("", "0") else Sizes.full()
    sizes = sizes._replace(rounds=chosen.rounds or sizes.rounds)
    figures = Figures()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        try:
            servers = fanout.prepare(figures, sizes, folder)
            system.flat_out(Figures(), folder / "warm-up", sizes.warm_up)
            for number in range(1, sizes.rounds + 1):
                system.flat_out(figures, folder / f"flat-out-{number}", sizes.flat_out)
                naive.measure(figures, folder, sizes.naive)
                fanout.measure(figures, folder, servers, sizes)
                print(f"round {number} of {sizes.rounds}", file=sys.stderr, flush=True)
        except BooksOpen as problem:
            print(f"error: {problem}", file=sys.stderr)
            return 1
    report.say(figures, chosen.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
