"""Removes the oldest summaries beyond the number of runs to keep, once their books are gone.

The books are removed by those who wrote them; the collector cannot write to them, and must not be able to. A
summary stays as long as its books: without it the run would be read, and told, again.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from services.contract.scalars import RUN_PATTERN, run_order
from services.runtime.jsonlogs import ErrorLog


def surplus(closed: Iterable[str], keep: int) -> list[str]:
    """Return which closed runs are too many, oldest first; ``keep`` 0 keeps all."""
    return sorted(closed, key=run_order)[:-keep] if keep else []


def summed_up(volumes: Path) -> set[str]:
    """Return the runs that have a summary, with or without books."""
    found = (path.parent.name for path in (volumes / "summary").glob("*/summary.json"))
    return {name for name in found if re.match(RUN_PATTERN, name)}


def prune(volumes: Path, closed: Iterable[str], keep: int, complaints: ErrorLog) -> set[str]:
    """Remove the summaries of runs that are too many and whose books are gone; return which were removed."""
    removed = set()
    for run in surplus(closed, keep):
        try:
            if remove(volumes, run):
                removed.add(run)
        except OSError as problem:
            complaints.report("cannot remove an old summary", "", problem)
    return removed


def remove(volumes: Path, run: str) -> bool:
    """Remove a run's summary if its books are gone; return whether they are.

    Raises:
        OSError: the summary's folder refuses.
    """
    if any((volumes / side / run).is_dir() for side in ("logs", "ledger")):
        return False
    shutil.rmtree(volumes / "summary" / run)
    return True
