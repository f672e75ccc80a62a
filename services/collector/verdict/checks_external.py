"""The checks that need other evidence for an external feed; a question that only a ledger could answer is unknown.

Without a ledger clients are compared with each other, as far as they received the same records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.collector import formatting
from services.collector.evidence.numbers.number_ranges import SequenceName
from services.collector.results.client_result import EXTERNAL_CAUSES, ClientResult
from services.collector.results.instrument_share import run_share
from services.collector.results.run_result import FeedComparison, RunResult
from services.collector.verdict import checks_connection, checks_contents, checks_reading, checks_sequence, instrument
from services.collector.verdict.check_types import CheckAnswer, CheckInput
from services.contract.rangeset import RangeSet
from services.contract.scalars import Span
from services.contract.summary import Quantiles, Totals

NO_NUMBERS = "the feed has no sequence numbers"


def unfound_numbers(case: CheckInput) -> list[str]:
    """Return a sentence for each client that found no number at the path that the operator gave."""
    return [
        f"{client.client}: none of its {formatting.several(client.messages, 'message')} has a number at"
        f" {client.external.number_path} that can be used{checks_reading.number_hint(client)}{_why_away(client)}"
        for client in case.clients
        if client.external.number_path
        and client.messages
        and client.duplicates is None
        and not client.external.contradictions
    ]


def _why_away(client: ClientResult) -> str:
    """Return the clause about the last close or message at the client's end, since it may explain its messages."""
    connection = client.external.connection
    is_explained = connection.is_connected is False or connection.unanswered
    return f"; {connection.last_failure}" if is_explained and connection.last_failure else ""


def why_unnumbered(case: CheckInput) -> str:
    """Return why no check can use sequence numbers."""
    if any(client.external.contradictions for client in case.clients):
        return "the numbers are not what the settings say"
    return "no number was found" if unfound_numbers(case) else NO_NUMBERS


def present(case: CheckInput) -> CheckAnswer:
    """Answer whether every client stayed to its end, and as many took part as ``CLIENTS`` requires."""
    lost = [client.client for client in case.clients if client.state == "lost"]
    # A client that never logged anything shows only by the number of clients that the others expected.
    wanted = max((client.external.expected_clients or 0 for client in case.clients), default=0)
    stayed = formatting.several(len(case.clients) - len(lost), "client") + _left(case.clients)
    fewer = f"{formatting.several(len(case.clients), 'client')} took part, {wanted:,} expected"
    absent = [fewer] if len(case.clients) < wanted else []
    if lost or absent:
        reasons = [*absent, *([f"lost, log not closed: {formatting.names(lost)}"] if lost else [])]
        detail = ", ".join(
            [stayed, *([f"{len(lost):,} lost"] if lost else []), *([f"{wanted:,} expected"] * len(absent))]
        )
        return CheckAnswer(False, detail, tuple(reasons))
    return CheckAnswer(True, stayed if wanted else f"{stayed}; CLIENTS does not say how many there should be")


def _left(clients: Sequence[ClientResult]) -> str:
    """Return the clause about the clients that an operator stopped before the run's end, empty without any."""
    left = [client.client for client in clients if client.state == "left"]
    return f", {len(left):,} left: {formatting.names(left)}" if left else ""


def complete(case: CheckInput) -> CheckAnswer:
    """Answer whether every client received every number; unknown if records without a number may have been sent."""
    missing, gaps = case.totals.missing, sum(client.external.gaps or 0 for client in case.clients)
    if missing is None and not gaps:
        why = f"not claimed: {why_unnumbered(case)}{checks_contents.compared(case.result.comparison)}"
        return CheckAnswer(None, why, checks_connection.away(case) + checks_contents.differing(case.result.comparison))
    detail = _delivered(case)
    odd, unkeyed = case.totals.unsequenced, sum(client.external.unkeyed for client in case.clients)
    detail += f"; {formatting.several(odd, 'message')} without a number" if odd else ""
    detail += f"; {formatting.several(unkeyed, 'message')} with a number and without a key" if unkeyed else ""
    apart = not_compared(case.result.comparison)
    detail += f"; {apart}" if apart else ""
    lossy = [client for client in case.clients if client.missing or client.external.gaps]
    # What a client missed while it was away has a cause of its own, and is less than what was lost on a connection.
    lossy.sort(key=lambda client: (client.external.is_missed_away, -(client.missing or 0)))
    reasons = tuple(missing_sentence(client) for client in lossy)
    unreadable = tuple(unreadable_sentence(client) for client in case.clients if client.unreadable)
    open_questions = checks_connection.away(case) + checks_connection.outlasted(case)
    open_questions += checks_sequence.unproved(case) + unreadable
    # A proved loss comes before all that is left open.
    if missing or gaps:
        lost = f"{missing:,} missing" if missing is not None else f"{formatting.several(gaps, 'gap')}"
        # An absence that this client may have caused itself, by not reading, accuses nobody (ADR 58).
        answer = None if all(client.external.is_missed_stalled for client in lossy) else False
        is_away = all(client.external.is_missed_away for client in lossy)
        cause = "connected" if is_away and any(checks_connection.is_away(client) for client in lossy) else ""
        return CheckAnswer(answer, f"{lost}; {detail}", reasons + open_questions, cause)
    # None of them is proved to be lost: records that were sent during an absence or between two numbers that nothing
    # links, and numbers of records that cannot be read.
    if open_questions:
        return CheckAnswer(None, f"not claimed: {open_questions[0]}; {detail}", open_questions)
    return CheckAnswer(True, detail)


