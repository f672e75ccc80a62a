"""What happened in a run, moment by moment, as the ledger tells it: changes of pace, controls, comings and goings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from services.collector import formatting
from services.collector.evidence.ledger_evidence import LedgerBook
from services.collector.evidence.timestamps import bounded, moment
from services.contract import ledger
from services.contract.timeline import MOST_MARKS, Mark, MarkKind

OPERATORS = frozenset({"start", "rate", "pause", "resume", "drop", "end"})
"""What comes from whoever runs it; with too many marks the clients' own give way to these."""


def marks(book: LedgerBook, most: int = MOST_MARKS) -> list[Mark]:
    """Return what happened, in the order of time; of too many, evenly chosen ones."""
    found = sorted({*_paces(book), *_drops(book), *_clients(book), *_ends(book)}, key=_order)
    if len(found) <= most:
        return found
    first = evenly([mark for mark in found if mark.kind in OPERATORS], most)
    others = [mark for mark in found if mark.kind not in OPERATORS]
    return sorted([*first, *evenly(others, most - len(first))], key=_order)


def evenly(every: Sequence[Mark], most: int) -> list[Mark]:
    """Return at most so many marks, evenly chosen."""
    count = min(most, len(every))
    return [every[place * len(every) // count] for place in range(count)]


def _order(mark: Mark) -> tuple[int, str, str, str]:
    return mark.at_us, mark.kind, mark.client or "", mark.detail


def _paces(book: LedgerBook) -> Iterator[Mark]:
    before: ledger.Pace | None = None
    rate: float | None = None
    for pace in book.paces:
        kind: MarkKind | None
        if before is None:
            kind = "start"
        elif pace.rate is None:
            kind = "pause" if before.rate is not None else None
        elif before.rate is None:
            kind = "resume"
        else:
            kind = "rate" if pace.rate != rate else None
        if kind is not None:
            detail = [formatting.pace(pace.rate), "planned" if kind != "start" and pace.stage is not None else ""]
            yield Mark(at_us=bounded(pace.due_us), kind=kind, detail=", ".join(filter(None, detail)))
        before, rate = pace, pace.rate if pace.rate is not None else rate


def _drops(book: LedgerBook) -> Iterator[Mark]:
    for entry in book.controls.values():
        at_us = moment(entry.at)
        if entry.wish == "drop" and at_us is not None:
            yield Mark(at_us=at_us, kind="drop", client=entry.client)


def _clients(book: LedgerBook) -> Iterator[Mark]:
    for name, client in book.clients.items():
        fences = sorted(fence for fence, entry in client.subscriptions.items() if not entry.observe)
        for fence in fences:
            kind: MarkKind = "join" if fence == fences[0] else "reconnect"
            at_us = moment(client.subscriptions[fence].at)
            if at_us is not None:
                yield Mark(at_us=at_us, kind=kind, client=name, detail=f"session {client.subscriptions[fence].session}")
        for fence, leave in client.leaves.items():
            at_us = moment(leave.at)
            if at_us is not None and (fence in fences or fence not in client.subscriptions):
                yield Mark(at_us=at_us, kind="leave", client=name, detail=leave.cause)


def _ends(book: LedgerBook) -> Iterator[Mark]:
    end = book.end
    at_us = moment(end.at) if end else None
    if end is not None and at_us is not None:
        yield Mark(at_us=at_us, kind="end", detail=end.reason)
