"""Finds out when one client of an external feed was connected, from the connection lines of its log."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from services.collector.evidence.log_evidence import LogEvidence
from services.collector.evidence.timestamps import moment
from services.collector.formatting import displayable
from services.collector.results.builders.connection_spans import connection_spans
from services.collector.results.builders.own_stops import OwnStops
from services.collector.results.connection_history import (
    EVENT_ORDER,
    NO_STOP,
    ConnectionHistory,
    Disconnection,
    OwnStop,
)
from services.contract.blocklog import ConnectionLine
from services.contract.summary import ClientState

_HTTP = range(100, 600)
"""Codes of this range are HTTP statuses; close codes begin at 1000."""
_NO_CODE = 1005
"""Stands for a close frame that has no code (RFC 6455, 7.4.1)."""


def connection_history(
    log: LogEvidence, state: ClientState, productive: Collection[tuple[int, int]]
) -> ConnectionHistory:
    """Return when a client was connected, and why it was not.

    Args:
        log: its log.
        state: how it ended.
        productive: session and number of the connections over which records were received.
    """
    lines = sorted(log.connections.values(), key=_order)
    # Logs of older versions lack connection lines. One that was closed with `finished` still stayed to the run's end.
    if not lines:
        return ConnectionHistory(end_us=log.until_us if state == "finished" else None)
    ended, final = _end_lines(log, lines)
    last_records = {session: until for session, (_, until) in log.times.silences.sessions.items()}
    course = _Course(productive, last_records, OwnStops(log))
    for line in lines:
        course.add(line)
    closing = ended or final
    end_us = moment(closing.at) if closing else None
    is_whole = _is_whole(lines, productive)
    is_connected = closing.connected if closing and is_whole else None
    began_us = log.opened_us if log.opened_us is not None else moment(lines[0].at)
    refusals = sum(line.event == "refused" for line in lines)
    return ConnectionHistory(
        is_known=True,
        end_us=end_us,
        is_ended=ended is not None,
        end_condition=displayable(ended.reason) if ended is not None else "",
        is_connected=is_connected,
        since_us=course.since_us,
        away_us=_away_us(course, began_us, end_us) if is_connected is False else None,
        last_close=course.last_close,
        closes=course.closes,
        unanswered=final.reason if final and final.event == "sealed" and final.connected else "",
        refusal=course.refusal,
        attempts=max(course.attempts, final.attempts if final and not final.connected else 0),
        absences=tuple(course.absences),
        began_us=began_us,
        spans=connection_spans(lines, last_records),
        is_whole=is_whole,
        refusals=refusals,
        last_refusal=course.last_refusal,
        stop=course.stop() if is_connected is False else NO_STOP,
        waited=displayable(final.reason) if final and course.since_us is None and not refusals else "",
    )


def _away_us(course: _Course, began_us: int | None, end_us: int | None) -> int | None:
    """Return how long a client had been away at its end; of one that was never connected, since it began."""
    began = course.away_us if course.away_us is not None else began_us
    return None if end_us is None else max(0, end_us - (began if began is not None else end_us))


def _end_lines(
    log: LogEvidence, lines: Sequence[ConnectionLine]
) -> tuple[ConnectionLine | None, ConnectionLine | None]:
    """Return the line of the feed's end and the last line about the end of the client's run; None without one.

    Only the last session shows how the client ended: its process replaced those of the sessions before.
    """
    last = max((session for session, _ in (*log.opens, *log.ends)), default=lines[-1].session)
    found = [line for line in lines if line.session == last and line.event in ("ended", "sealed")]
    ended = next((line for line in found if line.event == "ended"), None)
    return ended, found[-1] if found else None


def _is_whole(lines: Sequence[ConnectionLine], productive: Collection[tuple[int, int]]) -> bool:
    """Return whether there is a line for every connection, and for the end of all but the last one of each session."""
    # A line that is lost may have been that of a close: then it is not known whether the client was connected.
    known = {(line.session, line.connection, line.event) for line in lines}
    counts = {session: 0 for session, _ in productive}
    for session, number in [*((line.session, line.connection) for line in lines), *productive]:
        counts[session] = max(number, counts.get(session, 0))
    return all(
        (session, number, "opened") in known and (number == count or (session, number, "closed") in known)
        for session, count in counts.items()
        for number in range(1, count + 1)
    )


def _order(line: ConnectionLine) -> tuple[int, int, int, str]:
    return line.session, line.connection, EVENT_ORDER[line.event], line.at


@dataclass
class _Course:
    """The connections of one client, line by line."""

    productive: Collection[tuple[int, int]]
    last_records: dict[int, int]
    stops: OwnStops
    since_us: int | None = None
    away_us: int | None = None
    last_close: str = ""
    closes: int = 0
    refusal: str = ""
    last_refusal: str = ""
    attempts: int = 0
    absences: list[Disconnection] = field(default_factory=list)
    _line: ConnectionLine | None = None
    _is_connected: bool = False
    _had_records: bool = False
    _is_restart: bool = False

    def add(self, line: ConnectionLine) -> None:
        """Add the next line."""
        at_us = moment(line.at)
        if self._line is not None and line.session > self._line.session:
            self._leave_session(self._line)
        self._line = line
        if at_us is None:
            return
        if line.event == "opened":
            self._open(at_us)
        elif line.event == "closed":
            self.last_close, self.refusal = _close(line), ""
            self._close(line, at_us)
        elif line.event == "refused":
            self.refusal = self.last_refusal = _refusal(line)
            self.attempts += 1

    def stop(self) -> OwnStop:
        """Return the time right before the present absence in which the client did not read."""
        return NO_STOP if self.away_us is None else self.stops.before(self.away_us)

    def _open(self, at_us: int) -> None:
        if self.away_us is not None:
            until_us = max(self.away_us, at_us)
            self.absences.append(Disconnection(self.away_us, until_us, self.stop(), self._is_restart))
        self.since_us = at_us if self.since_us is None else self.since_us
        self.away_us, self.attempts, self.refusal, self._is_connected = None, 0, "", True
        self._is_restart = False

    def _close(self, line: ConnectionLine, at_us: int) -> None:
        self.closes += 1
        if (line.session, line.connection) in self.productive:
            self._had_records, self.closes = True, 0
        elif self._is_connected and self.absences:
            # No record was received over the connection, so the absence before it continues.
            self.away_us = self.absences.pop().from_us
        # No record so far: the client counts as away from its first connection on. Otherwise a server that accepts and
        # closes connections would look available (ADR 44).
        elif not self._had_records and self.since_us is not None:
            self.away_us = self.since_us
        self.away_us = at_us if self.away_us is None else self.away_us
        self._is_connected = False

    def _leave_session(self, line: ConnectionLine) -> None:
        """Record that the process that wrote this line, the last of its session, was replaced by another one."""
        # A process that was killed logged no close. It was connected until its last line or its last record, at least.
        if self._is_connected:
            logged_us, received_us = moment(line.at), self.last_records.get(line.session)
            self.away_us = max((at_us for at_us in (logged_us, received_us) if at_us is not None), default=None)
            self._is_restart = True
        self._is_connected = False


def _close(line: ConnectionLine) -> str:
    code, reason = "without a close code" if line.code is None else str(line.code), displayable(line.reason)
    if line.code == _NO_CODE and not reason:
        reason = "without a close code"
    return f"last close {code}" + (f" {reason}" if reason and reason != code else "")


def _refusal(line: ConnectionLine) -> str:
    # This project's client writes printable reasons, but other writers' logs are read, too.
    reason = displayable(line.reason)
    if line.code is None or str(line.code) in reason:
        return reason or "refused"
    code = f"HTTP {line.code}" if line.code in _HTTP else f"close code {line.code}"
    return f"{code}: {reason}" if reason else code