def _delivered(case: CheckInput) -> str:
    """Return the clause about the number of delivered records, and what proves it."""
    totals, rules = case.totals, [client.external.rules for client in case.clients]
    expected = "" if totals.expected is None else f" of {totals.expected:,}"
    shown_by = "the feed's own numbers"
    if any(rule.first is not None for rule in rules):
        shown_by = "the ranges of numbers that they cover"
    if any(rule.previous is not None for rule in rules):
        shown_by = "the number that each names as the one before"
    return f"{totals.received:,}{expected} delivered, by {shown_by}"


def missing_sentence(client: ClientResult) -> str:
    """Return the sentence about the missing numbers of one client: by sequence, and how many by each cause."""
    sequences = sorted(client.external.missing.items(), key=lambda pair: -pair[1].count)
    parts = [_numbers(key, missing) for key, missing in sequences if missing]
    shown = "; ".join(parts[:3]) + (f" and {len(parts) - 3:,} more sequences" if len(parts) > 3 else "")
    before = [span for spans in client.external.missing_before_restart.values() for span in spans]
    shown = "; ".join(filter(None, (shown, *_before_restart(before))))
    away, among = checks_connection.while_away(client)
    if client.missing is None:
        gaps = client.external.gaps or 0
        return (
            f"{client.client}{away}: {formatting.several(gaps, 'gap')}, {shown}: at least"
            f" {formatting.several(gaps, 'message')} missing, how many is not known{among}"
        )
    counts = {cause: getattr(client.missing_by_cause, cause) for cause in EXTERNAL_CAUSES}
    causes = ", ".join(f"{count:,} {formatting.CAUSE_WORDS[cause]}" for cause, count in counts.items() if count)
    beside = "" if away else checks_reading.passed_over(client)
    count = formatting.several(client.missing, "message")
    return f"{client.client}{away}: {count} missing, {shown} ({causes}){beside}{among}"


def _before_restart(spans: Sequence[Span]) -> list[str]:
    return [f"{formatting.ranges(spans)} before the numbers began again"] if spans else []


def unreadable_sentence(client: ClientResult) -> str:
    """Return the sentence about the missing numbers of one client that unreadable records may account for."""
    sequences = sorted(client.external.unreadable.items(), key=lambda pair: -pair[1].count)
    parts = [_numbers(key, numbers) for key, numbers in sequences[:3] if numbers]
    before = [span for spans in client.external.unreadable_before_restart.values() for span in spans]
    shown = "; ".join([*parts, *_before_restart(before)])
    count = formatting.several(client.unreadable or 0, "number")
    why = f"not found where records cannot be read: not known to be lost{checks_reading.unread_hint(client)}"
    return f"{client.client}: {count} ({shown}) {why}"


def on_time(_case: CheckInput) -> CheckAnswer:
    """Answer unknown: the server of an external feed does not report how late it sent."""
    return CheckAnswer(None, "not known: external feed")


def clocks(case: CheckInput) -> CheckAnswer:
    """Answer whether the clocks of sender and clients agree: no record is received before it was sent."""
    # A clock that is behind, or ahead by less than the transit time, gives no negative latency: nothing is proved.
    if why := why_no_latency(case):
        return CheckAnswer(None, why)
    return CheckAnswer(None, f"not known how far the sender's clock is off{checks_reading.precision(case.clients)}")


def clock_ahead(latency: Quantiles) -> str:
    """Return the clause about a sender's clock that is ahead, so that no latency is claimed; empty if not proved."""
    if latency.min is None or latency.min >= 0:
        return ""
    return f"not claimed: the sender's clock is ahead by at least {formatting.duration(-latency.min)}"


