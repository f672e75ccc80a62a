"""Makes the timeline of a run from both sides of its books. Pure: the same lines give the same timeline."""

from __future__ import annotations

from collections.abc import Sequence

from services.collector.evidence.run_evidence import RunBooks
from services.collector.evidence.timestamps import bounded, moment
from services.collector.results.client_result import Account
from services.collector.results.marks import marks
from services.contract.external_blocklog import span_text
from services.contract.timeline import MOST_GAPS, MOST_LANES, Gap, Lane, Timeline


def draw(books: RunBooks, every: Sequence[Account]) -> Timeline:
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


def _chosen(every: Sequence[Account]) -> list[Account]:
    """Return the accounts that get a lane: of too many those who miss most, in the order of the summary."""
    if len(every) <= MOST_LANES:
        return list(every)
    ranked = sorted(range(len(every)), key=lambda place: (-len(every[place].missing), place))
    return [every[place] for place in sorted(ranked[:MOST_LANES])]


def _start(books: RunBooks, every: Sequence[Account]) -> int | None:
    if books.ledger.start_us is not None:
        return bounded(books.ledger.start_us)
    return min(
        (account.log.times.first_us for account in every if account.log.times.first_us is not None), default=None
    )


def _end(books: RunBooks, every: Sequence[Account]) -> int | None:
    ended = moment(books.ledger.end.at) if books.ledger.end else None
    lasts = (account.log.times.last_us for account in every if account.log.times.last_us is not None)
    return ended if ended is not None else max(lasts, default=None)


def _lane(books: RunBooks, account: Account, worst: list[int | None]) -> Lane:
    books.rest()
    bars = account.log.times.bars
    return Lane(client=account.client, stride=bars.stride, bars=bars.bars(), gaps=_gaps(account), worst=worst)


def _gaps(account: Account) -> list[Gap]:
    pieces = [(first, last, cause) for cause, seqs in account.causes.items() for first, last in seqs]
    # The widest tell most; what is left of them is told in the order of the feed.
    pieces.sort(key=lambda piece: (piece[0] - piece[1], piece[0]))
    return [_gap(account, *piece) for piece in sorted(pieces[:MOST_GAPS])]


def _gap(account: Account, first: int, last: int, cause: str) -> Gap:
    from_us, to_us = account.around(first)
    return Gap(seqs=span_text((first, last)), cause=cause, from_us=from_us, to_us=to_us)
