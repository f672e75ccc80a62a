"""Checks whether clients of an external feed were connected, and received records, until their run ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from services.collector import formatting
from services.collector.results.client_result import IN_FLIGHT_US, ClientResult, ExternalClientFacts
from services.collector.results.connection_history import ConnectionHistory, OwnStop, reconnects
from services.collector.results.silence_limit import FLOOR_US, KEY_FACTOR, FeedRhythm
from services.collector.verdict.check_types import CheckAnswer, CheckInput

SETTING = "FEED_SILENCE"
NOT_KNOWN = "not known: the logs do not say when their clients were connected"


_CLOSED_STATES = ("finished", "left")


class _Client(NamedTuple):
    """One client whose log was sealed, with its connections."""

    result: ClientResult
    facts: ExternalClientFacts

    @property
    def name(self) -> str:
        return self.result.client

    @property
    def connection(self) -> ConnectionHistory:
        return self.facts.connection


def _closed(case: CheckInput) -> list[_Client]:
    """Return the clients whose logs were sealed; the check `present` reports the lost ones."""
    return [_Client(client, client.external) for client in case.clients if client.state in _CLOSED_STATES]


def connected(case: CheckInput) -> CheckAnswer:
    """Answer whether every client was connected when its run ended."""
    closed = _closed(case)
    # An end that FEED_END describes may be the close of the connection itself, so it is no absence.
    clients = [client for client in closed if not client.connection.is_ended]
    absent = [client for client in clients if client.connection.is_connected is False]
    detail = _reconnects(closed)
    if absent:
        # A client that did not get as far as asking the server proves nothing against it, nor does one that the server
        # may have cut off because it did not read.
        is_own = [client.connection.is_unasked or client.connection.stop.us for client in absent]
        answer = None if all(is_own) else False
        away = [_not_connected(client) for client in absent if not client.connection.is_unasked]
        away += _never_asked([client for client in absent if client.connection.is_unasked])
        count = formatting.several(len(absent), "client")
        return CheckAnswer(answer, f"{count} not connected at the end{detail}", tuple(away))
    silent = [client for client in clients if client.connection.is_connected is None]
    if silent:
        # Of a log that cannot be read, the faults of its files are the reason.
        reasons = [_unknown(client) for client in silent if client.connection.is_known or not client.result.faults]
        return CheckAnswer(None, NOT_KNOWN, tuple(reasons))
    if not closed:
        return CheckAnswer(None, "no client closed its log")
    ended = len(closed) - len(clients)
    named = f"; {formatting.several(ended, 'client')} ended as FEED_END says" if ended else ""
    endless = "; the end that FEED_END names did not come" * any(_is_unmet(client) for client in clients)
    return CheckAnswer(True, f"every client was connected to its end{named}{endless}{detail}")


def _unknown(client: _Client) -> str:
    if client.connection.is_known:
        return f"{client.name}: its log does not say whether it was connected when its run ended"
    return f"{client.name}: its log has no line about a connection, so for how long it was connected is not known"


def _is_unmet(client: _Client) -> bool:
    """Return whether FEED_END names an end of the feed that did not come."""
    return client.facts.feed is not None and client.facts.feed.end is not None and not client.connection.is_ended


def _reconnects(clients: Sequence[_Client]) -> str:
    count, longest_us = reconnects([client.connection for client in clients])
    if not count:
        return ""
    return f"; {formatting.several(count, 'reconnect')}, at most {formatting.duration(longest_us * 1000)} away"


def _not_connected(client: _Client) -> str:
    connection = client.connection
    away = formatting.duration((connection.away_us or 0) * 1000)
    failure = f", {connection.last_failure}" if connection.last_failure else ""
    if connection.since_us is None:
        return f"{client.name} was never connected in {away}{failure}"
    is_stopped = client.result.state == "left" or client.facts.until_us is None
    end = "it was stopped" if is_stopped else "the run ended"
    own = _own_stop(connection.stop)
    return f"{client.name} was not connected when {end}: away for {away}{failure}{own}"


def _own_stop(stop: OwnStop) -> str:
    return f" (it had not read for {formatting.duration(stop.us * 1000)} before, {stop.why})" if stop.us else ""


def _never_asked(clients: Sequence[_Client]) -> list[str]:
    """Return a sentence for all clients that had no answer for the same reason, since there may be very many."""
    named: dict[str, list[_Client]] = {}
    for client in clients:
        named.setdefault(client.connection.waited, []).append(client)
    return [
        f"{formatting.names(client.name for client in waiting)} {'was' if len(waiting) == 1 else 'were'} never"
        f" connected in {formatting.duration(max(client.connection.away_us or 0 for client in waiting) * 1000)}"
        + (f": {why}" if why else "")
        for why, waiting in named.items()
    ]


def receiving(case: CheckInput) -> CheckAnswer:
    """Answer whether no connected client was silent at its end for longer than the feed's rhythm explains."""
    clients = [client for client in _closed(case) if client.connection.end_us is not None]
    reasons, quiet_us = _unserved_without_end(case), []
    for client in clients:
        connection, rhythm = client.connection, client.facts.rhythm
        # That a client was away at the end is a fact, which `connected` reports. Silence is a doubt about connected
        # clients.
        if rhythm is None or (connection.is_connected is False and not connection.is_ended):
            continue
        reasons += _silent(case, client, rhythm)
        if rhythm.last_us is not None and not connection.is_ended:
            quiet_us.append(max(0, (connection.end_us or 0) - rhythm.last_us))
    is_known = any(client.connection.is_known for client in clients)
    unknown = "" if is_known else f"; connections are {formatting.NOT_KNOWN}"
    if reasons:
        return CheckAnswer(
            False, f"{formatting.several(len(reasons), 'client')} without records at the end{unknown}", (*reasons,)
        )
    if not quiet_us:
        away = any(client.connection.is_connected is False for client in clients)
        why = (
            "not asked of clients that were not connected"
            if away
            else "no end is known up to which records were to come"
        )
        return CheckAnswer(None, why)
    return CheckAnswer(
        True, f"the last records came {formatting.duration(max(quiet_us) * 1000)} before the end{unknown}"
    )


