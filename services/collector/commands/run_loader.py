"""Opens a volumes folder for a command: lists its runs, and reads the evidence of one. Never writes there."""

from __future__ import annotations

import argparse
from pathlib import Path

from services.collector import formatting
from services.collector.commands.parallel_reading import cores, read_run
from services.collector.commands.reading_progress import ReadingProgress, reading
from services.collector.evidence.run_evidence import RunEvidence
from services.collector.nodes.pull_record import read_record
from services.collector.scan import FileRewritten, find_runs
from services.runtime.errors import OperatorError, UnwritableFolder

ATTEMPTS = 3
"""How often a run is read from the beginning if a file shrinks meanwhile, as it may while it is being written."""

MOST_JOBS = 256


class VolumesNotFound(OperatorError):
    """The folder has neither a ledger nor logs, or not the run that was asked for."""


class FolderNotEmpty(OperatorError):
    """The folder that a command is to fill is not empty."""


def runs_of(volumes: Path, run: str | None = None) -> list[str]:
    """Return the runs of a folder, oldest first, or only the one that is asked for.

    Raises:
        VolumesNotFound: the folder is not a volumes folder, or does not contain the run.
    """
    if not any((volumes / side).is_dir() for side in ("ledger", "logs")):
        raise VolumesNotFound(f"{volumes}: no volumes folder: it has neither ledger/ nor logs/")
    runs = find_runs(volumes)
    if run is not None and run not in runs:
        raise VolumesNotFound(f"{volumes}: no run {run}; there are: {formatting.names(runs) or 'none'}")
    return runs if run is None else [run]


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """Add the option with the number of processes."""
    parser.add_argument(
        "--jobs",
        metavar="N",
        type=_jobs,
        default=cores(),
        help="processes that read a large run; all cores if not given",
    )


def _jobs(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_JOBS:
        raise argparse.ArgumentTypeError(f"{text} is not a number of processes: 1 to {MOST_JOBS}")
    return int(text)


def new_folder(option: str, folder: Path) -> Path:
    """Return an empty folder for the output of a command, created if it is missing.

    Raises:
        FolderNotEmpty: it contains something.
        UnwritableFolder: it cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_empty = not any(folder.iterdir())
    except OSError as error:
        raise UnwritableFolder(
            str(folder), str(error.strerror).lower(), f"fix: name another one for {option}"
        ) from None
    if not is_empty:
        raise FolderNotEmpty(f"{option} {folder}: the folder is not empty; nothing is ever written over")
    return folder


def load_evidence(volumes: Path, run: str, jobs: int = 1, progress: ReadingProgress | None = None) -> RunEvidence:
    """Read the ledger and the block logs of a run, those of a large run with as many processes as ``jobs``.

    Args:
        volumes: the volumes folder.
        run: the run.
        jobs: the highest number of processes.
        progress: shows how far the reading is; None shows that of this run.

    Raises:
        VolumesNotFound: the files are being rewritten.
        ReadingFailed: one of the processes ended early.
    """
    if progress is None:
        with reading(volumes, [run]) as shown:
            return load_evidence(volumes, run, jobs, shown)
    for _ in range(ATTEMPTS):
        try:
            evidence = read_run(volumes, run, jobs, progress.add)
        except FileRewritten:
            continue
        evidence.pulled = read_record(volumes, run)
        return evidence
    raise VolumesNotFound(f"{volumes}: run {run} is being rewritten")
