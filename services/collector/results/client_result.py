"""The account of one client: what it should hold, what it holds, and the cause of every difference."""

from __future__ import annotations

from dataclasses import dataclass

from services.collector.evidence.ledger_evidence import ClientLedger
from services.collector.evidence.line_chain import FileDamage
from services.collector.evidence.log_evidence import LogEvidence, LogFileReader
from services.collector.evidence.run_evidence import RunEvidence
from services.collector.evidence.silence import LongestSilence, longest
from services.collector.evidence.timestamps import moment
from services.contract.rangeset import RangeSet
from services.contract.summary import ClientState, Fault

CAUSES = (
    "never_sent",
    "corrupt_block",
    "foreign",
    "corrupt_in_flight",
    "receipted_not_logged",
    "sent_not_logged",
)
"""In the order in which they are asked: each takes what is left by those before it."""

DAMAGED = frozenset({"corrupt_block", "unreadable"})

Resumed = dict[tuple[object, ...], int]
"""With which seq the good lines go on after a damage that stands in several copies of a file."""


@dataclass(frozen=True)
class ClientResult:
    """One client's side and the servers' side of it, compared.

    Attributes:
        client: its name.
        state: how it ended, or that the run goes on.
        log: its block log, empty when it has none.
        ledger: what the servers entered about it.
        expected: it answers for seqs 1 to this one.
        received: how many of these it logged.
        missing: the others.
        causes: the missing ones by cause; together they are ``missing`` unless the books do not close.
        never_sent: seqs that the ledger alone says were never sent, whatever the log says.
        faults: what is wrong with its files.
        silence: the longest time in which it received nothing.
    """

    client: str
    state: ClientState
    log: LogEvidence
    ledger: ClientLedger
    expected: int
    received: int
    missing: RangeSet
    causes: dict[str, RangeSet]
    never_sent: int
    faults: tuple[Fault, ...]
    silence: LongestSilence | None

    @property
    def missing_count(self) -> int:
        """How many records it should hold and does not."""
        return len(self.missing)

    @property
    def reordered(self) -> int:
        """Messages received after one with a higher seq."""
        return self.log.reordered

    @property
    def residual(self) -> int:
        """What no cause explains: negative when more was logged than the ledger says was sent."""
        explained = self.never_sent + sum(len(self.causes[cause]) for cause in CAUSES[1:])
        return self.expected - self.received - explained

    @property
    def duplicates(self) -> int:
        """Messages received again: those the client counted, and those that stand in two blocks."""
        return self.log.duplicates + self.log.messages - len(self.log.logged)

    @property
    def logged_not_receipted(self) -> int:
        """Messages on disk that no receipt covers."""
        return len(self.log.logged - self.ledger.receipted)

    def around(self, seq: int) -> tuple[int | None, int | None]:
        """Return when the messages before and after a missing one came, those of its gap; None where nobody knows."""
        gap = self.missing.span_of(seq)
        before_us, after_us = self.log.times.edges.around(*gap) if gap else (None, None)
        if before_us is None or after_us is None:
            return before_us, after_us
        return min(before_us, after_us), max(before_us, after_us)


def two_sided_accounts(books: RunEvidence) -> list[ClientResult]:
    """Return the account of every client that either side knows, by name and number."""
    books.settle()
    known = {name for name, client in books.ledger.clients.items() if client.is_client}
    logging = {name for name, log in books.logs.items() if not log.is_empty}
    return [_account(books, name) for name in sorted(known | logging, key=client_order)]


def client_order(name: str) -> tuple[str, int, str]:
    """Return the key by which clients are sorted: client-2 before client-10."""
    stem = name.rstrip("0123456789")
    return stem, int(name[len(stem) :] or 0), name


def _account(books: RunEvidence, name: str) -> ClientResult:
    books.yield_cpu()
    log = books.logs.get(name) or LogEvidence(name, books.times)
    ledger = books.ledger.clients.get(name) or ClientLedger()
    end = books.ledger.end
    state = _state(books, log, ledger)
    through = ledger.through
    if state == "left":
        expected = ledger.receipted.last
    elif end is not None:
        expected = end.last
    else:
        # The log was read after the ledger and may be ahead of it: an open run is not judged by its `sent` lines.
        expected = log.logged.last
        through = max(through, expected)
    missing = RangeSet([(1, expected)]) - log.logged
    causes = _causes(missing, expected, through, log, ledger)
    return ClientResult(
        client=name,
        state=state,
        log=log,
        ledger=ledger,
        expected=expected,
        received=expected - len(missing),
        missing=missing,
        causes=causes,
        never_sent=max(0, expected - through),
        faults=file_faults(log, missing),
        silence=longest(log.times.silences, ledger, state, books.ledger.start_us, moment(end.at) if end else None),
    )


