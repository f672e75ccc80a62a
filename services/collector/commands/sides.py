"""The runs of one side of a comparison, and the workload that all of them had. Reads; never writes."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import msgspec

from services.collector import formatting, retention
from services.collector.commands.run_loader import books_of
from services.collector.publish.files import run_files
from services.collector.scan import find_runs, ledger_sources, read_file
from services.collector.verdict.summary import reconcile
from services.contract import ledger, summary
from services.contract.errors import LineError
from services.contract.scalars import run_order
from services.contract.summary import Summary
from services.runtime.errors import OperatorError


class NoRuns(OperatorError):
    """One side has no run that could be compared."""


@dataclass(frozen=True)
class Workload:
    """What a run had to do, in words: only runs that had to do the same can be compared."""

    feed: str
    records: str
    rate: str
    clients: str
    blocks: str

    def __str__(self) -> str:
        return f"{self.records} at {self.rate} · {self.clients}, {self.blocks} · feed {self.feed}"


@dataclass(frozen=True)
class Side:
    """What is compared: the runs that count, and the names of those that were left out, with the reason."""

    name: str
    runs: list[Summary]
    workloads: list[Workload]
    left_out: list[str]


def side(place: Path) -> Side:
    """Read the runs of a volumes folder, or the one of a ``summary.json``.

    A run whose measurement cannot be trusted is left out. The collector's own summary is taken where there is one.

    Raises:
        NoRuns: no run is left.
    """
    found = [(one, None) for one in _single(place)] if place.is_file() else _runs(place)
    good = [(made, opened) for made, opened in found if made.verdict in ("PASS", "FAIL")]
    left_out = [
        f"{place}: run {made.run} is {made.verdict or made.state} and left out: {made.headline}"
        for made, _ in found
        if made.verdict not in ("PASS", "FAIL")
    ]
    if not good:
        why = "; ".join(left_out) or "no run, and no summary.json"
        raise NoRuns(f"{place}: nothing to compare: {why}")
    return Side(str(place), [made for made, _ in good], [workload(*one) for one in good], left_out)


def workload(made: Summary, opened: ledger.Open | None) -> Workload:
    """Return what a run had to do; the ledger's open line, where it is known, tells of a plan too."""
    rate = made.rate if opened is None else opened.rate
    sizes = sorted(client.block_size or 0 for client in made.clients)
    return Workload(
        feed=made.feed or "-",
        records=formatting.several(made.total or 0, "record"),
        rate=opened.plan if opened and opened.plan else f"{formatting.number(rate)}/s" if rate else "full speed",
        clients=formatting.several(len(made.clients), "client"),
        blocks=f"blocks of {', '.join(str(size) if size else '-' for size in sizes)}",
    )


def differences(workloads: list[Workload]) -> list[str]:
    """Return in which respects workloads differ, one line each."""
    found = []
    for field in fields(Workload):
        values = list(dict.fromkeys(getattr(one, field.name) for one in workloads))
        if len(values) > 1:
            found.append(f"{field.name}: {' and '.join(values)}")
    return found


def _single(place: Path) -> list[Summary]:
    try:
        return [summary.decode(place.read_bytes())]
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as problem:
        raise NoRuns(f"{place}: no summary.json: {problem}") from problem


def _runs(volumes: Path) -> list[tuple[Summary, ledger.Open | None]]:
    names = sorted({*find_runs(volumes), *retention.summed_up(volumes)}, key=run_order)
    return [(_made(volumes, name), _opened(volumes, name)) for name in names]


def _made(volumes: Path, run: str) -> Summary:
    published = run_files.load(volumes, run)
    if published is not None and published.state == "closed":
        return published
    return reconcile(books_of(volumes, run), final=True)


def _opened(volumes: Path, run: str) -> ledger.Open | None:
    for source in ledger_sources(volumes, run):
        try:
            for line in read_file(volumes, source):
                entry = ledger.codec.decode(line)[1]
                if isinstance(entry, ledger.Open):
                    return entry
                break
        except (OSError, LineError):
            continue
    return None
