"""Puts a summary where others find it: ``summary/<run>/summary.json``, and a copy of the newest beside the runs."""

from __future__ import annotations

from pathlib import Path

import msgspec

from services.contract import summary
from services.contract.summary import Summary
from services.runtime import files

NAME = "summary.json"


def summary_path(volumes: Path, run: str) -> Path:
    """Return where the summary of a run is."""
    return volumes / "summary" / run / NAME


def load(volumes: Path, run: str) -> Summary | None:
    """Return the published summary of a run, None when there is none that can be read."""
    try:
        return summary.decode(summary_path(volumes, run).read_bytes())
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def dated(made: Summary, at: str | None) -> Summary:
    """Return a summary with the time it was made, the one field that is no function of the books."""
    return msgspec.structs.replace(made, made_at=at)


def store(volumes: Path, made: Summary, *, newest: bool) -> None:
    """Write a summary so that a reader sees the old one or the new one.

    That of a closed run is on disk then. Another is made again from the books, several times a second: it does not
    keep the disk from the clients.

    Args:
        volumes: the volumes folder.
        made: the summary.
        newest: the run is the last one opened, so the copy beside the runs is of this one.

    Raises:
        OSError: the file system refuses.
    """
    text, durable = summary.encode(made), made.state == "closed"
    path = summary_path(volumes, made.run)
    files.make_folder(path.parent)
    files.replace(path, text, durable=durable)
    if newest:
        files.replace(volumes / "summary" / NAME, text, durable=durable)


def places(volumes: Path, run: str) -> str:
    """Return the line that says where the files of a run are."""
    return f"files in {volumes}: logs/{run}/  summary/{run}/{NAME}"
