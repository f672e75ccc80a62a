"""Makes the summary of a run from both sides of its books. Pure: the same lines give the same summary."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from services.collector import words
from services.collector.reconcile import checks, closing, measures, onesided_checks, unknown
from services.collector.reconcile.account import Account, fault_order
from services.collector.reconcile.accounts import accounts
from services.collector.reconcile.books import RunBooks
from services.collector.reconcile.case import Answer, Case
from services.collector.reconcile.durations import Durations, measured
from services.collector.reconcile.thresholds import Limit, judge
from services.contract.fields import utc_text
from services.contract.summary import (
    Causes,
    ClientSummary,
    Fault,
    Quantiles,
    RunState,
    Silence,
    Summary,
    Threshold,
    Totals,
    Verdict,
)


def reconcile(
    books: RunBooks,
    limits: Sequence[Limit] = (),
    *,
    final: bool,
    made_at: str | None = None,
    taken: Durations | None = None,
    every: Sequence[Account] | None = None,
) -> Summary:
    """Return the summary of a run.

    Args:
        books: all lines of it that were read.
        limits: the operator's thresholds.
        final: nothing will be added any more, so there is a verdict.
        made_at: the one field that is not a function of the books.
        taken: what `measured` finds in these books, for whoever has asked it already.
        every: what `accounts` finds in them, likewise.
    """
    every = accounts(books, final=final) if every is None else every
    scheduled = books.ledger.rate != 0
    totals = _totals(every)
    histograms = (taken or measured(books)).by_name()
    durations = {name: Quantiles.of(histogram) for name, histogram in histograms.items()}
    faults = sorted([*chain(*(account.faults for account in every)), *ledger_faults(books)], key=fault_order)
    case = Case(books, every, totals, durations["latency"], durations["transit"], faults) if final else None
    asked, answers = checks.ask(case)
    thresholds = judge(
        limits,
        measures.of_run(every, totals, histograms),
        {account.client: measures.of_client(account, scheduled=scheduled) for account in every if limits},
        final=final,
    )
    verdict, reasons = _judge(case, answers, thresholds) if case else (None, [])
    ledger = books.ledger
    made = Summary(
        run=books.run,
        feed=ledger.open.feed if ledger.open else None,
        state=_state(books, final=final),
        verdict=verdict,
        headline=reasons[0] if reasons else _headline(books, every, totals, durations),
        reasons=reasons,
        checks=asked,
        thresholds=thresholds,
        totals=totals,
        latency_ns=durations["latency"],
        transit_ns=durations["transit"],
        block_duration_ns=durations["block"],
        spread_ns=durations["spread"],
        silence=_silence(every),
        clients=[_client(account, scheduled=scheduled) for account in every],
        missing_by_cause=_causes(every),
        faults=faults,
        total=ledger.end.last if ledger.end else ledger.open.total if ledger.open else None,
        rate=ledger.rate,
        made_at=made_at,
    )
    return unknown.without_the_unknown(made, books, every) if books.is_one_sided else made


def ledger_faults(books: RunBooks) -> list[Fault]:
    """Return what is wrong with the ledger's files. A copy has the same faults: told of the original."""
    if books.lacks_ledger:
        where = f"ledger/{books.run}"
        return [Fault(file=where, line=0, kind="ledger_missing", client=None, missing=None, detail=closing.NO_LEDGER)]
    told: dict[tuple[object, ...], Fault] = {}
    for file in sorted(
        books.ledger.files, key=lambda file: (not file.is_well_named, len(file.source.name), file.source.name)
    ):
        for damage in file.chain.damages:
            moved = damage.prev is not None and file.chain.holds(damage.prev)
            kind = "moved" if moved else damage.kind
            detail = damage.detail + (f" (and {damage.more} more)" if damage.more else "")
            fault = Fault(
                file=damage.source.path, line=damage.line, kind=kind, client=None, missing=None, detail=detail
            )
            told.setdefault((damage.mark or file.source, damage.line, kind, damage.prev, detail), fault)
    return list(told.values())


def _state(books: RunBooks, *, final: bool) -> RunState:
    # A run without a ledger has no end; what is final is closed all the same, and not read again.
    state = books.state
    return "closed" if final and (state == "ended" or not books.ledger.opens) else state


def _causes(every: Sequence[Account]) -> Causes:
    def total(cause: str) -> int:
        return sum(len(account.causes.get(cause, ())) for account in every)

    return Causes(
        never_sent=sum(account.never_sent for account in every),
        sent_not_logged=total("sent_not_logged"),
        corrupt_in_flight=total("corrupt_in_flight"),
        receipted_not_logged=total("receipted_not_logged"),
        corrupt_block=total("corrupt_block"),
        foreign=total("foreign"),
    )