def _silent(case: CheckInput, client: _Client, rhythm: FeedRhythm) -> list[str]:
    """Return the sentence for a client that received nothing for too long before its end; empty if it received some."""
    end_us = client.connection.end_us
    if end_us is None:
        return []
    if rhythm.last_us is None:
        return _unserved(case, client, end_us)
    if client.connection.is_ended:
        return []
    return _quiet(client, rhythm, end_us - rhythm.last_us) or _stopped(client)


def _stopped(client: _Client) -> list[str]:
    """Return the sentence for sequences that stopped while others went on: their channel may be dead."""
    stopped, allowed_s = client.facts.stopped, client.facts.silence_s
    if not stopped:
        return []
    worst, names = stopped[0], formatting.names(formatting.sequence(one.key or "") for one in stopped)
    sentence = (
        f"{client.name} received no record of {names} for the last {formatting.duration(worst.quiet_us * 1000)}, though"
        " others came: more than"
    )
    if allowed_s is not None and allowed_s * 1e6 >= worst.limit_us:
        return [f"{sentence} the {formatting.duration(allowed_s * 1e9)} that {SETTING} allows"]
    limit = f"{formatting.duration(worst.limit_us * 1000)}, the larger of {formatting.duration(FLOOR_US * 1000)} and"
    longest = f"{KEY_FACTOR} times its longest earlier interval, {formatting.duration(worst.longest_us * 1000)}"
    return [f"{sentence} {limit} {longest}; {SETTING} sets a higher limit"]


