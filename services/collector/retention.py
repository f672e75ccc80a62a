"""Removes the oldest summaries beyond the number of runs to keep, once their logs and ledgers are gone.

Logs and ledgers are removed by the processes that wrote them; the collector must not be able to write to them. A
summary stays as long as one of them does: without it the run would be read, and its verdict printed, again.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from services.contract.scalars import RUN_PATTERN, run_order
from services.runtime.jsonlogs import ErrorLog


def surplus_runs(closed: Iterable[str], keep: int) -> list[str]:
    """Return the closed runs beyond the newest ``keep``, oldest first; none if ``keep`` is 0."""
    return sorted(closed, key=run_order)[:-keep] if keep else []


def runs_with_summary(volumes: Path) -> set[str]:
    """Return the runs that have a summary, with or without logs and ledger."""
    names = (path.parent.name for path in (volumes / "summary").glob("*/summary.json"))
    return {name for name in names if re.match(RUN_PATTERN, name)}


def remove_surplus(volumes: Path, closed: Iterable[str], keep: int, errors: ErrorLog) -> set[str]:
    """Remove the summaries of surplus runs whose logs and ledgers are gone; return the removed runs."""
    removed = set()
    for run in surplus_runs(closed, keep):
        try:
            if remove_summary(volumes, run):
                removed.add(run)
        except OSError as error:
            errors.report("cannot remove an old summary", "", error)
    return removed


def remove_summary(volumes: Path, run: str) -> bool:
    """Remove a run's summary if its logs and ledger are gone; return whether it was removed.

    Raises:
        OSError: the file system refuses.
    """
    if any((volumes / folder / run).is_dir() for folder in ("logs", "ledger")):
        return False
    shutil.rmtree(volumes / "summary" / run)
    return True
