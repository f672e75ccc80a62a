"""Removes the oldest closed runs beyond the number to keep.

The books go first and the summary last: a run without a summary would be read, and told, again. Where the books
are mounted read-only, as in the compose file, they are for the server and the clients to remove, and their
summary goes when they have gone.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from services.collector.scan import run_order
from services.contract.fields import RUN_PATTERN


def surplus(closed: Iterable[str], keep: int) -> list[str]:
    """Return which closed runs are too many, oldest first; ``keep`` 0 keeps all."""
    return sorted(closed, key=run_order)[:-keep] if keep else []


def summed_up(volumes: Path) -> set[str]:
    """Return the runs that have a summary, with or without books."""
    found = (path.parent.name for path in (volumes / "summary").glob("*/summary.json"))
    return {name for name in found if re.match(RUN_PATTERN, name)}


def remove(volumes: Path, run: str) -> OSError | None:
    """Remove a run, books first; return what refused it, None when it is gone."""
    for side in ("logs", "ledger", "summary"):
        try:
            shutil.rmtree(volumes / side / run)
        except FileNotFoundError:
            continue
        except OSError as problem:
            return problem
    return None