def _quiet(client: _Client, rhythm: FeedRhythm, quiet_us: int) -> list[str]:
    allowed_s, quiet = client.facts.silence_s, formatting.duration(quiet_us * 1000)
    if not rhythm.is_silent(quiet_us, allowed_s):
        return []
    if cause := _cause_of_silence(client, rhythm):
        return [f"{client.name} received no {_record(client, rhythm, quiet)}: {cause}"]
    sentence = f"{client.name} received no {_record(client, rhythm, quiet)}: more than"
    endless = "; the end that FEED_END names did not come" * _is_unmet(client)
    # FEED_SILENCE comes before the rhythm: with it, a rhythm that is not known is no reason for doubt.
    if allowed_s is not None:
        return [f"{sentence} the {formatting.duration(allowed_s * 1e9)} that {SETTING} allows{endless}"]
    if not rhythm.is_known:
        timestamps = f"its records came at {formatting.several(rhythm.intervals + 1, 'moment')} only"
        unknown = f"so the feed's rhythm is not known, nor whether the last {quiet} are silence"
        return [f"{client.name}: {timestamps}, {unknown}: set {SETTING}{endless}"]
    limit = f"{formatting.duration(rhythm.limit_us * 1000)}, {rhythm.limit_text}"
    return [f"{sentence} {limit}; {SETTING} sets another limit{endless}"]


def _cause_of_silence(client: _Client, rhythm: FeedRhythm) -> str:
    """Return why the last connection has brought no record, as the log says it; empty if it has, or for no reason."""
    connection = client.connection
    is_unserved = bool(connection.spans) and (rhythm.last_us or 0) < connection.spans[-1].opened_us
    return connection.last_failure if is_unserved else ""


def _record(client: _Client, rhythm: FeedRhythm, quiet: str) -> str:
    """Return what did not come for how long; of a feed with numbers, messages without one are no records."""
    if not rhythm.unnumbered or client.facts.number_path is None:
        return f"record for the last {quiet}"
    messages = formatting.several(rhythm.unnumbered, "message")
    return f"record with a number for the last {quiet}, though {messages} without one came"


def _unserved(case: CheckInput, client: _Client, end_us: int) -> list[str]:
    """Return the sentence for a client without any record, if others had some or it waited for too long."""
    allowed_s, since_us = client.facts.silence_s, client.connection.since_us
    nothing = f"{client.name} received no record{' with a number' if client.result.messages else ''} at all"
    # Others that received records while this client was there prove that there were some. Those of the last second may
    # have been in flight.
    others = [
        other.client
        for other in case.clients
        if other.last_us is not None
        and other.last_us > (since_us or 0)
        and (other.first_us or 0) <= end_us - IN_FLIGHT_US
    ]
    failure = client.connection.last_failure
    cause = f": {failure}" if failure else ""
    if others:
        return [f"{nothing}, though {formatting.names(others)} did while it was there{cause}"]
    # A feed may end, as FEED_END says, without any record: silence is not judged then.
    if client.connection.is_ended:
        return []
    waited_us = None if since_us is None else end_us - since_us
    if allowed_s is not None and waited_us is not None:
        waited = formatting.duration(waited_us * 1000)
        return [f"{nothing} in {waited}{cause}"] if waited_us > allowed_s * 1e6 else []
    # A longer silence would not explain what the log explains: a close, or a greeting that is unanswered.
    if cause:
        return [f"{nothing}{cause}"]
    remedy = SETTING if client.result.messages else f"FEED_HELLO if it waits for a message first, else {SETTING}"
    return [f"{nothing}, so the feed's rhythm is not known: set {remedy}"]


def _unserved_without_end(case: CheckInput) -> list[str]:
    """Return the sentences for clients without a record or a known end, where others received records."""
    served = [client.client for client in case.clients if client.messages]
    return [
        f"{client.name} received no record at all, though {formatting.names(served)} did"
        for client in _closed(case)
        if client.connection.end_us is None and not client.result.messages and served
    ]


def away(case: CheckInput) -> tuple[str, ...]:
    """Return a sentence for each client that was away in mid-run, if no number shows what was sent meanwhile."""
    return tuple(
        f"{client.client} was away in mid-run{_away_for(client.external.connection)}, and {why}: whether records were"
        f" sent meanwhile is not known{_BRIDGES}"
        for client in case.clients
        if (why := _why_unproved(client)) and not _is_bridged(case, client)
    )


_BRIDGES = (
    "; set FEED_SEQ to a number that goes on over connections if the records have one, or FEED_RESUME if the feed sends"
    " again what was missed"
)


