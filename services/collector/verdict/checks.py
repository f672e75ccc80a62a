"""The checks that every run goes through, by their names in the summary, and the reasons where one fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from services.collector import formatting
from services.collector.evidence import server_clocks
from services.collector.evidence.saturation import SaturationEvidence
from services.collector.results.client_result import ClientResult
from services.collector.results.instrument_share import run_share
from services.collector.verdict import checks_connection, checks_external, checks_sequence, consistency, instrument
from services.collector.verdict.check_types import DAMAGE, CheckAnswer, CheckInput
from services.contract.summary import Books, Check

ON_TIME_NS = 250_000_000
"""A server whose p99 is later than this did not keep its own schedule; a smaller delay is part of the latency."""
MAX_LAG_NS = 250_000_000
"""A process whose event loop lag has a higher p99 than this was not fit to measure."""
THROTTLED_SHARE = 0.05
"""Nor was a process that its CPU limit stopped for a greater part of the run, or that did not read for its disk."""
CLOCK_FLOOR_NS = 1_000_000
"""A clock error below this fails no run."""

UNSEEN = "sent_not_logged"
"""The cause of messages that were sent and of which the client has no trace."""

_MOST_NAMED = 5
"""Processes that are named, at most."""


def _present(case: CheckInput) -> CheckAnswer:
    ledger = case.result.ledger_facts
    finished = [client for client in case.clients if client.state == "finished"]
    lost = [client.client for client in case.clients if client.state == "lost"]
    left = [client.client for client in case.clients if client.state == "left"]
    detail, reasons = f"{formatting.several(len(finished), 'client')} finished", []
    # A number that the server found is that of the clients at the start: one that took part and left was among them.
    counted = len(finished) + (len(left) if ledger.wanted_source is not None and finished else 0)
    if counted < ledger.wanted:
        source = f" ({ledger.wanted_source})" if ledger.wanted_source is not None else ""
        detail += f", {ledger.wanted:,} expected{source}"
        reasons.append(detail + (f"; lost: {formatting.names(lost)}" if lost else ""))
    # A client that came too late took no part, so it has no result: apart from the headline, only this check names it.
    if ledger.late:
        detail += f", {len(ledger.late):,} came too late"
        reasons.append(late_sentence(ledger.late))
    return CheckAnswer(not reasons, detail, tuple(reasons))


def late_sentence(late: Sequence[str]) -> str:
    """Return the sentence about the clients that asked to take part after the run had ended."""
    pronoun = "it" if len(late) == 1 else "they"
    return f"{formatting.names(late)} came too late: {pronoun} asked to take part after the run had ended"


def _complete(case: CheckInput) -> CheckAnswer:
    missing = case.totals.missing
    detail = f"{case.totals.received:,} of {case.totals.expected:,} delivered"
    # The first reason of a run is its headline, and a lost client is more important than any number of gaps.
    worst = sorted(case.clients, key=lambda client: (client.state != "lost", -client.missing_seqs.count))
    reasons = tuple(missing_sentence(client) for client in worst if client.missing_seqs)
    return CheckAnswer(missing == 0, detail if not missing else f"{missing:,} missing; {detail}", reasons)


def missing_sentence(client: ClientResult) -> str:
    """Return the sentence about the missing messages of one client, with their causes."""
    causes = [(cause, missing) for cause, missing in client.lost.items() if missing]
    causes.sort(key=lambda pair: next(iter(pair[1])))
    parts = "; ".join(
        f"{formatting.ranges(missing)} ({formatting.CAUSE_WORDS[cause]})"
        + (_silence_around(client) if cause == UNSEEN else "")
        for cause, missing in causes
    )
    lost = " is lost" if client.state == "lost" else ""
    return f"{client.client}{lost}: {formatting.several(client.missing_seqs.count, 'message')} missing, {parts}"


def _silence_around(client: ClientResult) -> str:
    """Return the clause about the silence around messages that were sent and not logged; empty if it is not known."""
    gaps = client.lost[UNSEEN].spans()
    around = [client.around(first) for first, _ in gaps]
    known = [(after - before) * 1000 for before, after in around if before is not None and after is not None]
    # Out of order, other messages may have been received meanwhile.
    if client.reordered or not any(known):
        return ""
    return f", during {'up to ' if len(gaps) > 1 else ''}{formatting.duration(max(known))} of silence"


def _in_order(case: CheckInput) -> CheckAnswer:
    # Without numbers no order can be refuted: the answer is null, since 0 would claim that it had been measured.
    if case.totals.reordered is None:
        return CheckAnswer(None, checks_external.why_unnumbered(case))
    reasons = [
        f"{client.client}: {formatting.several(client.reordered, 'message')} out of order"
        for client in case.clients
        if client.reordered
    ]
    restarts = f", sequences begun again: {case.totals.restarts:,}" if case.totals.restarts else ""
    return CheckAnswer(not reasons, f"{case.totals.reordered:,} out of order{restarts}", tuple(reasons))


def _once(case: CheckInput) -> CheckAnswer:
    if case.totals.duplicates is None:
        return CheckAnswer(None, checks_external.why_unnumbered(case))
    reasons = []
    for client in case.clients:
        if client.duplicates:
            repeated = client.repeated_seqs
            where = f", {formatting.ranges(repeated)} in more than one block" if repeated else ""
            where += checks_sequence.repeats_hint(client)
            reasons.append(f"{client.client}: {formatting.several(client.duplicates, 'duplicate')}{where}")
    detail = f"{case.totals.duplicates:,} duplicates{checks_sequence.allowed_repeats(case)}"
    return CheckAnswer(not reasons, detail, tuple(reasons))


def _intact(case: CheckInput) -> CheckAnswer:
    corrupt = [
        f"{client.client}: {formatting.several(client.corrupt_seqs.count, 'message')} corrupt in flight,"
        f" {formatting.ranges(client.corrupt_seqs)}"
        for client in case.clients
        if client.corrupt_seqs
    ]
    # Damage to a log concerns records that were delivered. That of a ledger is a doubt, which `books closed` reports.
    damaged = [
        consistency.fault_sentence(fault) for fault in case.faults if fault.client is not None and fault.kind in DAMAGE
    ]
    count, conflicts = checks_external.conflict_sentences(case.result.comparison)
    # The frames of an external feed have no digest, so damage in flight cannot be shown.
    parts = [] if case.totals.corrupt is None else [f"{case.totals.corrupt:,} corrupt in flight"]
    parts.append(formatting.several(len(damaged), "damaged line"))
    parts += [f"{formatting.several(count, 'number')} with different records"] if count else []
    parts += checks_external.uncompared_openings(case.result.comparison)
    reasons = (*corrupt, *damaged, *conflicts)
    return CheckAnswer(not reasons, ", ".join(parts), reasons)


def _receipts_match(case: CheckInput) -> CheckAnswer:
    if case.totals.logged_not_receipted is None:
        return CheckAnswer(None, "no receipts: external feed")
    reasons, count = [], 0
    for client in case.clients:
        if client.consistency is None:
            continue
        count += client.consistency.receipts
        wrong = client.consistency.differing_receipts
        if wrong:
            which = formatting.names(f"session {session} block {block}" for session, block in wrong)
            reasons.append(
                f"{client.client}: {formatting.several(len(wrong), 'receipt')} "
                f"{'differs' if len(wrong) == 1 else 'differ'} from the feed or the log: {which}"
            )
    return CheckAnswer(not reasons, formatting.several(count, "receipt"), tuple(reasons))


def _on_time(case: CheckInput) -> CheckAnswer:
    ledger = case.result.ledger_facts
    servers = (*ledger.ends, *ledger.departed)
    p99_ns = max((server.late_p99_ns for server in servers if server.late_p99_ns is not None), default=None)
    # At rate 0 a record is due when it is sent, so the server cannot be late.
    if p99_ns is None:
        return CheckAnswer(None, "not measured") if ledger.is_scheduled else CheckAnswer(True, "no schedule")
    max_ns = max((server.late_max_ns for server in servers if server.late_max_ns is not None), default=None)
    detail = f"p99 {formatting.duration(p99_ns)} late, at most {formatting.duration(max_ns)}"
    detail += ", the worst of several servers" if len(servers) > 1 else ""
    if p99_ns > ON_TIME_NS:
        return CheckAnswer(False, detail, (f"the server did not keep its schedule: {detail}",))
    unknown = ledger.unmeasured_servers
    # The check `books closed` reports why the run cannot pass: such a ledger lacks its end.
    return (
        CheckAnswer(None, f"{detail}; not known of server {formatting.names(unknown)}")
        if unknown
        else CheckAnswer(True, detail)
    )


def _fit(case: CheckInput) -> CheckAnswer:
    ledger = case.result.ledger_facts
    servers = (*ledger.ends, *ledger.departed)
    processes = [
        (f"server {server.instance}".rstrip() if len(servers) > 1 else "the server", server.saturation)
        for server in servers
    ]
    processes += [(client.client, client.saturation) for client in case.clients]
    answer, run_ns = judge_saturation(processes, case.totals.duration_ns), case.totals.duration_ns
    stalled = [(client.stalled_ns or 0, client.client) for client in case.clients]
    why = f"{{name}} did not read for {{took}} of {formatting.duration(run_ns)}: its disk was behind"
    reasons = (*answer.reasons, *_worst_processes(stalled, THROTTLED_SHARE * run_ns if run_ns else float("inf"), why))
    detail = "; ".join(filter(None, (answer.detail, instrument.stall_clause(case.clients))))
    if clause := instrument.share_clause(run_share(case.clients), case.latency.p99):
        detail += f"; latency p99 {formatting.duration(case.latency.p99)}{clause}"
    return CheckAnswer(False if reasons else answer.ok, detail, reasons)


def judge_saturation(processes: Sequence[tuple[str, SaturationEvidence]], run_ns: int | None) -> CheckAnswer:
    """Return whether the processes were fit to measure a run.

    Args:
        processes: the name of each for a sentence, and its own measurements.
        run_ns: how long the run was, None when nothing was measured.
    """
    # The kernel sums throttled time over processors, so it may exceed the run; it is reported as a part of the run.
    measured = [(evidence.within(run_ns), name) for name, evidence in processes]
    worst = SaturationEvidence()
    for evidence, _ in measured:
        worst = worst.worst(evidence)
    late = [(evidence.p99_ns or 0, name) for evidence, name in measured]
    stopped = [(evidence.throttled_ns or 0, name) for evidence, name in measured]
    # Where no message was received, the length of the run is not known, and no time is too great a part of it.
    most = THROTTLED_SHARE * run_ns if run_ns else float("inf")
    throttled = f"{{name}} was throttled for {{took}} of {formatting.duration(run_ns)} by its CPU limit"
    reasons = (
        *_worst_processes(stopped, most, throttled),
        *_worst_processes(late, MAX_LAG_NS, "{name}'s event loop was {took} late (p99)"),
    )
    # A run that is too short for a percentile has a maximum: if that is within the limit, the percentile would be too.
    # With a maximum beyond the limit and no percentile, the percentile may still be within it: there is no answer, also
    # where other processes have one.
    is_open = any(evidence.p99_ns is None and (evidence.max_ns or 0) > MAX_LAG_NS for evidence, _ in measured)
    is_measured = worst.p99_ns is not None or worst.max_ns is not None
    is_fit = True if is_measured and not is_open else None
    return CheckAnswer(False if reasons else is_fit, _saturation_detail(worst), reasons)


def _worst_processes(values: Iterable[tuple[int, str]], most: float, sentence: str) -> Iterator[str]:
    exceeding = sorted(((took, name) for took, name in values if took > most), reverse=True)
    for took, name in exceeding[:_MOST_NAMED]:
        yield sentence.format(name=name, took=formatting.duration(took))
    if len(exceeding) > _MOST_NAMED:
        yield f"{len(exceeding) - _MOST_NAMED:,} more were not fit either"


def _saturation_detail(worst: SaturationEvidence) -> str:
    parts = []
    if worst.p99_ns is not None:
        parts.append(f"p99 {formatting.duration(worst.p99_ns)} late, at most {formatting.duration(worst.max_ns)}")
    elif worst.max_ns is not None:
        parts.append(f"at most {formatting.duration(worst.max_ns)} late")
    if worst.throttled_ns is not None:
        parts.append(
            f"throttled for {formatting.duration(worst.throttled_ns)}" if worst.throttled_ns else "never throttled"
        )
    return "; ".join(parts) or "not measured"


def _clocks(case: CheckInput) -> CheckAnswer:
    errors = [(client.clock_error_us, client.client) for client in case.clients]
    known = [(error * 1000, client) for error, client in errors if error is not None]
    if not known:
        return CheckAnswer(None, "not measured")
    error, client = max(known)
    # Without a schedule there is no latency; the transit time then shows how large a clock error matters.
    p99 = case.latency.p99 if case.latency.p99 is not None else case.transit.p99
    detail = f"error at most {formatting.duration(error)}" if error else "one clock"
    # A latency below the error of its clocks is not claimed (ADR 5).
    most = max(CLOCK_FLOOR_NS, p99 or 0)
    if error <= most:
        return _server_clocks(case, detail, most)
    why = f"{client}: its clock is only known within {formatting.duration(error)}, which is more than latency's p99"
    return CheckAnswer(False, detail, (why,))


def _server_clocks(case: CheckInput, detail: str, most_ns: float) -> CheckAnswer:
    """Return whether the clocks of several hosts' servers agree, as far as the offsets that clients logged show it."""
    kernels = case.result.ledger_facts.kernels
    if len(set(kernels.values())) < 2:
        return CheckAnswer(True, detail)
    known = server_clocks.skew(case.result.clock_offsets, kernels)
    if known is None:
        unknown = "no client connects the clocks of all servers: it is not known how far they are apart"
        return CheckAnswer(None, f"{detail}; {unknown}")
    skew_ns, error_ns, (one, other) = known.skew_us * 1000, known.error_us * 1000, known.servers
    apart = f"servers {one} and {other} are {formatting.duration(skew_ns)} apart"
    apart += f", known within {formatting.duration(error_ns)}"
    if skew_ns + error_ns <= most_ns:
        return CheckAnswer(True, f"{detail}; {apart}")
    if skew_ns - error_ns <= most_ns:
        return CheckAnswer(None, f"{detail}; {apart}, which is too inexact to compare it with latency's p99")
    why = f"the clocks of {apart}, which is more than latency's p99: set the clocks of their hosts by NTP"
    return CheckAnswer(False, f"{detail}; {apart}", (why,))


