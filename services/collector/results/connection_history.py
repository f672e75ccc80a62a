"""When one client of an external feed was connected, by the connection lines of its log: to the end, and in between."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from services.collector.evidence.log_evidence import LogEvidence
from services.collector.evidence.timestamps import moment
from services.contract.blocklog import ConnectionLine
from services.contract.summary import ClientState

ORDER = {"opened": 0, "closed": 1, "refused": 2, "ended": 3, "sealed": 4}
"""What happens to one connection, in the order of time: so the order of lines needs no clock."""
_HTTP = range(100, 600)
"""Codes of this range are HTTP statuses; close codes begin at 1000."""


class Disconnection(NamedTuple):
    """A time without a connection between two connections, epoch microseconds."""

    from_us: int
    until_us: int


@dataclass(frozen=True)
class ConnectionHistory:
    """How long a client was connected.

    Attributes:
        is_known: its log has connection lines; older logs and other writers have none.
        end_us: when its run ended, epoch microseconds: the run's end, when the operator stopped it, or when the feed
            named its end; None where the log was not closed well, or does not say.
        is_ended: the feed named its end, as `FEED_END` says.
        is_connected: whether it was connected when its run ended, None where the log does not say.
        since_us: when the first connection was opened, None for never.
        away_us: how long it had been without a connection when its run ended; of a connection that brought no record
            and closed, the time counts as well.
        last_close: the last close that the client did not ask for, in words; empty for none.
        refusal: why the last attempt failed, in words; empty when none failed since the last connection.
        attempts: how many attempts failed since the last connection.
        absences: when it was away in mid-run.
    """

    is_known: bool = False
    end_us: int | None = None
    is_ended: bool = False
    is_connected: bool | None = None
    since_us: int | None = None
    away_us: int | None = None
    last_close: str = ""
    refusal: str = ""
    attempts: int = 0
    absences: tuple[Disconnection, ...] = ()

    @property
    def trouble(self) -> str:
        """Why there was no connection at last, in words; empty where the log tells of no trouble."""
        failed = f"{self.attempts:,} failed {'attempt' if self.attempts == 1 else 'attempts'}" if self.attempts else ""
        refused = f"{self.refusal} ({failed})" if self.refusal and failed else self.refusal or failed
        return ", then ".join(filter(None, (self.last_close, refused)))


def attendance(log: LogEvidence, state: ClientState, productive: Collection[tuple[int, int]]) -> ConnectionHistory:
    """Return when a client was connected.

    Args:
        log: its log.
        state: how it ended.
        productive: session and number of the connections over which records came.
    """
    lines = sorted(log.connections.values(), key=_order)
    if not lines:
        return ConnectionHistory(end_us=log.until_us if state == "finished" else None)
    last = max((session for session, _ in (*log.opens, *log.ends)), default=lines[-1].session)
    final = next((line for line in reversed(lines) if line.session == last and line.event in ("ended", "sealed")), None)
    ended = next((line for line in lines if line.session == last and line.event == "ended"), None)
    course = _Course(productive, {session: until for session, (_, until) in log.times.silences.sessions.items()})
    for line in lines:
        course.take(line)
    closing = ended or final
    end_us = moment(closing.at) if closing else None
    is_connected = closing.connected if closing and _is_whole(lines, productive) else None
    away_us = None
    if is_connected is False and end_us is not None:
        began = course.away_us if course.away_us is not None else moment(lines[0].at)
        away_us = max(0, end_us - (began if began is not None else end_us))
    return ConnectionHistory(
        is_known=True,
        end_us=end_us,
        is_ended=ended is not None,
        is_connected=is_connected,
        since_us=course.since_us,
        away_us=away_us,
        last_close=course.last_close,
        refusal=course.refusal,
        attempts=max(course.attempts, final.attempts if final and not final.connected else 0),
        absences=tuple(course.absences),
    )


def _is_whole(lines: Sequence[ConnectionLine], productive: Collection[tuple[int, int]]) -> bool:
    """Tell whether the lines tell of every connection and of the end of all but the last one of each session."""
    told = {(line.session, line.connection, line.event) for line in lines}
    counts = {session: 0 for session, _ in productive}
    for session, number in [*((line.session, line.connection) for line in lines), *productive]:
        counts[session] = max(number, counts.get(session, 0))
    return all(
        (session, number, "opened") in told and (number == count or (session, number, "closed") in told)
        for session, count in counts.items()
        for number in range(1, count + 1)
    )


def _order(line: ConnectionLine) -> tuple[int, int, int, str]:
    return line.session, line.connection, ORDER[line.event], line.at


@dataclass
class _Course:
    """What the lines say one after the other."""

    productive: Collection[tuple[int, int]]
    last_records: dict[int, int]
    since_us: int | None = None
    away_us: int | None = None
    last_close: str = ""
    refusal: str = ""
    attempts: int = 0
    absences: list[Disconnection] = field(default_factory=list)
    _line: ConnectionLine | None = None
    _is_connected: bool = False
    _had_records: bool = False

    def take(self, line: ConnectionLine) -> None:
        """Take in the next line."""
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
            self.refusal = _refusal(line)
            self.attempts += 1

    def _open(self, at_us: int) -> None:
        if self.away_us is not None:
            self.absences.append(Disconnection(self.away_us, max(self.away_us, at_us)))
        self.since_us = at_us if self.since_us is None else self.since_us
        self.away_us, self.attempts, self.refusal, self._is_connected = None, 0, "", True

    def _close(self, line: ConnectionLine, at_us: int) -> None:
        if (line.session, line.connection) in self.productive:
            self._had_records = True
        elif self._is_connected and self.absences:
            # The connection brought nothing, so the absence before it goes on.
            self.away_us = self.absences.pop().from_us
        elif not self._had_records and self.since_us is not None:
            self.away_us = self.since_us
        self.away_us = at_us if self.away_us is None else self.away_us
        self._is_connected = False

    def _leave_session(self, line: ConnectionLine) -> None:
        """Note that the process that wrote this line, the last of its session, is gone, and another one has begun."""
        if self._is_connected:
            said, received = moment(line.at), self.last_records.get(line.session)
            self.away_us = max((at for at in (said, received) if at is not None), default=None)
        self._is_connected = False


def _close(line: ConnectionLine) -> str:
    code = "without a close code" if line.code is None else str(line.code)
    return f"last close {code}" + (f" {line.reason}" if line.reason and line.reason != code else "")


def _refusal(line: ConnectionLine) -> str:
    if line.code is None or str(line.code) in line.reason:
        return line.reason or "refused"
    code = f"HTTP {line.code}" if line.code in _HTTP else f"close code {line.code}"
    return f"{code}: {line.reason}" if line.reason else code


def reconnects(every: Sequence[ConnectionHistory]) -> tuple[int, int]:
    """Return how often clients connected again, and the longest time away, in microseconds."""
    absences = [absence for one in every for absence in one.absences]
    return len(absences), max((absence.until_us - absence.from_us for absence in absences), default=0)