def why_no_latency(case: CheckInput) -> str:
    """Return the sentence why no latency can be claimed, empty if one can be."""
    if case.latency.min is None:
        return f"no sender's time{checks_reading.unfound_time(case.clients)}"
    ahead = clock_ahead(case.latency)
    return f"latency {ahead}" if ahead else ""


def headline(result: RunResult, totals: Totals, durations: Mapping[str, Quantiles]) -> str:
    """Return the headline of a run without anything wrong; the durations are named as in thresholds."""
    clients, p99_ns = len(result.clients), durations["latency"].p99
    is_numbered = totals.expected is not None
    received = f"{totals.received:,} of {totals.expected:,}" if is_numbered else f"{totals.received:,} messages"
    parts = [formatting.several(clients, "client"), formatting.duration(totals.duration_ns), f"{received} received"]
    ahead = clock_ahead(durations["latency"])
    own = instrument.share_clause(run_share(result.clients), p99_ns)
    measured = f"p99 {formatting.duration(p99_ns)} from the sender's time{checks_reading.cut_to(result.clients)}{own}"
    parts += [f"latency {ahead}" if ahead else measured] if p99_ns is not None else []
    parts += checks_reading.timeless(result.clients)
    parts += [f"sequences begun again: {totals.restarts:,}"] if totals.restarts else []
    parts.append("external feed" + ("" if is_numbered else f": without numbers, {_undetected(result)}"))
    return " · ".join(parts) + _left(result.clients)


def _undetected(result: RunResult) -> str:
    """Return which losses the contents of the records alone do not show."""
    alike = checks_contents.compared_clients(result.comparison)
    is_all = len(alike) == len(result.clients)
    return "records that no client received are not detected" if is_all else "missing records are not detected"


def uncompared_openings(comparison: FeedComparison | None) -> list[str]:
    """Return the clause about first records over a connection that differ from those of others; nothing without any."""
    count = comparison.openings if comparison else 0
    if not count:
        return []
    records = f"{formatting.several(count, 'first record')} over a connection"
    return [f"{records} not compared: other clients have different ones, so these may be snapshots"]


def not_compared(comparison: FeedComparison | None) -> str:
    """Return the clause about the clients that are not compared, empty if all are."""
    if comparison is None:
        return ""
    groups = comparison.groups
    divided = {key: groups.members(key) for key in groups.divided}
    if not divided:
        return ""
    # Many sequences may be divided in the same way, so one is shown for all.
    key = max(divided, key=lambda name: (len(divided[name]), name is None, name or ""))
    members = divided[key]
    where = "" if len(divided) == len(groups.by_key) else f" in {len(divided):,} of {len(groups.by_key):,} sequences"
    alone = [group[0] for group in members if len(group) == 1]
    if len(alone) == len(members) and set(alone) <= groups.own:
        return f"numbers of {_joined_names(alone)} are of their own connections: not compared{where}"
    if len(alone) == len(members):
        return f"{_joined_names(alone)} have other records under the same numbers: not compared{where}"
    parts = [f"({formatting.names(group)})" for group in members]
    return f"{_joined_names(parts)} have other records under the same numbers: not compared with each other{where}"


def conflict_sentences(comparison: FeedComparison | None) -> tuple[int, tuple[str, ...]]:
    """Return under how many numbers clients that are compared have different records, and a sentence for each pair."""
    conflicts = comparison.conflicts if comparison else {}
    numbers: dict[SequenceName, RangeSet] = {}
    for (key, _, _), differing in conflicts.items():
        numbers[key] = numbers.get(key, RangeSet()) | differing
    # By key where counts are equal: the sequences are kept in sets, whose order differs between processes.
    worst = sorted(conflicts.items(), key=lambda item: (-item[1].count, item[0][0] is not None, item[0][0] or ""))
    count = sum(differing.count for differing in numbers.values())
    return count, tuple(_conflict_sentence(*pair, differing) for pair, differing in worst)


def _numbers(key: str | None, numbers: RangeSet) -> str:
    # The server chose the key, and sentences are printed on terminals.
    return formatting.ranges(numbers) if key is None else f"{formatting.sequence(key)} {formatting.ranges(numbers)}"


def _conflict_sentence(key: SequenceName, one: str, other: str, differing: RangeSet) -> str:
    of = "" if key is None else f" of {formatting.sequence(key)}"
    which = f"{formatting.several(differing.count, 'number')}{of}"
    return f"{one} and {other} have different records under {which}: {formatting.ranges(differing)}"


def _joined_names(names: Sequence[str]) -> str:
    return " and ".join(names) if len(names) == 2 else formatting.names(names)
