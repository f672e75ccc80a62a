"""``python -m benchmarks.profile``: measures only this profile; exits with 1 if a delivery is in no class or in two.

``--clients 10000`` uses as many clients as the published benchmark; ``QUICK=1`` takes a minute and a half.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import InvalidRun
from benchmarks.profile import report
from benchmarks.profile.servers import CANDIDATES
from benchmarks.profile.suite import FULL, QUICK, SEED, measure
from tests import doc_tables

DOCUMENT = Path("docs/performance.md")


def main() -> int:
    """Measure, print the report, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("--clients", type=int, help="number of clients")
    parser.add_argument("--seed", type=int, default=SEED, help="seed of the times at which clients are cut")
    parser.add_argument("--only", choices=CANDIDATES, action="append", help="only this server; may be repeated")
    parser.add_argument("--json", type=Path, help="write the outcomes to this JSON file")
    parser.add_argument("--document", action="store_true", help=f"update the table in {DOCUMENT}")
    arguments = parser.parse_args()
    profile = QUICK if os.environ.get("QUICK", "") not in ("", "0") else FULL
    if arguments.clients:
        profile = profile._replace(clients=arguments.clients)
    with tempfile.TemporaryDirectory(prefix="profile-") as folder:
        try:
            results = measure(Path(folder), profile, arguments.seed, arguments.only or list(CANDIDATES))
        except InvalidRun as problem:
            print(f"error: {problem}", file=sys.stderr)
            return 1
    report.print_report(results)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(report.as_dict(results), indent=2, ensure_ascii=False), encoding="utf-8")
    if arguments.document and results.is_consistent:
        doc_tables.write(DOCUMENT, report.table(results), report.MARK)
    return 0 if results.is_consistent else 1


if __name__ == "__main__":
    sys.exit(main())
