"""The questions a run is asked whose books have one side: what only the server's books could answer is null."""

from __future__ import annotations

from collections.abc import Callable

from services.collector import formatting
from services.collector.evidence.client_groups import Groups
from services.collector.results.client_result_external import ExternalClientResult, comparable
from services.collector.verdict import checks_connection, consistency, differing_records
from services.collector.verdict.check_types import DAMAGE, CheckAnswer, CheckInput

NO_NUMBERS = "the feed has no sequence numbers"


def _heard(case: CheckInput) -> list[ExternalClientResult]:
    return [account for account in case.accounts if isinstance(account, ExternalClientResult)]


def _groups(case: CheckInput) -> Groups:
    return comparable(case.books, [account.client for account in _heard(case)])


def unfound_numbers(case: CheckInput) -> list[str]:
    """Return whose messages all lack the number that its feed was said to have, in words."""
    return [
        f"{account.client}: none of its {formatting.several(account.log.messages, 'message')} has a number at"
        f" {account.log.feed.seq} that can be used"
        for account in _heard(case)
        if account.log.feed and account.log.feed.seq and account.log.messages and not account.is_numbered
    ]


def _no_numbers(case: CheckInput) -> str | None:
    """Return why nothing is said that rests on numbers, None where there are any."""
    if any(account.is_numbered for account in _heard(case)):
        return None
    return "no number was found" if unfound_numbers(case) else NO_NUMBERS


def _present(case: CheckInput) -> CheckAnswer:
    lost = [account.client for account in case.accounts if account.state == "lost"]
    wanted = max((account.log.feed.clients or 0 for account in case.accounts if account.log.feed), default=0)
    there = formatting.several(len(case.accounts) - len(lost), "client")
    fewer = f"{formatting.several(len(case.accounts), 'client')} took part, {wanted:,} expected"
    absent = [fewer] if len(case.accounts) < wanted else []
    if lost or absent:
        reasons = [*absent, *([f"lost without a word: {formatting.names(lost)}"] if lost else [])]
        detail = ", ".join(
            [there, *([f"{len(lost):,} lost"] if lost else []), *([f"{wanted:,} expected"] * len(absent))]
        )
        return CheckAnswer(False, detail, tuple(reasons))
    return CheckAnswer(True, there if wanted else f"{there}; CLIENTS does not say how many there should be")


def _complete(case: CheckInput) -> CheckAnswer:
    every = _heard(case)
    if unknown := _no_numbers(case):
        return CheckAnswer(None, f"not claimed: {unknown}")
    missing = sum(account.missing_count for account in every)
    detail = f"{case.totals.received:,} of {case.totals.expected:,} delivered, by the feed's own numbers"
    odd = sum(account.unsequenced for account in every)
    detail += f"; {formatting.several(odd, 'message')} without a number" if odd else ""
    apart = differing_records.not_compared(_groups(case))
    detail += f"; {apart}" if apart else ""
    worst = sorted(every, key=lambda account: -account.missing_count)
    reasons = tuple(missing_sentence(account) for account in worst if account.missing_count)
    unreadable = tuple(unreadable_sentence(account) for account in every if account.unreadable_count)
    away = checks_connection.away(case)
    if missing:
        return CheckAnswer(False, f"{missing:,} missing; {detail}", reasons + unreadable + away)
    if away or unreadable:
        return CheckAnswer(None, f"not claimed: {(away or unreadable)[0]}; {detail}", away + unreadable)
    return CheckAnswer(True, detail)


def missing_sentence(account: ExternalClientResult) -> str:
    """Return in words what one client is missing: of a feed with keys by key, of another one by cause."""
    parts = [
        f"{formatting.ranges(missing)}" if key is None else f"{key} {formatting.ranges(missing)}"
        for key, missing in sorted(account.keyed.items(), key=lambda one: -len(one[1]))
        if missing
    ]
    shown = "; ".join(parts[:3]) + (f" and {len(parts) - 3:,} more sequences" if len(parts) > 3 else "")
    before = [span for spans in account.before.values() for span in spans]
    again = f"{formatting.ranges(before)} before the numbers began again" if before else ""
    shown = "; ".join(filter(None, (shown, again)))
    causes = ", ".join(
        f"{count:,} {formatting.CAUSE_WORDS[cause]}" for cause, count in account.by_cause.items() if count
    )
    return f"{account.client}: {formatting.several(account.missing_count, 'message')} missing, {shown} ({causes})"


