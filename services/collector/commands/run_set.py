"""The runs of one side of a comparison: the summaries that can be compared, and the workload of each."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import msgspec

from services.collector import formatting
from services.collector.commands.parallel_reading import cores
from services.collector.commands.reading_progress import reading
from services.collector.commands.run_loader import load_evidence
from services.collector.publish.files import run_files
from services.collector.scan import find_runs, ledger_sources, read_file
from services.collector.verdict.summary import reconcile
from services.contract import ledger, summary
from services.contract.errors import LineError
from services.contract.scalars import run_order
from services.contract.summary import Summary
from services.runtime.errors import OperatorError


class NoComparableRuns(OperatorError):
    """One side has no run that can be compared."""


@dataclass(frozen=True)
class Workload:
    """The workload of a run, each part as text. Only runs of the same workload can be compared."""

    feed: str
    records: str
    rate: str
    clients: str
    blocks: str

    def __str__(self) -> str:
        return f"{self.records} at {self.rate} · {self.clients}, {self.blocks} · feed {self.feed}"


@dataclass(frozen=True)
class RunSet:
    """One side of a comparison.

    Attributes:
        name: the path that was given.
        runs: the summaries that are compared.
        workloads: their workloads, in the same order.
        left_out: a sentence for each run that is not compared.
    """

    name: str
    runs: list[Summary]
    workloads: list[Workload]
    left_out: list[str]


def read_run_set(path: Path) -> RunSet:
    """Read the runs of a volumes folder, or the one run of a ``summary.json``.

    Runs that are INVALID or not closed are left out. A summary that the collector has published is used as it is,
    other runs are reconciled from their ledger and logs.

    Raises:
        NoComparableRuns: no run remains.
    """
    runs = [(run, None) for run in _read_summary(path)] if path.is_file() else _read_folder(path)
    # An INVALID run has no measurement that can be trusted, so none of its figures is compared.
    comparable = [(run, opened) for run, opened in runs if run.verdict in ("PASS", "FAIL")]
    left_out = [
        f"{path}: run {run.run} is {run.verdict or run.state} and left out: {run.headline}"
        for run, _ in runs
        if run.verdict not in ("PASS", "FAIL")
    ]
    if not comparable:
        reason = "; ".join(left_out) or "no run, and no summary.json"
        raise NoComparableRuns(f"{path}: nothing to compare: {reason}")
    workloads = [workload(run, opened) for run, opened in comparable]
    return RunSet(str(path), [run for run, _ in comparable], workloads, left_out)


def workload(run: Summary, opened: ledger.OpenEntry | None) -> Workload:
    """Return the workload of a run; the open line of the ledger, if known, adds the rate plan."""
    rate = run.rate if opened is None else opened.rate
    sizes = sorted(client.block_size or 0 for client in run.clients)
    if run.unlisted:
        # Which clients are listed depends on their flaws, and not on the workload.
        sizes = sorted({*sizes, *run.unlisted.block_sizes})
    return Workload(
        feed=run.feed or "-",
        records=formatting.several(run.total or 0, "record"),
        # Runs with different plans may end at the same rate, and only the open line shows the difference.
        rate=opened.plan if opened and opened.plan else f"{formatting.number(rate)}/s" if rate else "full speed",
        clients=formatting.several(run.client_count, "client"),
        blocks=f"blocks of {', '.join(str(size) if size else '-' for size in sizes)}",
    )


def differences(workloads: list[Workload]) -> list[str]:
    """Return the parts in which workloads differ, one line each."""
    lines = []
    for field in fields(Workload):
        values = list(dict.fromkeys(getattr(workload, field.name) for workload in workloads))
        if len(values) > 1:
            lines.append(f"{field.name}: {' and '.join(values)}")
    return lines


def _read_summary(path: Path) -> list[Summary]:
    try:
        return [summary.decode(path.read_bytes())]
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise NoComparableRuns(f"{path}: no summary.json: {error}") from error


def _read_folder(volumes: Path) -> list[tuple[Summary, ledger.OpenEntry | None]]:
    # Old runs whose logs were removed still have their summaries.
    names = sorted({*find_runs(volumes), *run_files.runs_with_summary(volumes)}, key=run_order)
    published = {name: run_files.load(volumes, name) for name in names}
    # The summary of a run that was open is not final: the run may have continued since.
    closed = {name: found for name, found in published.items() if found is not None and found.state == "closed"}
    with reading(volumes, [name for name in names if name not in closed]) as progress:
        return [
            (
                closed.get(name) or reconcile(load_evidence(volumes, name, cores(), progress), final=True),
                _opening(volumes, name),
            )
            for name in names
        ]


def _opening(volumes: Path, run: str) -> ledger.OpenEntry | None:
    for source in ledger_sources(volumes, run):
        try:
            for line in read_file(volumes, source):
                entry = ledger.codec.decode(line)[1]
                if isinstance(entry, ledger.OpenEntry):
                    return entry
                # Only the first line of a file can be its open line.
                break
        except (OSError, LineError):
            continue
    return None
