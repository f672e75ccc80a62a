"""``python -m benchmarks.profile``: this alone; ends with 1 when a delivery is in no class or in two.

10,000 clients, as published: ``--clients 10000``. ``QUICK=1`` takes a minute and a half.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import BooksOpen
from benchmarks.profile import report
from benchmarks.profile.servers import ENTRANTS
from benchmarks.profile.suite import FULL, QUICK, SEED, measure
from tests import doc_tables

DOCUMENT = Path("docs/performance.md")


def main() -> int:
    """Measure and report; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("--clients", type=int, help="how many clients")
    parser.add_argument("--seed", type=int, default=SEED, help="what decides when each client is cut")
    parser.add_argument("--only", choices=ENTRANTS, action="append", help="this server alone; may be repeated")
    parser.add_argument("--json", type=Path, help="write the outcomes to this file")
    parser.add_argument("--document", action="store_true", help=f"put the table into {DOCUMENT}")
    chosen = parser.parse_args()
    profile = QUICK if os.environ.get("QUICK", "") not in ("", "0") else FULL
    if chosen.clients:
        profile = profile._replace(clients=chosen.clients)
    with tempfile.TemporaryDirectory(prefix="profile-") as folder:
        try:
            results = measure(Path(folder), profile, chosen.seed, chosen.only or list(ENTRANTS))
        except BooksOpen as problem:
            print(f"error: {problem}", file=sys.stderr)
            return 1
    report.say(results)
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(report.described(results), indent=2, ensure_ascii=False), encoding="utf-8")
    if chosen.document and results.closed:
        doc_tables.write(DOCUMENT, report.table(results), report.MARK)
    return 0 if results.closed else 1


if __name__ == "__main__":
    sys.exit(main())