def unreadable_sentence(account: ExternalClientResult) -> str:
    """Return in words which numbers of a client stand where records are that cannot be read."""
    shown = "; ".join(
        formatting.ranges(numbers) if key is None else f"{key} {formatting.ranges(numbers)}"
        for key, numbers in sorted(account.unreadable.items(), key=lambda one: -len(one[1]))[:3]
        if numbers
    )
    count = formatting.several(account.unreadable_count, "number")
    return (
        f"{account.client}: {count} ({shown}) not found, where records stand that cannot be read: not known to be lost"
    )


def _in_order(case: CheckInput) -> CheckAnswer:
    every = _heard(case)
    if unknown := _no_numbers(case):
        return CheckAnswer(None, unknown)
    reasons = [f"{one.client}: {formatting.several(one.late, 'message')} out of order" for one in every if one.late]
    restarts = sum(account.restarts for account in every)
    began = f", sequences begun again: {restarts:,}" if restarts else ""
    return CheckAnswer(not reasons, f"{sum(one.late for one in every):,} out of order{began}", tuple(reasons))


def _once(case: CheckInput) -> CheckAnswer:
    every = _heard(case)
    if unknown := _no_numbers(case):
        return CheckAnswer(None, unknown)
    reasons = [f"{one.client}: {formatting.several(one.again, 'duplicate')}" for one in every if one.again]
    return CheckAnswer(not reasons, f"{sum(one.again for one in every):,} duplicates", tuple(reasons))


def _intact(case: CheckInput) -> CheckAnswer:
    damaged = [consistency.fault_sentence(fault) for fault in case.faults if fault.kind in DAMAGE]
    count, conflicts = differing_records.conflict_sentences(case.books.times.comparison, _groups(case))
    detail = formatting.several(len(damaged), "damaged line")
    detail += f", {formatting.several(count, 'number')} with different records" if count else ""
    return CheckAnswer(not damaged and not count, detail, (*damaged, *conflicts))


def _receipts(_case: CheckInput) -> CheckAnswer:
    return CheckAnswer(None, "no receipts: the feed is not ours")


def _on_time(_case: CheckInput) -> CheckAnswer:
    return CheckAnswer(None, "not known: the feed is not ours")


def _clocks(case: CheckInput) -> CheckAnswer:
    if case.latency.min is None:
        return CheckAnswer(None, "no sender's time")
    if case.latency.min >= 0:
        return CheckAnswer(None, "not known how far the sender's clock is off")
    ahead = formatting.duration(-case.latency.min)
    why = f"the sender's clock is ahead: records came up to {ahead} before they were sent"
    return CheckAnswer(False, f"the sender's is ahead by {ahead} at least", (why,))


def _closed(case: CheckInput) -> CheckAnswer:
    reasons = consistency.fault_sentences(case.faults, DAMAGE)
    detail = "one-sided: what the clients logged" + (
        f", {formatting.several(len(reasons), 'problem')}" if reasons else ""
    )
    return CheckAnswer(not reasons, detail, tuple(reasons))


CHECKS: dict[str, Callable[[CheckInput], CheckAnswer]] = {
    "present": _present,
    "complete": _complete,
    "connected": checks_connection.connected,
    "in order": _in_order,
    "once": _once,
    "intact": _intact,
    "receipts match": _receipts,
    "generator on time": _on_time,
    "clocks": _clocks,
    "receiving": checks_connection.receiving,
    "books closed": _closed,
}
"""In place of the questions of the same name, and two that only these runs are asked: `connected` and `receiving`."""
