"""Makes the summary of a run from both sides of its books. Pure: the same lines give the same summary."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

from services.collector import formatting
from services.collector.evidence.run_evidence import RunEvidence
from services.collector.results import totals as totals_of
from services.collector.results.client_result import ClientResult, fault_order
from services.collector.results.client_result_external import accounts
from services.collector.results.run_durations import RunDurations, measured
from services.collector.verdict import checks, checks_connection, checks_external, consistency, unknown
from services.collector.verdict.check_types import CheckAnswer, CheckInput
from services.collector.verdict.thresholds import ThresholdLimit, judge, of_client, of_run
from services.contract.summary import (
    ClientSummary,
    Fault,
    Quantiles,
    RunState,
    Summary,
    Threshold,
    Totals,
    Verdict,
)


class SummaryInput(NamedTuple):
    """What a summary was made of: whatever else is said of the run is made of the same accounts."""

    books: RunEvidence
    accounts: Sequence[ClientResult]


class JudgedRun(NamedTuple):
    """A run with its summary."""

    summary: Summary
    evidence: SummaryInput


def judged(
    books: RunEvidence,
    limits: Sequence[ThresholdLimit] = (),
    *,
    final: bool,
    made_at: str | None = None,
    taken: RunDurations | None = None,
) -> JudgedRun:
    """Return the summary of a run with what it was made of; the arguments are those of `reconcile`."""
    every = accounts(books, final=final)
    made = _summary(books, every, limits, final=final, made_at=made_at, taken=taken)
    return JudgedRun(made, SummaryInput(books, every))


def reconcile(
    books: RunEvidence,
    limits: Sequence[ThresholdLimit] = (),
    *,
    final: bool,
    made_at: str | None = None,
    taken: RunDurations | None = None,
) -> Summary:
    """Return the summary of a run.

    Args:
        books: all lines of it that were read.
        limits: the operator's thresholds.
        final: nothing will be added any more, so there is a verdict.
        made_at: the one field that is not a function of the books.
        taken: what `measured` finds in these books, for a caller that has asked it already.
    """
    return judged(books, limits, final=final, made_at=made_at, taken=taken).summary


def _summary(
    books: RunEvidence,
    every: Sequence[ClientResult],
    limits: Sequence[ThresholdLimit],
    *,
    final: bool,
    made_at: str | None,
    taken: RunDurations | None,
) -> Summary:
    scheduled = books.ledger.rate != 0
    totals = totals_of.totals(every, scheduled=scheduled)
    histograms = (taken or measured(books)).by_name()
    durations = {name: Quantiles.of(histogram) for name, histogram in histograms.items()}
    faults = sorted([*chain(*(account.faults for account in every)), *ledger_faults(books)], key=fault_order)
    case = CheckInput(books, every, totals, durations["latency"], durations["transit"], faults) if final else None
    asked, answers = checks.ask(case, is_one_sided=books.is_one_sided)
    thresholds = judge(
        limits,
        of_run(every, totals, histograms),
        {account.client: of_client(account, scheduled=scheduled) for account in every if limits},
        final=final,
    )
    verdict, reasons = _judge(case, answers, thresholds) if case else (None, [])
    ledger = books.ledger
    made = Summary(
        run=books.run,
        feed=ledger.open.feed if ledger.open else None,
        state=_state(books, final=final),
        verdict=verdict,
        headline=_with_late(reasons[0] if reasons else _headline(books, every, totals, durations), ledger.late),
        reasons=reasons,
        checks=asked,
        thresholds=thresholds,
        totals=totals,
        latency_ns=durations["latency"],
        catch_up_ns=durations["catch_up"],
        transit_ns=durations["transit"],
        block_duration_ns=durations["block"],
        spread_ns=durations["spread"],
        silence=totals_of.silence(every),
        clients=_clients(books, every, scheduled=scheduled),
        missing_by_cause=totals_of.causes(every),
        faults=faults,
        total=ledger.end.last if ledger.end else ledger.open.total if ledger.open else None,
        rate=ledger.rate,
        made_at=made_at,
    )
    return unknown.without_the_unknown(made, books, every) if books.is_one_sided else made


def _clients(books: RunEvidence, every: Sequence[ClientResult], *, scheduled: bool) -> list[ClientSummary]:
    made = []
    for account in every:
        books.yield_cpu()
        made.append(totals_of.client(account, scheduled=scheduled))
    return made


def ledger_faults(books: RunEvidence) -> list[Fault]:
    """Return what is wrong with the ledger's files. A copy has the same faults: told of the original."""
    if books.lacks_ledger:
        where = f"ledger/{books.run}"
        return [
            Fault(file=where, line=0, kind="ledger_missing", client=None, missing=None, detail=consistency.NO_LEDGER)
        ]
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


