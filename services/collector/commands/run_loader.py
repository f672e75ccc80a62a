"""Opens a volumes folder for a command: which runs it holds, and the books of one, running or not. Never writes."""

from __future__ import annotations

from pathlib import Path

from services.collector import formatting
from services.collector.evidence.run_evidence import RunEvidence
from services.collector.scan import FileRewritten, RunFiles, find_runs
from services.runtime.errors import OperatorError, UnwritableFolder

TRIES = 3
"""A folder that is still written may change under the reader; more often than this is another matter."""


class VolumesNotFound(OperatorError):
    """The folder holds neither side of any books, or not those of the run that was asked for."""


class FolderNotEmpty(OperatorError):
    """The folder that a command was to fill has something in it."""


def runs_of(volumes: Path, run: str | None = None) -> list[str]:
    """Return the runs of a folder, oldest first, or the one that is asked for.

    Raises:
        NoVolumes: the folder is no volumes folder, or does not hold the run.
    """
    if not any((volumes / side).is_dir() for side in ("ledger", "logs")):
        raise VolumesNotFound(f"{volumes}: no volumes folder: it has neither ledger/ nor logs/")
    runs = find_runs(volumes)
    if run is not None and run not in runs:
        raise VolumesNotFound(f"{volumes}: no run {run}; there are: {formatting.names(runs) or 'none'}")
    return runs if run is None else [run]


def new_folder(option: str, folder: Path) -> Path:
    """Return a folder that a command may fill, made if need be.

    Raises:
        NotEmpty: something is there already.
        UnwritableFolder: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_empty = not any(folder.iterdir())
    except OSError as problem:
        raise UnwritableFolder(
            str(folder), str(problem.strerror).lower(), f"fix: name another one for {option}"
        ) from None
    if not is_empty:
        raise FolderNotEmpty(f"{option} {folder}: the folder is not empty; nothing is ever written over")
    return folder


def books_of(volumes: Path, run: str) -> RunEvidence:
    """Read both sides of the books of a run.

    Raises:
        NoVolumes: they are being rewritten.
    """
    for _ in range(TRIES):
        files, books = RunFiles(volumes, run, rechecked=False), RunEvidence(run)
        try:
            for source, line in files.lines():
                books.take(source, line)
        except FileRewritten:
            continue
        books.take_sources(files.sources())
        books.take_tails(files.tails())
        return books
    raise VolumesNotFound(f"{volumes}: run {run} is being rewritten")
