"""The checks that have other evidence for an external feed: what only a server's ledger could answer is null."""

from __future__ import annotations

from collections.abc import Mapping

from services.collector import formatting
from services.collector.results.client_result import EXTERNAL_CAUSES, ClientResult
from services.collector.results.run_result import RunResult
from services.collector.verdict import checks_connection, checks_sequence, differing_records
from services.collector.verdict.check_types import CheckAnswer, CheckInput
from services.contract.rangeset import RangeSet
from services.contract.summary import Quantiles, Totals

NO_NUMBERS = "the feed has no sequence numbers"


def unfound_numbers(case: CheckInput) -> list[str]:
    """Return in words which clients found no number at the path that the operator gave."""
    return [
        f"{client.client}: none of its {formatting.several(client.messages, 'message')} has a number at"
        f" {client.external.number_path} that can be used"
        for client in case.clients
        if client.external.number_path
        and client.messages
        and client.duplicates is None
        and not client.external.contradictions
    ]


def why_unnumbered(case: CheckInput) -> str:
    """Return in words why no check can rest on sequence numbers."""
    if any(client.external.contradictions for client in case.clients):
        return "the numbers are not what the settings say"
    return "no number was found" if unfound_numbers(case) else NO_NUMBERS


def present(case: CheckInput) -> CheckAnswer:
    """Answer whether every client stayed to its end, and as many took part as the operator said."""
    lost = [client.client for client in case.clients if client.state == "lost"]
    # A client that never logged anything shows only by the number of clients that the others expected.
    wanted = max((client.external.expected_clients or 0 for client in case.clients), default=0)
    there = formatting.several(len(case.clients) - len(lost), "client")
    fewer = f"{formatting.several(len(case.clients), 'client')} took part, {wanted:,} expected"
    absent = [fewer] if len(case.clients) < wanted else []
    if lost or absent:
        reasons = [*absent, *([f"lost without a word: {formatting.names(lost)}"] if lost else [])]
        detail = ", ".join(
            [there, *([f"{len(lost):,} lost"] if lost else []), *([f"{wanted:,} expected"] * len(absent))]
        )
        return CheckAnswer(False, detail, tuple(reasons))
    return CheckAnswer(True, there if wanted else f"{there}; CLIENTS does not say how many there should be")


def complete(case: CheckInput) -> CheckAnswer:
    """Answer whether every client received every number; not claimed where records may have come without one."""
    missing, gaps = case.totals.missing, sum(client.external.gaps or 0 for client in case.clients)
    if missing is None and not gaps:
        return CheckAnswer(None, f"not claimed: {why_unnumbered(case)}")
    detail = _delivered(case)
    odd, unkeyed = case.totals.unsequenced, sum(client.external.unkeyed for client in case.clients)
    detail += f"; {formatting.several(odd, 'message')} without a number" if odd else ""
    detail += f"; {formatting.several(unkeyed, 'message')} with a number and without a key" if unkeyed else ""
    apart = differing_records.not_compared(case.result.comparison)
    detail += f"; {apart}" if apart else ""
    worst = sorted(case.clients, key=lambda client: -(client.missing or 0))
    reasons = tuple(missing_sentence(client) for client in worst if client.missing or client.external.gaps)
    unreadable = tuple(unreadable_sentence(client) for client in case.clients if client.unreadable)
    open_questions = checks_connection.away(case) + checks_sequence.unproved(case) + unreadable
    # A proved loss comes before all that is left open.
    if missing or gaps:
        lost = f"{missing:,} missing" if missing is not None else f"{formatting.several(gaps, 'gap')}"
        return CheckAnswer(False, f"{lost}; {detail}", reasons + open_questions)
    # None of them is proved to be lost: records that were sent during an absence or between two numbers that nothing
    # links, and numbers of records that cannot be read.
    if open_questions:
        return CheckAnswer(None, f"not claimed: {open_questions[0]}; {detail}", open_questions)
    return CheckAnswer(True, detail)