def _closed(case: CheckInput) -> CheckAnswer:
    reasons = consistency.problems(case.result, case.faults, DAMAGE)
    residual = case.totals.residual
    detail = "one-sided: what the clients logged" if residual is None else f"residual {residual:,}"
    if reasons:
        detail += f", {formatting.several(len(reasons), 'problem')}"
    return CheckAnswer(not reasons, detail, tuple(reasons))


CHECKS: dict[str, Callable[[CheckInput], CheckAnswer]] = {
    "present": _present,
    "complete": _complete,
    "in order": _in_order,
    "once": _once,
    "intact": _intact,
    "receipts match": _receipts_match,
    "generator on time": _on_time,
    "instrument on time": _fit,
    "clocks": _clocks,
    "books closed": _closed,
}
EXTERNAL_CHECKS: dict[str, Callable[[CheckInput], CheckAnswer]] = {
    "present": checks_external.present,
    "complete": checks_external.complete,
    "connected": checks_connection.connected,
    "receiving": checks_connection.receiving,
    "in order": _in_order,
    "once": _once,
    "intact": _intact,
    "receipts match": _receipts_match,
    "generator on time": checks_external.on_time,
    "instrument on time": _fit,
    "clocks": checks_external.clocks,
    "books closed": _closed,
}
"""For an external feed: without a ledger some checks have other evidence, and two more are about connections."""
CHECKS_BY_BOOKS: Mapping[Books, Mapping[str, Callable[[CheckInput], CheckAnswer]]] = {
    "two-sided": CHECKS,
    "one-sided": EXTERNAL_CHECKS,
}
# These prove a fault of the feed, the others only cast doubt on the measurement: ADR 9.
FAILING = ("complete", "present", "connected", "intact", "once", "in order", "receipts match")
"""Checks of the delivery, in the order in which their reasons are reported."""
INVALIDATING = ("books closed", "receiving", "generator on time", "instrument on time", "clocks")
"""Checks of the measurement, in the order in which their reasons are reported."""


