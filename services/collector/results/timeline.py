"""Makes the timeline of a run from both sides of its books. Pure: the same lines give the same timeline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from services.collector import formatting
from services.collector.evidence.ledger_evidence import LedgerEvidence
from services.collector.evidence.run_evidence import RunEvidence
from services.collector.evidence.timestamps import bounded, moment
from services.collector.results.client_result import ClientResult
from services.contract import ledger
from services.contract.sequence_text import span_text
from services.contract.timeline import (
    MOST_GAPS,
    MOST_LANES,
    MOST_MARKS,
    ClientLane,
    Gap,
    MarkKind,
    Timeline,
    TimelineEvent,
)

OPERATORS = frozenset({"start", "rate", "pause", "resume", "drop", "end"})
"""What comes from whoever runs it; with too many marks the clients' own give way to these."""


def marks(book: LedgerEvidence, most: int = MOST_MARKS) -> list[TimelineEvent]:
    """Return what happened, in the order of time; of too many, evenly chosen ones."""
    found = sorted({*_paces(book), *_drops(book), *_clients(book), *_ends(book)}, key=_order)
    if len(found) <= most:
        return found
    first = evenly([mark for mark in found if mark.kind in OPERATORS], most)
    others = [mark for mark in found if mark.kind not in OPERATORS]
    return sorted([*first, *evenly(others, most - len(first))], key=_order)


def evenly(every: Sequence[TimelineEvent], most: int) -> list[TimelineEvent]:
    """Return at most so many marks, evenly chosen."""
    count = min(most, len(every))
    return [every[place * len(every) // count] for place in range(count)]


def _order(mark: TimelineEvent) -> tuple[int, str, str, str]:
    return mark.at_us, mark.kind, mark.client or "", mark.detail


def _paces(book: LedgerEvidence) -> Iterator[TimelineEvent]:
    before: ledger.PaceEntry | None = None
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
            yield TimelineEvent(at_us=bounded(pace.due_us), kind=kind, detail=", ".join(filter(None, detail)))
        before, rate = pace, pace.rate if pace.rate is not None else rate


def _drops(book: LedgerEvidence) -> Iterator[TimelineEvent]:
    for entry in book.controls.values():
        at_us = moment(entry.at)
        if entry.request == "drop" and at_us is not None:
            yield TimelineEvent(at_us=at_us, kind="drop", client=entry.client)


def _clients(book: LedgerEvidence) -> Iterator[TimelineEvent]:
    for name, client in book.clients.items():
        fences = sorted(fence for fence, entry in client.subscriptions.items() if not entry.observe)
        for fence in fences:
            kind: MarkKind = "join" if fence == fences[0] else "reconnect"
            at_us = moment(client.subscriptions[fence].at)
            if at_us is not None:
                yield TimelineEvent(
                    at_us=at_us, kind=kind, client=name, detail=f"session {client.subscriptions[fence].session}"
                )
        for fence, leave in client.leaves.items():
            at_us = moment(leave.at)
            if at_us is not None and (fence in fences or fence not in client.subscriptions):
                yield TimelineEvent(at_us=at_us, kind="leave", client=name, detail=leave.cause)


def _ends(book: LedgerEvidence) -> Iterator[TimelineEvent]:
    end = book.end
    at_us = moment(end.at) if end else None
    if end is not None and at_us is not None:
        yield TimelineEvent(at_us=at_us, kind="end", detail=end.reason)


def draw(books: RunEvidence, every: Sequence[ClientResult]) -> Timeline:
    """Return the timeline of a run.

    Args:
        books: all lines of it that were read.
        every: the accounts of its clients.
    """
    scheduled = books.ledger.rate != 0
    slots = books.times.slots
    for at_us in books.ledger.bounds_us:
        slots.cover(at_us)
    chosen = _chosen(every)
    worst = slots.worst([account.log.times for account in chosen], scheduled=scheduled)
    return Timeline(
        run=books.run,
        start_us=_start(books, every),
        end_us=_end(books, every),
        step_us=slots.step_us,
        slots=slots.slots(scheduled=scheduled),
        lanes=[_lane(books, account, in_slots) for account, in_slots in zip(chosen, worst, strict=True)],
        marks=marks(books.ledger),
    )


def _chosen(every: Sequence[ClientResult]) -> list[ClientResult]:
    """Return the accounts that get a lane: of too many those who miss most, in the order of the summary."""
    if len(every) <= MOST_LANES:
        return list(every)
    ranked = sorted(range(len(every)), key=lambda place: (-len(every[place].missing), place))
    return [every[place] for place in sorted(ranked[:MOST_LANES])]


def _start(books: RunEvidence, every: Sequence[ClientResult]) -> int | None:
    if books.ledger.start_us is not None:
        return bounded(books.ledger.start_us)
    return min(
        (account.log.times.first_us for account in every if account.log.times.first_us is not None), default=None
    )


def _end(books: RunEvidence, every: Sequence[ClientResult]) -> int | None:
    ended = moment(books.ledger.end.at) if books.ledger.end else None
    lasts = (account.log.times.last_us for account in every if account.log.times.last_us is not None)
    return ended if ended is not None else max(lasts, default=None)


def _lane(books: RunEvidence, account: ClientResult, worst: list[int | None]) -> ClientLane:
    books.rest()
    bars = account.log.times.bars
    return ClientLane(client=account.client, stride=bars.stride, bars=bars.bars(), gaps=_gaps(account), worst=worst)


def _gaps(account: ClientResult) -> list[Gap]:
    pieces = [(first, last, cause) for cause, seqs in account.causes.items() for first, last in seqs]
    # The widest tell most; what is left of them is told in the order of the feed.
    pieces.sort(key=lambda piece: (piece[0] - piece[1], piece[0]))
    return [_gap(account, *piece) for piece in sorted(pieces[:MOST_GAPS])]


def _gap(account: ClientResult, first: int, last: int, cause: str) -> Gap:
    from_us, to_us = account.around(first)
    return Gap(seqs=span_text((first, last)), cause=cause, from_us=from_us, to_us=to_us)
