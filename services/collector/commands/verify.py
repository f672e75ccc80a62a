"""Checks any volumes folder offline: every fault with file, line and seq, every missing range with its cause."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from services.collector import words
from services.collector.publish import terminal
from services.collector.reconcile.account import CAUSES, accounts
from services.collector.reconcile.books import RunBooks
from services.collector.reconcile.summarise import reconcile
from services.collector.reconcile.thresholds import Limit
from services.collector.scan import Rewritten, RunFiles, find_runs
from services.contract.summary import EXIT_CODES, Summary

TRIES = 3
"""A folder that is still written may change under the reader; more often than this is another matter."""


class NoVolumes(Exception):
    """The folder holds neither side of any books."""


def check(volumes: Path, limits: Sequence[Limit] = (), run: str | None = None) -> Iterator[tuple[Summary, RunBooks]]:
    """Read every run of a folder, or one, and judge it as it stands.

    Raises:
        NoVolumes: the folder is no volumes folder, or does not hold the run.
    """
    if not any((volumes / side).is_dir() for side in ("ledger", "logs")):
        raise NoVolumes(f"{volumes}: no volumes folder: it has neither ledger/ nor logs/")
    runs = find_runs(volumes)
    if run is not None and run not in runs:
        raise NoVolumes(f"{volumes}: no run {run}; there are: {words.names(runs) or 'none'}")
    for name in runs if run is None else [run]:
        books = _read(volumes, name)
        yield reconcile(books, limits, final=True), books


def _read(volumes: Path, run: str) -> RunBooks:
    for _ in range(TRIES):
        files, books = RunFiles(volumes, run, rechecked=False), RunBooks(run)
        try:
            for source, line in files.lines():
                books.take(source, line)
        except Rewritten:
            continue
        books.take_sources(files.sources())
        books.take_tails(files.tails())
        return books
    raise NoVolumes(f"{volumes}: run {run} is being rewritten")


def exit_code(verdicts: Sequence[str | None]) -> int:
    """Return the code of the worst verdict: a proven failure before a doubt. No run at all proves nothing."""
    codes = [EXIT_CODES[verdict] for verdict in verdicts] or [EXIT_CODES["INVALID"]]
    return max(codes)


def text(made: Summary, books: RunBooks) -> str:
    """Return what there is to say of one run."""
    lines = [f"{made.run}  {made.verdict}  {made.headline}"]
    lines += [f"  {terminal.fault_line(fault)}" for fault in made.faults]
    for account in accounts(books):
        for cause in CAUSES:
            for first, last in account.causes[cause]:
                lines.append(f"  {account.client}  missing seq {first}-{last}  {words.CAUSE_WORDS[cause]}")
    lines += [f"  {reason}" for reason in made.reasons[1:]]
    lines.append(f"  residual {made.totals.residual:,}")
    return "\n".join(lines) + "\n"


def json_line(made: Summary) -> str:
    """Return a summary as one line of JSON."""
    return msgspec.json.encode(made).decode() + "\n"