def ask(case: CheckInput | None, books: Books) -> tuple[list[Check], dict[str, CheckAnswer]]:
    """Run every check; of a run that is not over (``case`` is None) no answer is known yet."""
    asked = CHECKS_BY_BOOKS[books]
    if case is None:
        return [Check(name=name, ok=None, detail="") for name in asked], {}
    answers = {name: check(case) for name, check in asked.items()}
    return [Check(name=name, ok=answer.ok, detail=answer.detail) for name, answer in answers.items()], answers


def failures(answers: Mapping[str, CheckAnswer]) -> list[str]:
    """Return the proved faults of the delivery: the reasons of the checks that were answered with no."""
    failed = [(name, answers[name]) for name in FAILING if name in answers and answers[name].ok is False]
    # The sort keeps the order of all others.
    causes = {answer.explained_by for _, answer in failed}
    failed.sort(key=lambda item: item[0] not in causes)
    return [reason for name, answer in failed for reason in answer.reasons or _failed(name, answer)]


def doubts(answers: Mapping[str, CheckAnswer]) -> list[str]:
    """Return why the measurement cannot be trusted: what a check refutes, or why one could not be answered."""
    # A fact that cannot be decided is a doubt too: it must not pass.
    doubtful = [(name, answers[name]) for name in FAILING if name in answers and answers[name].ok is None]
    doubtful += [(name, answers[name]) for name in INVALIDATING if name in answers and answers[name].ok is not True]
    # An answer that is null without a reason does not apply to this run, and raises no doubt.
    return [reason for name, answer in doubtful for reason in answer.reasons or _failed(name, answer)]


def _failed(name: str, answer: CheckAnswer) -> tuple[str, ...]:
    """Return the reason of a check that was answered with no and names none: it must not pass in silence."""
    return (f"{name}: {answer.detail}",) if answer.ok is False else ()