def _totals(every: Sequence[Account]) -> Totals:
    firsts = [account.log.times.first_us for account in every if account.log.times.first_us is not None]
    lasts = [account.log.times.last_us for account in every if account.log.times.last_us is not None]
    duration_ns = (max(lasts) - min(firsts)) * 1000 if firsts and lasts else None
    received = sum(account.received for account in every)
    total_bytes = sum(account.log.bytes for account in every)
    return Totals(
        expected=sum(account.expected for account in every),
        received=received,
        missing=sum(account.missing_count for account in every),
        duplicates=sum(account.duplicates for account in every),
        reordered=sum(account.reordered for account in every),
        corrupt=sum(len(account.log.corrupt) for account in every),
        residual=sum(account.residual for account in every),
        blocks=sum(account.log.blocks.count for account in every),
        bytes=total_bytes,
        logged_not_receipted=sum(account.logged_not_receipted for account in every),
        duration_ns=duration_ns,
        messages_per_second=received * 1e9 / duration_ns if duration_ns else None,
        bytes_per_second=total_bytes * 1e9 / duration_ns if duration_ns else None,
    )


def _client(account: Account, *, scheduled: bool) -> ClientSummary:
    log = account.log
    return ClientSummary(
        client=account.client,
        state=account.state,
        block_size=_block_size(account),
        blocks=log.blocks.count,
        sessions=len({session for session, _ in (*log.opens, *log.ends)} | log.blocks.sessions),
        expected=account.expected,
        received=account.received,
        missing=account.missing_count,
        duplicates=account.duplicates,
        reordered=account.reordered,
        corrupt=len(log.corrupt),
        residual=account.residual,
        bytes=log.bytes,
        logged_not_receipted=account.logged_not_receipted,
        missing_ranges=account.missing.spans(),
        missing_by_cause=_causes([account]),
        torn=sum(log.torn.values()),
        clock_offset_us=log.clock_offset_us,
        clock_error_us=log.clock_error_us,
        latency_ns=Quantiles.of(log.times.latency) if scheduled else Quantiles(),
        transit_ns=Quantiles.of(log.times.transit),
        block_duration_ns=Quantiles.of(log.times.durations),
        silence_ns=account.silence.ns if account.silence else None,
        silence_at=utc_text(account.silence.at_us) if account.silence else None,
    )


def _silence(every: Sequence[Account]) -> Silence | None:
    known = [(account.silence, account.client) for account in every if account.silence]
    # Of equally long ones the first client's.
    found, client = max(known, key=lambda one: one[0].ns, default=(None, ""))
    return Silence(client=client, at=utc_text(found.at_us), duration_ns=found.ns) if found else None


def _block_size(account: Account) -> int | None:
    opens = account.log.opens
    if opens:
        notes = opens[max(opens)]
        return notes[min(notes)].block_size
    subscriptions = account.ledger.subscriptions
    return subscriptions[max(subscriptions)].block_size or None if subscriptions else None


def _judge(case: Case, answers: dict[str, Answer], thresholds: Sequence[Threshold]) -> tuple[Verdict, list[str]]:
    worst = _untrustworthy(case)
    failed = [reason for name in checks.FAILING if answers[name].ok is False for reason in answers[name].reasons]
    failed += [_broken(threshold) for threshold in thresholds if not threshold.ok]
    doubts = [reason for name in checks.INVALIDATING if answers[name].ok is False for reason in answers[name].reasons]
    verdict: Verdict = "INVALID" if worst else "FAIL" if failed else "INVALID" if doubts else "PASS"
    reasons = [*worst, *failed, *doubts]
    return verdict, list(dict.fromkeys(reasons))


def _untrustworthy(case: Case) -> list[str]:
    ledger = case.books.ledger
    found = []
    if not ledger.opens and not case.books.is_one_sided:
        found.append(closing.NO_LEDGER)
    found += closing.residuals(case.accounts)
    if not any(account.log.messages for account in case.accounts):
        found.append("nothing was measured: no client logged a message")
    found += onesided_checks.unfound_numbers(case)
    found += closing.without_end(case.books)
    if ledger.end is not None and ledger.end.reason == "abandoned":
        found.append("the run was abandoned: it was interrupted and not continued")
    return found


def _broken(threshold: Threshold) -> str:
    return f"threshold {threshold.expression} does not hold: {threshold.detail}"


def _headline(books: RunBooks, every: Sequence[Account], totals: Totals, durations: dict[str, Quantiles]) -> str:
    if books.lacks_ledger:
        return closing.NO_LEDGER
    if books.is_one_sided:
        return unknown.headline(every, totals, durations["latency"].p99)
    if books.ledger.state in ("opened", "waiting"):
        wanted = books.ledger.open.clients if books.ledger.open else 1
        # The run may be waiting for more than are wanted: nobody says how many will come.
        some = "" if len(every) >= wanted else f"{len(every):,} of "
        return f"waiting: {some}{words.several(max(wanted, len(every)), 'client')}"
    p99 = durations["latency"].p99 if durations["latency"].p99 is not None else durations["transit"].p99
    expected = totals.expected if books.ledger.ends else len(every) * _total(books)
    parts = [
        words.several(len(every), "client"),
        words.duration(totals.duration_ns),
        f"{totals.received:,} of {expected:,} delivered",
        f"p99 {words.duration(p99)}",
    ]
    left = [account.client for account in every if account.state == "left"]
    text = " · ".join(parts)
    return text + (f", {len(left):,} left: {words.names(left)}" if left else "")


def _total(books: RunBooks) -> int:
    return books.ledger.open.total if books.ledger.open else 0
