"""Makes the summary of a run, with its verdict, from its result. Pure: the same result gives the same summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import msgspec

from services.collector import formatting
from services.collector.evidence.run_evidence import RunEvidence
from services.collector.results import totals as sums
from services.collector.results.build import build_result
from services.collector.results.client_result import ClientResult
from services.collector.results.connections import connections
from services.collector.results.instrument_share import client_share, run_share
from services.collector.results.run_result import NO_LEDGER, RunResult
from services.collector.verdict import (
    checks,
    checks_connection,
    checks_external,
    checks_reading,
    checks_sequence,
    consistency,
    instrument,
)
from services.collector.verdict.check_types import CheckAnswer, CheckInput
from services.collector.verdict.thresholds import ThresholdLimit, judge, measure_client, measure_run
from services.contract.scalars import utc_text
from services.contract.sequence_text import span_text
from services.contract.summary import (
    MOST_CLIENTS,
    Books,
    ClientSummary,
    Quantiles,
    Summary,
    Threshold,
    Totals,
    UnlistedClients,
    Verdict,
)

ABANDONED = "the run was abandoned: it was interrupted and not continued"
"""A reason of an INVALID run."""


def reconcile(
    evidence: RunEvidence, limits: Sequence[ThresholdLimit] = (), *, final: bool, made_at: str | None = None
) -> Summary:
    """Return the summary of a run from its evidence.

    Args:
        evidence: all lines of the run that were read.
        limits: the operator's thresholds.
        final: nothing will be added any more, so there is a verdict.
        made_at: the one field that is not a function of the evidence.
    """
    return summarise(build_result(evidence, final=final), limits, made_at=made_at)


def summarise(result: RunResult, limits: Sequence[ThresholdLimit] = (), *, made_at: str | None = None) -> Summary:
    """Return the summary of a run from its result; the other arguments are those of `reconcile`."""
    totals, listed = sums.totals(result.clients), listed_clients(result)
    durations = {name: Quantiles.of(histogram) for name, histogram in result.durations.by_name().items()}
    latency, transit = durations["latency"], durations["transit"]
    case = CheckInput(result, totals, latency, transit, result.faults) if result.is_final else None
    asked, answers = checks.ask(case, result.books)
    by_client = {client.client: measure_client(client) for client in result.clients if limits}
    thresholds = judge(limits, measure_run(result, totals), by_client, final=result.is_final)
    if case is not None and result.is_external:
        pairs = zip(thresholds, limits, strict=True)
        thresholds = [_by_senders_time(threshold, limit, case) for threshold, limit in pairs]
    verdict, reasons = _judge(case, answers, limits, thresholds) if case else (None, [])
    headline = reasons[0] if reasons else HEADLINES[result.books](result, totals, durations)
    troubles = [*consistency.node_troubles(result), *consistency.awaited_servers(result)] if case is None else []
    return Summary(
        run=result.run,
        books=result.books,
        feed=result.feed,
        state=result.state,
        verdict=verdict,
        headline=_with_late("; ".join([headline, *troubles]), result.ledger_facts.late),
        reasons=reasons,
        checks=asked,
        thresholds=thresholds,
        totals=totals,
        latency_ns=latency,
        catch_up_ns=durations["catch_up"],
        transit_ns=transit,
        block_duration_ns=durations["block"],
        spread_ns=durations["spread"],
        instrument_ns=run_share(result.clients),
        silence=sums.silence(result.clients),
        clients=[client_summary(client) for client in listed],
        unlisted=_unlisted(result.clients, listed),
        missing_by_cause=sums.causes(result.clients),
        faults=result.faults,
        total=result.total,
        rate=result.rate,
        made_at=made_at,
    )


def listed_clients(result: RunResult) -> Sequence[ClientResult]:
    """Return the clients that a summary lists: all of them, or of too many those that are not whole, worst first kept.

    Those with the most missing records count as the worst; they are listed in the order of all clients.
    """
    clients = result.clients
    # Of an external feed all: what is said of its connections is said of the listed clients.
    if len(clients) <= MOST_CLIENTS or result.is_external:
        return clients
    flawed = [place for place, client in enumerate(clients) if not is_whole(client)]
    flawed.sort(key=lambda place: -(clients[place].missing or 0))
    return [clients[place] for place in sorted(flawed[:MOST_CLIENTS])]


def is_whole(client: ClientResult) -> bool:
    """Return whether a client finished and nothing about its records and files is out of the ordinary."""
    flaws = (client.missing, client.duplicates, client.reordered, client.corrupt, client.residual, client.torn_bytes)
    return client.state == "finished" and not any(flaws) and not client.faults


def _unlisted(clients: Sequence[ClientResult], listed: Sequence[ClientResult]) -> UnlistedClients | msgspec.UnsetType:
    if len(clients) == len(listed):
        return msgspec.UNSET
    names = {client.client for client in listed}
    others = [client for client in clients if client.client not in names]
    states = Counter(client.state for client in others)
    return UnlistedClients(
        count=len(others),
        whole=sum(map(is_whole, others)),
        states=dict(sorted(states.items())),
        block_sizes=sorted({client.block_size for client in others if client.block_size is not None}),
    )


def client_summary(client: ClientResult) -> ClientSummary:
    """Return the figures of a client as they are published."""
    return ClientSummary(
        client=client.client,
        state=client.state,
        block_size=client.block_size,
        blocks=client.blocks,
        sessions=client.sessions,
        expected=client.expected,
        received=client.received,
        missing=client.missing,
        duplicates=client.duplicates,
        reordered=client.reordered,
        corrupt=client.corrupt,
        residual=client.residual,
        bytes=client.bytes,
        logged_not_receipted=client.logged_not_receipted,
        missing_ranges=[span_text(span) for span in client.missing_seqs],
        missing_by_cause=client.missing_by_cause,
        torn=client.torn_bytes,
        clock_offset_us=client.clock_offset_us,
        clock_error_us=client.clock_error_us,
        restarts=client.restarts,
        unsequenced=client.unsequenced,
        unreadable=client.unreadable,
        without_key=_if_known(client.without_key),
        without_time=_if_known(client.without_time),
        ignored=_if_known(client.ignored),
        pings=_if_known(client.pings),
        catch_up=client.catch_up.count if client.catch_up is not None else None,
        gaps=msgspec.UNSET if client.external.gaps is None else client.external.gaps,
        repeated=msgspec.UNSET if (repeated := client.external.allowed_repeats) is None else repeated,
        latency_ns=Quantiles.of(client.latency),
        catch_up_ns=Quantiles.of(client.catch_up) if client.catch_up is not None else Quantiles(),
        transit_ns=Quantiles.of(client.transit),
        block_duration_ns=Quantiles.of(client.block_duration),
        silence_ns=client.silence.ns if client.silence else None,
        silence_at=utc_text(client.silence.at_us) if client.silence else None,
        instrument_ns=client_share(client),
        connections=connections(client),
    )


def _if_known(count: int | None) -> int | msgspec.UnsetType:
    return msgspec.UNSET if count is None else count


def _judge(
    case: CheckInput,
    answers: dict[str, CheckAnswer],
    limits: Sequence[ThresholdLimit],
    thresholds: Sequence[Threshold],
) -> tuple[Verdict, list[str]]:
    worst = _untrustworthy(case)
    failed = checks.failures(answers)
    # After the checks: a threshold is the headline only if no check failed.
    own = [
        threshold
        for limit, threshold in zip(limits, thresholds, strict=True)
        if threshold.ok is False and instrument.explained(limit, threshold, case.clients)
    ]
    failed += [_broken(threshold) for threshold in thresholds if threshold.ok is False and threshold not in own]
    # A latency that the client itself may have caused is no fault of the feed's (ADR 58).
    doubts = [f"{_broken(threshold)}; {instrument.stall_clause(case.clients)}" for threshold in own]
    doubts += checks.doubts(answers)
    doubts += [f"threshold {one.expression} is not judged: {one.detail}" for one in thresholds if one.ok is None]
    # Numbers that cannot be trusted prove nothing. Proved facts come before doubts, or else a slow machine would hide a
    # loss (ADR 9).
    verdict: Verdict = "INVALID" if worst else "FAIL" if failed else "INVALID" if doubts else "PASS"
    reasons = [*worst, *failed, *doubts]
    # The check `books closed` repeats some of the reasons in `worst`.
    return verdict, list(dict.fromkeys(reasons))


def _untrustworthy(case: CheckInput) -> list[str]:
    """Return why no number of the run can be trusted, worst first; none where they can."""
    result = case.result
    reasons = consistency.not_pulled(result)
    reasons += [NO_LEDGER] if result.lacks_open else []
    reasons += consistency.residuals(result.clients)
    reasons += consistency.several_servers(result)
    # A run without a single message proves nothing, neither for nor against the feed.
    if not any(client.messages for client in result.clients):
        reasons.append(f"nothing was measured: no client logged a message{checks_connection.last_reasons(case)}")
    # A path in FEED_SEQ that leads nowhere must not pass for a feed without numbers.
    reasons += checks_external.unfound_numbers(case)
    reasons += checks_sequence.contradictions(case)
    reasons += consistency.without_end(result)
    # Even if all that was sent has arrived: the rest of the run was never played.
    if result.ledger_facts.is_abandoned:
        reasons.append(ABANDONED)
    return reasons


def _by_senders_time(threshold: Threshold, limit: ThresholdLimit, case: CheckInput) -> Threshold:
    """Return a threshold of a latency with what the sender's time proves of it; another one as it is.

    Without an answer if no latency can be claimed; with the number of messages that have no time, and so no latency.
    """
    if limit.metric != "latency" or threshold.ok is None:
        return threshold
    if why := checks_external.why_no_latency(case):
        return msgspec.structs.replace(threshold, ok=None, detail=why)
    judged = [client for client in case.clients if threshold.client in (None, client.client)]
    return msgspec.structs.replace(threshold, detail=threshold.detail + checks_reading.untimed(judged))


def _broken(threshold: Threshold) -> str:
    return f"threshold {threshold.expression} does not hold: {threshold.detail}"


def _headline(result: RunResult, totals: Totals, durations: Mapping[str, Quantiles]) -> str:
    if result.lacks_ledger:
        return NO_LEDGER
    clients, ledger = result.clients, result.ledger_facts
    if ledger.state in ("opened", "waiting"):
        # More clients than are wanted may come while the run waits.
        part = "" if len(clients) >= ledger.wanted else f"{len(clients):,} of "
        return f"waiting: {part}{formatting.several(max(ledger.wanted, len(clients)), 'client')}"
    # Where every message was caught up, there is a schedule and no latency.
    is_timed = durations["latency"].p99 is not None or bool(totals.catch_up)
    p99 = durations["latency" if is_timed else "transit"].p99
    # While a run goes on, a client is expected to have its own records only; the headline counts those of the whole
    # run.
    expected = totals.expected if ledger.ends else len(clients) * (ledger.total or 0)
    parts = [
        formatting.several(len(clients), "client"),
        formatting.duration(totals.duration_ns),
        f"{totals.received:,} of {expected:,} delivered",
        f"p99 {formatting.duration(p99)}",
    ]
    parts += [f"{totals.catch_up:,} caught up"] if totals.catch_up else []
    left = [client.client for client in clients if client.state == "left"]
    text = " · ".join(parts)
    return text + (f", {len(left):,} left: {formatting.names(left)}" if left else "")


HEADLINES: Mapping[Books, Callable[[RunResult, Totals, Mapping[str, Quantiles]], str]] = {
    "two-sided": _headline,
    "one-sided": checks_external.headline,
}


def _with_late(headline: str, late: Sequence[str]) -> str:
    """Return a headline that names the clients that came too late, even where it is about something else."""
    sentence = checks.late_sentence(late) if late else ""
    return headline if sentence in headline else f"{headline}; {sentence}"
