"""Faults of the files of a run, and the missing records that each damage hides."""

from __future__ import annotations

from services.collector.evidence.line_chain import FileDamage
from services.collector.evidence.log_evidence import LogEvidence
from services.collector.evidence.log_file_reader import LogFileReader
from services.collector.evidence.run_evidence import RunEvidence
from services.collector.results.run_result import NO_LEDGER, fault_order
from services.contract.rangeset import RangeSet
from services.contract.scalars import Span
from services.contract.summary import Fault

Resumed = dict[tuple[object, ...], int]
"""By damage, the seq with which the good lines continue after it."""


def damaged_gaps(log: LogEvidence, expected: int) -> list[tuple[str, Span]]:
    """Return the kind of every damage to a client's files, and the seqs that it may hide, up to ``expected``."""
    resumed = _resumed(log)
    return [(damage.kind, _gap(damage, resumed, expected)) for file in log.files for damage in damages_of(log, file)]


def damages_of(log: LogEvidence, file: LogFileReader) -> list[FileDamage]:
    """Return the damages to a file; that a segment continues the one before is none."""
    return [damage for damage in file.chain.damages if _kind(damage, log) is not None]


def log_faults(log: LogEvidence, missing: RangeSet) -> tuple[Fault, ...]:
    """Return the faults of the files of a client, each with the missing seqs that it hides."""
    # Copies of a file share their faults; each is reported once, for the correctly named file.
    unique: dict[tuple[object, ...], Fault] = {}
    resumed = _resumed(log)
    for file in sorted(log.files, key=lambda file: (not file.is_well_named, file.source.name)):
        for damage, fault in _of_file(file, log, missing, resumed):
            place = (file.segment or file.source, fault.line, fault.kind, fault.missing, fault.detail)
            unique.setdefault(_identity(damage) if damage.mark else place, fault)
    return tuple(sorted(unique.values(), key=fault_order))


def ledger_faults(evidence: RunEvidence) -> tuple[Fault, ...]:
    """Return the faults of the ledger's files. Copies share their faults; the original's are reported."""
    if evidence.lacks_ledger:
        where = f"ledger/{evidence.run}"
        return (Fault(file=where, line=0, kind="ledger_missing", client=None, missing=None, detail=NO_LEDGER),)
    unique: dict[tuple[object, ...], Fault] = {}
    for file in sorted(
        evidence.ledger.files, key=lambda file: (not file.is_well_named, len(file.source.name), file.source.name)
    ):
        for damage in file.chain.damages:
            moved = damage.prev is not None and file.chain.holds(damage.prev)
            kind = "moved" if moved else damage.kind
            detail = damage.detail + (f" (and {damage.more} more)" if damage.more else "")
            fault = Fault(
                file=damage.source.path, line=damage.line, kind=kind, client=None, missing=None, detail=detail
            )
            unique.setdefault((damage.mark or file.source, damage.line, kind, damage.prev, detail), fault)
    return tuple(unique.values())


def _gap(damage: FileDamage, resumed: Resumed, expected: int) -> Span:
    before = damage.before if damage.before is not None else resumed.get(_identity(damage))
    return damage.after + 1, expected if before is None else before - 1


def _resumed(log: LogEvidence) -> Resumed:
    """Return the seq after each damage. A copy that ends at the damage does not know it; another copy may."""
    resumed: Resumed = {}
    for file in log.files:
        for damage in file.chain.damages:
            if damage.mark and damage.before is not None:
                key = _identity(damage)
                resumed[key] = min(damage.before, resumed.get(key, damage.before))
    return resumed


def _identity(damage: FileDamage) -> tuple[object, ...]:
    return damage.mark, damage.line, damage.kind, damage.prev, damage.detail


def _of_file(
    file: LogFileReader, log: LogEvidence, missing: RangeSet, resumed: Resumed
) -> list[tuple[FileDamage, Fault]]:
    faults = []
    for damage in file.chain.damages:
        kind = _kind(damage, log)
        if kind is None:
            continue
        hidden = missing.within(*_gap(damage, resumed, missing.last))
        spans = hidden.spans()
        fault = Fault(
            file=damage.source.path,
            line=damage.line,
            kind=kind,
            client=log.client,
            # A repeated line replaces no other line, so nothing is missing because of it.
            missing=(spans[0][0], spans[-1][1]) if spans and kind != "repeated" else None,
            detail=_detail(damage, kind),
        )
        faults.append((damage, fault))
    return faults


def _kind(damage: FileDamage, log: LogEvidence) -> str | None:
    if damage.prev is None or not any(file.chain.holds(damage.prev) for file in log.files):
        return damage.kind
    # The line that this one continues is in another place: as it should be for a later segment, out of place inside
    # a file.
    return None if damage.first else "moved"


def _detail(damage: FileDamage, kind: str) -> str:
    if kind == "moved":
        return "the line is out of place in its file"
    if damage.first:
        return "the end of the segment that this one continues is missing"
    return damage.detail + (f" (and {damage.more} more)" if damage.more else "")
