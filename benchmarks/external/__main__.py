"""``python -m benchmarks.external``: only the client of an external feed; prints the table.

``--product DIR`` measures the client of another checkout in turn with this one.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks import report
from benchmarks.external import suite
from benchmarks.measure import Figures, InvalidRun, Sizes


def main() -> int:
    """Measure, print the report, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.external", description=__doc__)
    parser.add_argument("--rounds", type=int, default=Sizes.full().rounds, help="number of rounds")
    parser.add_argument("--messages", type=int, default=Sizes.full().external, help="messages of a run at full speed")
    parser.add_argument("--product", type=Path, help="another checkout, measured in turn with this one")
    arguments = parser.parse_args()
    compared: dict[Path | None, Figures] = {product: Figures() for product in (None, arguments.product)}
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        try:
            for _ in range(arguments.rounds):
                for product, figures in compared.items():
                    suite.measure(figures, Path(name), arguments.messages, product)
        except InvalidRun as problem:
            print(f"error: {problem}", file=sys.stderr)
            return 1
    for product, figures in compared.items():
        print(f"{product or 'this checkout'}:\n")
        report.print_report(figures, None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
