"""The record of a pulled run: how far its files were pulled from each node."""

from __future__ import annotations

import logging
from pathlib import Path

from services.contract.errors import MalformedListing
from services.contract.nodes import PulledNode, PulledRun, decode

log = logging.getLogger(__name__)

FOLDER = "nodes"
"""The folder, beside ``logs/`` and ``ledger/``, with the record of each pulled run."""


def path_of(volumes: Path, run: str) -> Path:
    """Return the file with the record of a run."""
    return volumes / FOLDER / f"{run}.json"


def read_record(volumes: Path, run: str) -> PulledRun | None:
    """Return the record of a pulled run; None if its files are those of this host's services."""
    path = path_of(volumes, run)
    try:
        return decode(path.read_bytes(), PulledRun)
    except FileNotFoundError:
        return None
    except (OSError, MalformedListing) as problem:
        # Without it, it is not known whether everything is here.
        log.warning("record of a pulled run not read", extra={"path": str(path), "why": str(problem)[:300]})
        return PulledRun(run=run, nodes=[PulledNode(node="?", trouble="the record of the pulled files is damaged")])
