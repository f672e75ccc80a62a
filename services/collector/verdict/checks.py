"""The questions every run is asked, in the words of the summary, and the reasons when the answer is no."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from services.collector import formatting
from services.collector.evidence import saturation, server_processes
from services.collector.results.client_result import CAUSES, ClientResult
from services.collector.verdict import checks_external, consistency
from services.collector.verdict.check_types import DAMAGE, CheckAnswer, CheckInput
from services.contract.summary import Check

ON_TIME_NS = 250_000_000
"""A server whose p99 is later than this did not keep its own schedule; what is below shows in the latency."""
CLOCK_FLOOR_NS = 1_000_000
"""A clock error below this is never held against a run."""

UNHEARD = "sent_not_logged"
"""The cause that says that a client never saw a message; with any other something of it was there."""


def _present(case: CheckInput) -> CheckAnswer:
    ledger = case.books.ledger
    finished = [account for account in case.accounts if account.state == "finished"]
    lost = [account.client for account in case.accounts if account.state == "lost"]
    left = [account.client for account in case.accounts if account.state == "left"]
    detail, reasons = f"{formatting.several(len(finished), 'client')} finished", []
    # A number that the server found is that of the clients at the start: one that took part and left was among them.
    there = len(finished) + (len(left) if ledger.expected and finished else 0)
    if there < ledger.wanted:
        source = f" ({ledger.expected.source})" if ledger.expected else ""
        detail += f", {ledger.wanted:,} expected{source}"
        reasons.append(detail + (f"; lost: {formatting.names(lost)}" if lost else ""))
    if ledger.late:
        detail += f", {len(ledger.late):,} came too late"
        reasons.append(late_sentence(ledger.late))
    return CheckAnswer(not reasons, detail, tuple(reasons))


def late_sentence(late: Sequence[str]) -> str:
    """Return in words which clients asked to take part after the run had ended."""
    who = "it" if len(late) == 1 else "they"
    return f"{formatting.names(late)} came too late: {who} asked to take part after the run had ended"


def _complete(case: CheckInput) -> CheckAnswer:
    missing = case.totals.missing
    detail = f"{case.totals.received:,} of {case.totals.expected:,} delivered"
    worst = sorted(case.accounts, key=lambda account: (account.state != "lost", -len(account.missing)))
    reasons = tuple(missing_sentence(account) for account in worst if account.missing)
    return CheckAnswer(missing == 0, detail if not missing else f"{missing:,} missing; {detail}", reasons)


def missing_sentence(account: ClientResult) -> str:
    """Return in words what one client is missing, and why."""
    causes = [(cause, account.causes[cause]) for cause in CAUSES if account.causes[cause]]
    causes.sort(key=lambda pair: next(iter(pair[1])))
    parts = "; ".join(
        f"{formatting.ranges(missing)} ({formatting.CAUSE_WORDS[cause]})"
        + (_unheard(account) if cause == UNHEARD else "")
        for cause, missing in causes
    )
    lost = " is lost" if account.state == "lost" else ""
    return f"{account.client}{lost}: {formatting.several(len(account.missing), 'message')} missing, {parts}"


def _unheard(account: ClientResult) -> str:
    """Return in words for how long nothing came where messages were sent and not logged, as far as that is known."""
    gaps = account.causes[UNHEARD].spans()
    around = [account.around(first) for first, _ in gaps]
    known = [(after - before) * 1000 for before, after in around if before is not None and after is not None]
    # Out of order others may have come meanwhile.
    if account.log.reordered or not any(known):
        return ""
    return f", during {'up to ' if len(gaps) > 1 else ''}{formatting.duration(max(known))} of silence"


def _in_order(case: CheckInput) -> CheckAnswer:
    reasons = [
        f"{account.client}: {formatting.several(account.log.reordered, 'message')} out of order"
        for account in case.accounts
        if account.log.reordered
    ]
    return CheckAnswer(not reasons, f"{case.totals.reordered:,} out of order", tuple(reasons))


def _once(case: CheckInput) -> CheckAnswer:
    reasons = []
    for account in case.accounts:
        if account.duplicates:
            twice = account.log.twice
            where = f", {formatting.ranges(twice)} in more than one block" if twice else ""
            reasons.append(f"{account.client}: {formatting.several(account.duplicates, 'duplicate')}{where}")
    return CheckAnswer(not reasons, f"{case.totals.duplicates:,} duplicates", tuple(reasons))


def _intact(case: CheckInput) -> CheckAnswer:
    reasons = [
        f"{account.client}: {formatting.several(len(account.log.corrupt), 'message')} corrupt in flight,"
        f" {formatting.ranges(account.log.corrupt)}"
        for account in case.accounts
        if account.log.corrupt
    ]
    damaged = [fault for fault in case.faults if fault.client is not None and fault.kind in DAMAGE]
    reasons += [consistency.fault_sentence(fault) for fault in damaged]
    detail = f"{case.totals.corrupt:,} corrupt in flight, {formatting.several(len(damaged), 'damaged line')}"
    return CheckAnswer(not reasons, detail, tuple(reasons))


def _receipts_match(case: CheckInput) -> CheckAnswer:
    reasons, count = [], 0
    for account in case.accounts:
        count += len(account.ledger.receipts)
        wrong = [key for key in account.ledger.receipts if not _agrees(account, key)]
        if wrong:
            which = formatting.names(f"session {session} block {block}" for session, block in wrong)
            reasons.append(
                f"{account.client}: {formatting.several(len(wrong), 'receipt')} "
                f"{'differs' if len(wrong) == 1 else 'differ'} from the feed or the log: {which}"
            )
    return CheckAnswer(not reasons, formatting.several(count, "receipt"), tuple(reasons))


def _agrees(account: ClientResult, key: tuple[int, int]) -> bool:
    receipts, blocks = account.ledger.receipts.of(key), account.log.blocks.of(key)
    said, logged = {note[:-1] for note in receipts}, {note[:-1] for note in blocks}
    return all(note.mark for note in receipts) and len(said) == 1 and (not logged or said == logged)


def _on_time(case: CheckInput) -> CheckAnswer:
    ledger = case.books.ledger
    ends = ledger.ends.values()
    p99_ns = max((end.late_p99_ns for end in ends if end.late_p99_ns is not None), default=None)
    if p99_ns is None:
        return CheckAnswer(True, "no schedule") if ledger.rate == 0 else CheckAnswer(None, "not measured")
    max_ns = max((end.late_max_ns for end in ends if end.late_max_ns is not None), default=None)
    detail = f"p99 {formatting.duration(p99_ns)} late, at most {formatting.duration(max_ns)}"
    detail += ", the worst of several servers" if len(ends) > 1 else ""
    if p99_ns > ON_TIME_NS:
        return CheckAnswer(False, detail, (f"the server did not keep its schedule: {detail}",))
    unknown = [server.open.instance for server in server_processes.unmeasured(ledger.servers.values())]
    # Why that keeps the run from passing is said by "books closed": such a ledger lacks its end.
    return (
        CheckAnswer(None, f"{detail}; not known of server {formatting.names(unknown)}")
        if unknown
        else CheckAnswer(True, detail)
    )


def _fit(case: CheckInput) -> CheckAnswer:
    ledger = case.books.ledger
    instances = {crc: server.open.instance for server in ledger.servers.values() for crc in server.ends}
    several = len(ledger.ends) > 1
    processes = [
        (
            f"server {instances.get(crc, '')}".rstrip() if several else "the server",
            saturation.SaturationEvidence.of(end),
        )
        for crc, end in ledger.ends.items()
    ]
    processes += [(account.client, account.log.strain.total()) for account in case.accounts]
    found = saturation.judge(processes, case.totals.duration_ns)
    return CheckAnswer(found.ok, found.detail, found.reasons)


def _clocks(case: CheckInput) -> CheckAnswer:
    errors = [(account.log.clock_error_us, account.client) for account in case.accounts]
    known = [(error * 1000, client) for error, client in errors if error is not None]
    if not known:
        return CheckAnswer(None, "not measured")
    error, client = max(known)
    p99 = case.latency.p99 if case.latency.p99 is not None else case.transit.p99
    detail = f"error at most {formatting.duration(error)}" if error else "one clock"
    if error <= max(CLOCK_FLOOR_NS, p99 or 0):
        return CheckAnswer(True, detail)
    why = f"{client}: its clock is only known within {formatting.duration(error)}, which is more than latency's p99"
    return CheckAnswer(False, detail, (why,))


def _closed(case: CheckInput) -> CheckAnswer:
    reasons = consistency.problems(case.books, case.accounts, case.faults, DAMAGE)
    detail = f"residual {case.totals.residual:,}"
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
FAILING = ("complete", "present", "connected", "intact", "once", "in order", "receipts match")
"""What is wrong with the delivery, worst first."""
INVALIDATING = ("books closed", "receiving", "generator on time", "instrument on time", "clocks")
"""What is wrong with the measurement, worst first."""


def ask(case: CheckInput | None, *, is_one_sided: bool) -> tuple[list[Check], dict[str, CheckAnswer]]:
    """Ask every question; of a run that is not over (None) no answer is known yet."""
    asked = _one_sided() if is_one_sided else CHECKS
    if case is None:
        return [Check(name=name, ok=None, detail="") for name in asked], {}
    answers = {name: question(case) for name, question in asked.items()}
    return [Check(name=name, ok=answer.ok, detail=answer.detail) for name, answer in answers.items()], answers


def doubts(answers: Mapping[str, CheckAnswer]) -> list[str]:
    """Return why the measurement cannot be trusted: what a check refutes, or why one could not be answered."""
    found = [answers[name] for name in FAILING if name in answers and answers[name].ok is None]
    found += [answers[name] for name in INVALIDATING if name in answers and answers[name].ok is not True]
    return [reason for answer in found for reason in answer.reasons]


def _one_sided() -> dict[str, Callable[[CheckInput], CheckAnswer]]:
    """Return the questions that a run of an external feed is asked, what concerns the clients' presence first."""
    asked = {**CHECKS, **checks_external.CHECKS}
    first = ("present", "complete", "connected", "receiving")
    return {name: asked[name] for name in (*first, *(name for name in asked if name not in first))}