def _state(books: RunEvidence, *, final: bool) -> RunState:
    # A run without a ledger has no end; what is final is closed all the same, and not read again.
    state = books.state
    return "closed" if final and (state == "ended" or not books.ledger.opens) else state


def _judge(
    case: CheckInput, answers: dict[str, CheckAnswer], thresholds: Sequence[Threshold]
) -> tuple[Verdict, list[str]]:
    worst = _untrustworthy(case)
    failed = [
        reason
        for name in checks.FAILING
        if name in answers and answers[name].ok is False
        for reason in answers[name].reasons
    ]
    failed += [_broken(threshold) for threshold in thresholds if not threshold.ok]
    doubts = checks.doubts(answers)
    verdict: Verdict = "INVALID" if worst else "FAIL" if failed else "INVALID" if doubts else "PASS"
    reasons = [*worst, *failed, *doubts]
    return verdict, list(dict.fromkeys(reasons))


def _untrustworthy(case: CheckInput) -> list[str]:
    ledger = case.books.ledger
    found = []
    if not ledger.opens and not case.books.is_one_sided:
        found.append(consistency.NO_LEDGER)
    found += consistency.residuals(case.accounts)
    found += consistency.several_servers(case.books, case.accounts)
    if not any(account.log.messages for account in case.accounts):
        found.append(f"nothing was measured: no client logged a message{checks_connection.last_reasons(case)}")
    found += checks_external.unfound_numbers(case)
    found += consistency.without_end(case.books)
    if any(end.reason == "abandoned" for end in ledger.ends.values()):
        found.append("the run was abandoned: it was interrupted and not continued")
    return found


def _broken(threshold: Threshold) -> str:
    return f"threshold {threshold.expression} does not hold: {threshold.detail}"


def _headline(
    books: RunEvidence, every: Sequence[ClientResult], totals: Totals, durations: dict[str, Quantiles]
) -> str:
    if books.lacks_ledger:
        return consistency.NO_LEDGER
    if books.is_one_sided:
        return unknown.headline(every, totals, durations["latency"].p99)
    if books.ledger.state in ("opened", "waiting"):
        wanted = books.ledger.wanted
        # The run may be waiting for more than are wanted: nobody says how many will come.
        some = "" if len(every) >= wanted else f"{len(every):,} of "
        return f"waiting: {some}{formatting.several(max(wanted, len(every)), 'client')}"
    # Where all was caught up there is a schedule, and no latency that could be told.
    timed = durations["latency"].p99 is not None or bool(totals.catch_up)
    p99 = durations["latency" if timed else "transit"].p99
    expected = totals.expected if books.ledger.ends else len(every) * _total(books)
    parts = [
        formatting.several(len(every), "client"),
        formatting.duration(totals.duration_ns),
        f"{totals.received:,} of {expected:,} delivered",
        f"p99 {formatting.duration(p99)}",
    ]
    parts += [f"{totals.catch_up:,} caught up"] if totals.catch_up else []
    left = [account.client for account in every if account.state == "left"]
    text = " · ".join(parts)
    return text + (f", {len(left):,} left: {formatting.names(left)}" if left else "")


def _with_late(headline: str, late: Sequence[str]) -> str:
    """Return a headline that names the clients that came too late, whatever else it is about."""
    sentence = checks.late_sentence(late) if late else ""
    return headline if sentence in headline else f"{headline}; {sentence}"


def _total(books: RunEvidence) -> int:
    return books.ledger.open.total if books.ledger.open else 0
