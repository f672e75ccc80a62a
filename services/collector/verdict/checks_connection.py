"""Whether clients of an external feed were connected when their run ended, and whether records still came then."""

from __future__ import annotations

from collections.abc import Sequence

from services.collector import formatting
from services.collector.results.client_result_external import BEHIND_US, ExternalClientResult
from services.collector.results.connection_history import reconnects
from services.collector.results.silence_limit import FeedRhythm, rhythm
from services.collector.verdict.check_types import CheckAnswer, CheckInput

SETTING = "FEED_SILENCE"
NOT_KNOWN = "not known: the logs do not say when their clients were connected"


def judged(case: CheckInput) -> list[ExternalClientResult]:
    """Return the clients whose logs were closed well; of a lost one the check `present` tells."""
    return [
        account
        for account in case.accounts
        if isinstance(account, ExternalClientResult) and account.state in _CLOSED_STATES
    ]


_CLOSED_STATES = ("finished", "left")


def connected(case: CheckInput) -> CheckAnswer:
    """Answer whether every client was connected when its run ended."""
    every = [account for account in judged(case) if not account.attendance.is_ended]
    away = [_not_connected(account) for account in every if account.attendance.is_connected is False]
    detail = _reconnects(judged(case))
    if away:
        return CheckAnswer(
            False, f"{formatting.several(len(away), 'client')} not connected at the end{detail}", tuple(away)
        )
    silent = [account for account in every if account.attendance.is_connected is None]
    untold = tuple(
        f"{account.client}: its log does not say whether it was connected when its run ended"
        for account in silent
        if account.attendance.is_known
    )
    if silent:
        return CheckAnswer(None, NOT_KNOWN, untold)
    if not judged(case):
        return CheckAnswer(None, "no client closed its log")
    ended = len(judged(case)) - len(every)
    named = f"; {formatting.several(ended, 'client')} ended as FEED_END says" if ended else ""
    return CheckAnswer(True, f"every client was connected to its end{named}{detail}")


def _reconnects(every: Sequence[ExternalClientResult]) -> str:
    count, longest_us = reconnects([account.attendance for account in every])
    return (
        f"; {formatting.several(count, 'reconnect')}, at most {formatting.duration(longest_us * 1000)} away"
        if count
        else ""
    )


def _not_connected(account: ExternalClientResult) -> str:
    attended = account.attendance
    trouble = f", {attended.trouble}" if attended.trouble else ""
    if attended.since_us is None:
        return (
            f"{account.client} was never connected, for {formatting.duration((attended.away_us or 0) * 1000)}{trouble}"
        )
    return (
        f"{account.client} was not connected when {_end_words(account)}:"
        f" away for {formatting.duration((attended.away_us or 0) * 1000)}{trouble}"
    )


def _end_words(account: ExternalClientResult) -> str:
    stopped = account.state == "left" or account.log.until_us is None
    return "it was stopped" if stopped else "the run ended"


def receiving(case: CheckInput) -> CheckAnswer:
    """Answer whether records came to every connected client for as long as the feed's rhythm lets one expect."""
    every = [account for account in judged(case) if account.attendance.end_us is not None]
    reasons, quiet_us = [], []
    for account in every:
        if account.attendance.is_connected is False and not account.attendance.is_ended:
            continue
        found = rhythm(account.log.external.notes())
        reasons += _silent(case, account, found)
        if found.last_us is not None and not account.attendance.is_ended:
            quiet_us.append(max(0, (account.attendance.end_us or 0) - found.last_us))
    unknown = (
        "" if any(account.attendance.is_known for account in every) else f"; connections are {formatting.NOT_KNOWN}"
    )
    if reasons:
        return CheckAnswer(
            False, f"{formatting.several(len(reasons), 'client')} without records at the end{unknown}", (*reasons,)
        )
    if not quiet_us:
        away = any(account.attendance.is_connected is False for account in every)
        why = (
            "not asked of clients that were not connected"
            if away
            else "no end is known up to which records were to come"
        )
        return CheckAnswer(None, why)
    return CheckAnswer(
        True, f"the last records came {formatting.duration(max(quiet_us) * 1000)} before the end{unknown}"
    )


def _silent(case: CheckInput, account: ExternalClientResult, found: FeedRhythm) -> list[str]:
    """Return the sentence for a client that received nothing for too long before its end; none where it did."""
    end_us = account.attendance.end_us
    if end_us is None:
        return []
    if found.last_us is None:
        return _unserved(case, account, end_us)
    return [] if account.attendance.is_ended else _quiet(account, found, end_us - found.last_us)


def _quiet(account: ExternalClientResult, found: FeedRhythm, quiet_us: int) -> list[str]:
    allowed_s, quiet = account.log.silence_s, formatting.duration(quiet_us * 1000)
    if not found.is_silent(quiet_us, allowed_s):
        return []
    said = f"{account.client} received no record for the last {quiet}: more than"
    if allowed_s is not None:
        return [f"{said} the {formatting.duration(allowed_s * 1e9)} that {SETTING} allows"]
    if not found.is_known:
        moments = f"its records came at {formatting.several(found.intervals + 1, 'moment')} only"
        unknown = f"so the feed's rhythm is not known, nor whether the last {quiet} are silence"
        return [f"{account.client}: {moments}, {unknown}: set {SETTING}"]
    limit = f"{formatting.duration(found.limit_us * 1000)}, {found.limit_text}"
    return [f"{said} {limit}; {SETTING} sets another limit"]


def _unserved(case: CheckInput, account: ExternalClientResult, end_us: int) -> list[str]:
    """Return the sentence for a client without any record, where others had some or it waited for too long."""
    allowed_s, since_us = account.log.silence_s, account.attendance.since_us
    others = [
        other.client
        for other in case.accounts
        if other.log.times.last_us is not None
        and other.log.times.last_us > (since_us or 0)
        and (other.log.times.first_us or 0) <= end_us - BEHIND_US
    ]
    if others:
        return [f"{account.client} received no record at all, though {formatting.names(others)} did while it was there"]
    if account.attendance.is_ended:
        return []
    waited_us = None if since_us is None else end_us - since_us
    if allowed_s is not None and waited_us is not None:
        waited = formatting.duration(waited_us * 1000)
        return [f"{account.client} received no record at all in {waited}"] if waited_us > allowed_s * 1e6 else []
    return [f"{account.client} received no record at all, so the feed's rhythm is not known: set {SETTING}"]


def away(case: CheckInput) -> tuple[str, ...]:
    """Return who was away in mid-run on a feed whose numbers begin again with each connection, in words."""
    return tuple(
        f"{account.client} was away in mid-run{_away_for(account)}, and the feed's numbers begin again with each"
        " connection: whether records were sent meanwhile is not known"
        for account in case.accounts
        if isinstance(account, ExternalClientResult) and account.renumbered
    )


def _away_for(account: ExternalClientResult) -> str:
    absences = account.attendance.absences
    if not absences:
        return ""
    total_us = sum(absence.until_us - absence.from_us for absence in absences)
    times = f", {len(absences):,} times" if len(absences) > 1 else ""
    return f" for {formatting.duration(total_us * 1000)}{times}"


def last_reasons(case: CheckInput) -> str:
    """Return why clients that logged no message got none, in words to be put behind a headline; empty for unknown."""
    said: dict[str, list[str]] = {}
    for account in case.accounts:
        if isinstance(account, ExternalClientResult) and account.attendance.is_known:
            said.setdefault(account.attendance.trouble or "connected, and no record came", []).append(account.client)
    return "".join(f"; {formatting.names(clients)}: {why}" for why, clients in said.items())