def _is_bridged(case: CheckInput, client: ClientResult) -> bool:
    """Return whether another client shows by the contents of records that nothing was missed in any absence."""
    comparison = case.result.comparison
    unnumbered = comparison.unnumbered if comparison else None
    places = unnumbered.bridged.get(client.client, frozenset()) if unnumbered else frozenset()
    connection = client.external.connection
    opened = {span.opened_us: (span.session, span.number) for span in connection.spans}
    return bool(places) and all(opened.get(absence.until_us) in places for absence in connection.absences)


def outlasted(case: CheckInput) -> tuple[str, ...]:
    """Return a sentence for each client to which the feed said that it had ended, though it went on for others."""
    return tuple(
        f"{client.client}: {client.external.connection.end_condition} ended the feed, as FEED_END says, and"
        f" {formatting.names(client.external.outlasted_by)} received later numbers after that: whether these were meant"
        " for both is not known"
        for client in case.clients
        if client.external.outlasted_by
    )


def _why_unproved(client: ClientResult) -> str:
    """Return why the numbers of a client do not show what was sent while it was away; empty if they do."""
    facts = client.external
    if client.duplicates is None and facts.number_path is None:
        return "the feed has no numbers" if facts.connection.absences and client.messages else ""
    if facts.restarts_by_connection or (facts.rules.scope == "connection" and facts.connection.absences):
        return "the feed's numbers begin again with each connection"
    return ""


def is_away(client: ClientResult) -> bool:
    """Return whether a client was not connected at its end."""
    connection = client.external.connection
    return connection.is_connected is False and not connection.is_ended


def while_away(client: ClientResult) -> tuple[str, str]:
    """Return a clause that names an absence as the cause of all that a client lacks, and one for a part of that."""
    facts, connection = client.external, client.external.connection
    count = sum(numbers.count for numbers in facts.missed_away.values())
    if not count:
        return "", ""
    absences = [(absence.until_us - absence.from_us) for absence in connection.absences]
    absences += [connection.away_us or 0] if is_away(client) else []
    times = f", {len(absences):,} times" if len(absences) > 1 else ""
    close = f", {connection.last_close}" if connection.last_close else ""
    close += ", while its process was restarted" * any(absence.is_restart for absence in connection.absences)
    stalled = _own_stop(max([*(absence.stop for absence in connection.absences), connection.stop]))
    if facts.is_missed_away:
        return f" was away for {formatting.duration(sum(absences) * 1000)}{times}{close}{stalled}", ""
    some = "" if client.missing is None else f"{count:,} of them "
    return "", f"; {some}while it was away{times}{close}{stalled}"


def _away_for(connection: ConnectionHistory) -> str:
    absences = connection.absences
    if not absences:
        return ""
    total_us = sum(absence.until_us - absence.from_us for absence in absences)
    times = f", {len(absences):,} times" if len(absences) > 1 else ""
    return f" for {formatting.duration(total_us * 1000)}{times}"


def _nothing(connection: ConnectionHistory) -> str:
    """Return what is known of a client without records, a close or a failed attempt since it was connected."""
    if connection.since_us is None:
        return "not connected"
    refused = f" at last, after {connection.last_refusal}" if connection.last_refusal else ""
    return f"connected{refused}, and no record came"


def last_reasons(case: CheckInput) -> str:
    """Return a text to append to a headline: why clients logged no message; empty if that is not known."""
    reasons: dict[str, list[str]] = {}
    failures: dict[str, set[str]] = {}
    for client in case.clients:
        if client.external.connection.is_known:
            connection = client.external.connection
            cause = connection.cause or connection.last_failure or _nothing(connection)
            reasons.setdefault(cause, []).append(client.client)
            failures.setdefault(cause, set()).add(connection.last_failure)
        elif client.faults:
            # How many more lines a fault covers differs between clients with the same fault.
            detail, _, _ = client.faults[0].detail.partition(" (and ")
            reasons.setdefault(detail, []).append(client.client)
    # How often it happened may differ between clients with the same cause, and is said only where it does not.
    clauses = {cause: "".join(found) or cause for cause, found in failures.items() if len(found) == 1}
    return "".join(f"; {formatting.names(clients)}: {clauses.get(why, why)}" for why, clients in reasons.items())