def _delivered(case: CheckInput) -> str:
    """Return in words how many records were delivered, and what shows it."""
    totals, rules = case.totals, [client.external.rules for client in case.clients]
    expected = "" if totals.expected is None else f" of {totals.expected:,}"
    shown_by = "the feed's own numbers"
    if any(rule.first is not None for rule in rules):
        shown_by = "the ranges of numbers that they cover"
    if any(rule.previous is not None for rule in rules):
        shown_by = "the number that each names as the one before"
    return f"{totals.received:,}{expected} delivered, by {shown_by}"


def missing_sentence(client: ClientResult) -> str:
    """Return in words what one client is missing: the numbers of its sequences, and how many by which cause."""
    sequences = sorted(client.external.missing.items(), key=lambda pair: -pair[1].count)
    parts = [_numbers(key, missing) for key, missing in sequences if missing]
    shown = "; ".join(parts[:3]) + (f" and {len(parts) - 3:,} more sequences" if len(parts) > 3 else "")
    restarts = client.external.missing_before_restart.values()
    before = [span for spans in restarts for span in spans]
    again = f"{formatting.ranges(before)} before the numbers began again" if before else ""
    shown = "; ".join(filter(None, (shown, again)))
    if client.missing is None:
        gaps = client.external.gaps or 0
        return (
            f"{client.client}: {formatting.several(gaps, 'gap')}, {shown}: at least"
            f" {formatting.several(gaps, 'message')} missing, how many is not known"
        )
    counts = {cause: getattr(client.missing_by_cause, cause) for cause in EXTERNAL_CAUSES}
    causes = ", ".join(f"{count:,} {formatting.CAUSE_WORDS[cause]}" for cause, count in counts.items() if count)
    return f"{client.client}: {formatting.several(client.missing, 'message')} missing, {shown} ({causes})"


def unreadable_sentence(client: ClientResult) -> str:
    """Return in words which numbers of a client are in the places of records that cannot be read."""
    sequences = sorted(client.external.unreadable.items(), key=lambda pair: -pair[1].count)
    shown = "; ".join(_numbers(key, numbers) for key, numbers in sequences[:3] if numbers)
    count = formatting.several(client.unreadable or 0, "number")
    return (
        f"{client.client}: {count} ({shown}) not found, where records stand that cannot be read: not known to be lost"
    )


def _numbers(key: str | None, numbers: RangeSet) -> str:
    return formatting.ranges(numbers) if key is None else f"{key} {formatting.ranges(numbers)}"


def on_time(_case: CheckInput) -> CheckAnswer:
    """Answer nothing: the server of an external feed does not report how late it sent."""
    return CheckAnswer(None, "not known: external feed")


def clocks(case: CheckInput) -> CheckAnswer:
    """Answer whether the clocks of sender and clients contradict each other: no record comes before it was sent."""
    ahead = clock_ahead(case.latency)
    if case.latency.min is None:
        return CheckAnswer(None, "no sender's time")
    # A clock that is behind, or ahead by less than the transit time, gives no negative latency: nothing is proved.
    return CheckAnswer(None, f"latency {ahead}" if ahead else "not known how far the sender's clock is off")


def clock_ahead(latency: Quantiles) -> str:
    """Return in words that no latency is claimed because the sender's clock is ahead; empty if that is not proved."""
    if latency.min is None or latency.min >= 0:
        return ""
    return f"not claimed: the sender's clock is ahead by at least {formatting.duration(-latency.min)}"


def headline(result: RunResult, totals: Totals, durations: Mapping[str, Quantiles]) -> str:
    """Return the headline of a run without anything wrong; the durations are named as in thresholds."""
    clients, p99_ns = len(result.clients), durations["latency"].p99
    is_numbered = totals.expected is not None
    received = f"{totals.received:,} of {totals.expected:,}" if is_numbered else f"{totals.received:,} messages"
    parts = [formatting.several(clients, "client"), formatting.duration(totals.duration_ns), f"{received} received"]
    ahead = clock_ahead(durations["latency"])
    measured = f"p99 {formatting.duration(p99_ns)} from the sender's time"
    parts += [f"latency {ahead}" if ahead else measured] if p99_ns is not None else []
    parts += [f"sequences begun again: {totals.restarts:,}"] if totals.restarts else []
    parts.append("external feed" + ("" if is_numbered else ": without numbers, missing records are not detected"))
    return " · ".join(parts)
