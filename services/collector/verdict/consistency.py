"""Whether the books close: every line is there, every log is sealed, and both sides tell one story."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from services.collector import formatting
from services.collector.evidence import server_processes
from services.collector.evidence.run_evidence import RunEvidence
from services.collector.results.client_result import ClientResult
from services.contract.scalars import Span
from services.contract.summary import Fault

HARMLESS = frozenset({"torn"})
"""A crash cuts its last line short; what it hid is accounted for by seq."""
NO_LEDGER = "there is no ledger of this run: nobody says what was sent"


def fault_sentence(fault: Fault) -> str:
    """Return a fault in words, with its place."""
    where = f"{fault.file}:{fault.line}" if fault.line else fault.file
    return f"{where}: {fault.detail}{_hides(fault.missing)}"


def _hides(missing: Span | None) -> str:
    return f"; seq {formatting.span(*missing)} missing there" if missing else ""


def problems(
    books: RunEvidence, accounts: Sequence[ClientResult], faults: list[Fault], elsewhere: Collection[str]
) -> list[str]:
    """Return what keeps the books of a run from closing, one sentence each, worst first.

    Args:
        books: the run.
        accounts: of its clients.
        faults: of all files.
        elsewhere: kinds of fault in a log that another check reports.
    """
    found = [*residuals(accounts), *without_end(books), *several_servers(books, accounts)]
    found += fault_sentences(faults, elsewhere)
    found += _of_ledger(books)
    for account in accounts:
        found += [f"{account.client}: {problem}" for problem in _of_client(books, account)]
    return found


def fault_sentences(faults: Iterable[Fault], elsewhere: Collection[str] = ()) -> list[str]:
    """Return the faults that keep books from closing, in words; ``elsewhere`` are kinds that another check reports."""
    return [
        fault_sentence(fault)
        for fault in faults
        if fault.kind not in HARMLESS | {"ledger_missing"}
        and not (fault.client is not None and fault.kind in elsewhere)
    ]


def residuals(accounts: Iterable[ClientResult]) -> list[str]:
    """Return whose books do not close, in words."""
    return [
        f"{account.client}: the books do not close, residual {account.residual:,}:"
        " more was logged than the ledger says was sent"
        for account in accounts
        if account.residual
    ]


def without_end(books: RunEvidence) -> list[str]:
    """Return the sentence for a ledger that does not say how the run ended."""
    if books.ledger.ends or not books.ledger.opens:
        return []
    return ["the ledger has no end: the run is open, was interrupted, or its last lines are gone"]


def several_servers(books: RunEvidence, accounts: Iterable[ClientResult]) -> list[str]:
    """Return why the books of servers that played side by side are not those of one run, in words."""
    found = []
    differing = server_processes.conflict(books.ledger.servers.values())
    if differing is not None:
        one, other, record = differing
        found.append(
            f"its servers played different schedules in one run: {one.open.instance} and {other.open.instance}"
            f" differ from record {record:,} on"
        )
    for account in accounts:
        found += [f"{account.client}: fence {fence:,} was given twice" for fence in sorted(account.ledger.twice)]
    return found


def _of_ledger(books: RunEvidence) -> Iterable[str]:
    for server in server_processes.unmeasured(books.ledger.servers.values()):
        yield (
            f"server {server.open.instance}: its ledger has no end, and no later server continued it:"
            " whether it was on time is not known"
        )
    opens = books.ledger.opens.values()
    if len({(entry.feed, entry.total) for entry in opens}) > 1:
        yield f"ledger/{books.run}: its servers played different feeds in one run"
    ends = {(entry.last, entry.count, entry.reason) for entry in books.ledger.ends.values()}
    if len(ends) > 1:
        yield f"ledger/{books.run}: the run ended in {len(ends)} different ways"


def _of_client(books: RunEvidence, account: ClientResult) -> Iterable[str]:
    ledger = account.ledger
    if not ledger.subscriptions:
        yield "no subscription in the ledger"
    yield from _seals(books, account)
    yield from _sessions(account)
    if ledger.subscriptions:
        yield from _fences(account)
    yield from _conflicts(account)
    yield from _unreceipted(account)


def _seals(books: RunEvidence, account: ClientResult) -> Iterable[str]:
    log, ledger = account.log, account.ledger
    # Who says goodbye has sealed its log before.
    gone = {fence for fence, entry in ledger.leaves.items() if entry.cause == "bye"} & set(ledger.subscriptions)
    sealing = {ledger.subscriptions[fence].session for fence in gone} - {0}
    if account.state in ("finished", "left"):
        sealing.add(max((session for session, _ in (*log.opens, *log.ends)), default=0))
    for session in sorted(sealing):
        if not books.is_sealed(account.client, session):
            where = f"session {session} was not sealed: its log has no end line" if session else "it has no log"
            yield where


def _sessions(account: ClientResult) -> Iterable[str]:
    subscribed = {entry.session for entry in account.ledger.subscriptions.values() if entry.session}
    gone = sorted(subscribed - account.log.sessions)
    if gone:
        yield f"subscribed as session {formatting.names(map(str, gone))}, of which the log has no file"


def _fences(account: ClientResult) -> Iterable[str]:
    log, ledger = account.log, account.ledger
    opened = {note.fence for notes in log.opens.values() for note in notes.values()}
    unknown = (opened | ledger.receipt_fences | set(ledger.sent) | set(ledger.leaves)) - set(ledger.subscriptions)
    if unknown:
        fences = formatting.names(map(str, sorted(unknown)))
        yield f"the ledger lacks the subscription with fence {fences}"


def _conflicts(account: ClientResult) -> Iterable[str]:
    for (session, block), count in sorted(account.log.blocks.again.items()):
        yield f"session {session} block {block} stands in the log with {count} different contents"
    lines = [("open", segment, len(notes)) for segment, notes in account.log.opens.items()]
    lines += [("end", segment, len(reasons)) for segment, reasons in account.log.ends.items()]
    for kind, (session, segment), count in sorted(lines):
        if count > 1:
            yield f"session {session}, segment {segment} has {count} different {kind} lines"


def _unreceipted(account: ClientResult) -> Iterable[str]:
    # Receipts are sent in the order of blocks: what comes after the last one may be on its way, a hole may not be.
    log, receipted = account.log, account.ledger.receipted
    holes = (log.logged - receipted).within(1, receipted.last)
    if holes:
        yield f"logged but without a receipt, though later ones have one: {formatting.ranges(holes)}"
