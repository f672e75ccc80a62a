"""When one client of an external feed was connected: at the end of its run, and in between. Pure data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

EVENT_ORDER = {"opened": 0, "closed": 1, "refused": 2, "ended": 3, "sealed": 4}
"""Events of one connection in the order of time, so that sorting lines needs no clock."""


class OwnStop(NamedTuple):
    """A time right before an absence in which the client itself did not read; 0 µs for none.

    Attributes:
        us: how long it was, in microseconds.
        why: the reason, as a clause that begins with "because".
    """

    us: int = 0
    why: str = ""


NO_STOP = OwnStop()


class Disconnection(NamedTuple):
    """A time without a connection between two connections, epoch microseconds.

    Attributes:
        from_us: when it began.
        until_us: when it ended.
        stop: in which the client had not read right before it.
        is_restart: whether the client's process was replaced by another one meanwhile.
    """

    from_us: int
    until_us: int
    stop: OwnStop = NO_STOP
    is_restart: bool = False


class ConnectionSpan(NamedTuple):
    """One connection; times are epoch microseconds.

    Attributes:
        session: of the process, and ``number`` of the connection within it, from 1.
        opened_us: when the handshake had succeeded.
        ended_us: when it ended, None if the log does not say it.
        code: the close code, None if there was none or the client ended the connection itself.
        reason: the close reason.
        known_until_us: the last time at which the log shows it open.
    """

    session: int
    number: int
    opened_us: int
    ended_us: int | None = None
    code: int | None = None
    reason: str = ""
    known_until_us: int = 0


@dataclass(frozen=True)
class ConnectionHistory:
    """How long a client was connected.

    Attributes:
        is_known: its log has connection lines; older logs and other writers have none.
        end_us: when its run ended, epoch microseconds: the run's end, when the operator stopped it, or when the feed
            named its end; None if the log was not sealed, or has no line about it.
        is_ended: a condition of `FEED_END` was met.
        end_condition: the condition that was met, as `FEED_END` states it; empty for none.
        is_connected: whether it was connected when its run ended, None if the log does not show it.
        since_us: when the first connection was opened, None for never.
        away_us: how long it had been without a connection when its run ended; of a connection that brought no record
            and closed, the time counts as well.
        last_close: text about the last close by the other side; empty for none.
        closes: how many connections in a row ended without having brought a record, the last one included.
        unanswered: that the server did not answer the greeting of a client that was connected at its end; empty if it
            did.
        refusal: text about why the last attempt failed; empty if none failed since the last connection.
        attempts: how many attempts failed since the last connection.
        absences: its times without a connection between two connections.
        began_us: from when on it was to be connected, None for not known.
        spans: its connections.
        is_whole: there is a line for the begin and the end of every connection, so that their lengths are known.
        refusals: how many attempts failed in all, and ``last_refusal`` text about why the last of them did.
        stop: in which it had not read right before the absence at its end.
        waited: why a client that never was connected has no answer to an attempt, as its log says; empty for others.
    """

    is_known: bool = False
    end_us: int | None = None
    is_ended: bool = False
    is_connected: bool | None = None
    since_us: int | None = None
    away_us: int | None = None
    last_close: str = ""
    closes: int = 0
    unanswered: str = ""
    refusal: str = ""
    attempts: int = 0
    absences: tuple[Disconnection, ...] = ()
    began_us: int | None = None
    spans: tuple[ConnectionSpan, ...] = ()
    is_whole: bool = False
    refusals: int = 0
    last_refusal: str = ""
    waited: str = ""
    end_condition: str = ""
    stop: OwnStop = NO_STOP

    @property
    def is_unasked(self) -> bool:
        """Whether the server answered no attempt because there was none, or none long enough before the end."""
        return self.is_known and self.since_us is None and not self.refusals

    @property
    def cause(self) -> str:
        """Text about the last close and the attempts that failed since, without numbers; empty for none."""
        return self._told(self.last_close, self.refusal)

    @property
    def last_failure(self) -> str:
        """The cause, with how often it happened; empty for none."""
        failed = f"{self.attempts:,} failed {'attempt' if self.attempts == 1 else 'attempts'}" if self.attempts else ""
        refused = f"{self.refusal} ({failed})" if self.refusal and failed else self.refusal or failed
        closed = (
            f"{self.last_close} ({self.closes:,} connections without a record)" if self.closes > 1 else self.last_close
        )
        return self._told(closed, refused)

    def _told(self, closed: str, refused: str) -> str:
        # An unanswered greeting that ended the connection before is the reason of that close already.
        question, _, _ = self.unanswered.partition(":")
        unanswered = "" if question and question in closed and not refused else self.unanswered
        # In the order of time: the attempts that failed since the last connection come after its close.
        return ", then ".join(filter(None, (closed, refused, unanswered, self.waited)))


def reconnects(histories: Sequence[ConnectionHistory]) -> tuple[int, int]:
    """Return how often clients connected again, and the longest time away, in microseconds."""
    absences = [absence for history in histories for absence in history.absences]
    return len(absences), max((absence.until_us - absence.from_us for absence in absences), default=0)