def _state(books: RunEvidence, log: LogEvidence, ledger: ClientLedger) -> ClientState:
    end = books.ledger.end
    reasons = {reason for segment in log.ends.values() for reason in segment.values()}
    if end is not None and (end.last in log.logged or ledger.receipted.last >= end.last or "finished" in reasons):
        return "finished"
    if ledger.has_left or _sealed_to_leave(log, ledger):
        return "left"
    return "running" if end is None else "lost"


def _sealed_to_leave(log: LogEvidence, ledger: ClientLedger) -> bool:
    """Tell whether a client whose connection broke had sealed its log to leave: then only its goodbye was lost."""
    fence = max(ledger.subscriptions, default=0)
    if fence not in ledger.leaves:
        return False
    session = ledger.subscriptions[fence].session
    return any("shutdown" in reasons.values() for (of, _), reasons in log.ends.items() if of == session)


def _causes(
    missing: RangeSet, expected: int, through: int, log: LogEvidence, ledger: ClientLedger
) -> dict[str, RangeSet]:
    resumed = _resumed(log)
    gaps = [(damage.kind, _gap(damage, resumed, expected)) for file in log.files for damage in file.chain.damages]
    evidence = {
        "never_sent": RangeSet([(through + 1, expected)]),
        "corrupt_block": RangeSet(gap for kind, gap in gaps if kind in DAMAGED),
        "foreign": RangeSet(gap for kind, gap in gaps if kind == "foreign"),
        "corrupt_in_flight": log.corrupt,
        "receipted_not_logged": ledger.receipted,
        "sent_not_logged": RangeSet([(1, expected)]),
    }
    causes, left = {}, missing
    for cause in CAUSES:
        causes[cause] = left & evidence[cause]
        left -= evidence[cause]
    return causes


def _gap(damage: FileDamage, resumed: Resumed, expected: int) -> tuple[int, int]:
    before = damage.before if damage.before is not None else resumed.get(_identity(damage))
    return damage.after + 1, expected if before is None else before - 1


def _resumed(log: LogEvidence) -> Resumed:
    """Return with which seq the good lines go on after each damage: a copy that ends there does not know."""
    resumed: Resumed = {}
    for file in log.files:
        for damage in file.chain.damages:
            if damage.mark and damage.before is not None:
                key = _identity(damage)
                resumed[key] = min(damage.before, resumed.get(key, damage.before))
    return resumed


def _identity(damage: FileDamage) -> tuple[object, ...]:
    return damage.mark, damage.line, damage.kind, damage.prev, damage.detail


def file_faults(log: LogEvidence, missing: RangeSet) -> tuple[Fault, ...]:
    """Return what is wrong with the files of a client, each with the missing seqs that it hides."""
    # A copy of a file has the same faults: they are told once, of the file that bears its own name.
    told: dict[tuple[object, ...], Fault] = {}
    resumed = _resumed(log)
    for file in sorted(log.files, key=lambda file: (not file.is_well_named, file.source.name)):
        for damage, fault in _file_faults(file, log, missing, resumed):
            place = (file.segment or file.source, fault.line, fault.kind, fault.missing, fault.detail)
            told.setdefault(_identity(damage) if damage.mark else place, fault)
    return tuple(sorted(told.values(), key=fault_order))


def fault_order(fault: Fault) -> tuple[str, int, str, str]:
    """Return the key by which faults are sorted: file and line."""
    return fault.file, fault.line, fault.kind, fault.detail


def _file_faults(
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
            missing=(spans[0][0], spans[-1][1]) if spans and kind != "repeated" else None,
            detail=_detail(damage, kind),
        )
        faults.append((damage, fault))
    return faults


def _kind(damage: FileDamage, log: LogEvidence) -> str | None:
    if damage.prev is None or not any(file.chain.holds(damage.prev) for file in log.files):
        return damage.kind
    # What it continues stands elsewhere: as it should for a later segment, out of place for a line inside a file.
    return None if damage.first else "moved"


def _detail(damage: FileDamage, kind: str) -> str:
    if kind == "moved":
        return "the line is not where it was written: the one it continues does not stand before it"
    if damage.first:
        return "the end of the segment that this one continues is missing"
    return damage.detail + (f" (and {damage.more} more)" if damage.more else "")
