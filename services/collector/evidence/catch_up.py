"""Separates catch-up from latency: catch-up are messages that were due before their client first tried to take part.

The boundary is the attempt that the open line of the client's first session names, the first session that a server
granted a subscription. Messages of later sessions are latency, however old they are: the client had taken part before.
Files are read in any order, so messages due before a session's attempt are catch-up only until an earlier session is
known.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence

from services.contract.histogram import CountedDurations, Histogram

PLACE_US = 250_000
"""Catch-up is kept by the time of its receipt, in intervals of this width, since it may turn out to be latency of that
time. No time bucket is narrower, and all are multiples of it."""
ALWAYS_THERE = -1
"""In place of the attempt of a session that has none that counts: every record is due later."""

Late = Callable[[int, CountedDurations], None]
"""Takes the time at which latencies were measured, epoch microseconds, and the latencies."""


class UndecidedMessages:
    """Messages of a session whose open line was not read yet: when they were received and due, and how late."""

    def __init__(self) -> None:
        self.places, self.due_us, self.late_ns = array("q"), array("q"), array("q")

    def add(self, place: int, due_us: int, late_ns: int) -> None:
        """Add a message, received in interval ``place`` and due at ``due_us`` by the client's clock."""
        self.places.append(place)
        self.due_us.append(due_us)
        self.late_ns.append(late_ns)

    def messages(self) -> Iterable[tuple[int, int, int]]:
        """Return the messages in the order in which they were added."""
        return zip(self.places, self.due_us, self.late_ns, strict=True)


class CatchUp:
    """Separates catch-up from latency for one client. Times are epoch microseconds.

    Args:
        late: takes messages that turned out to be latency.
    """

    __slots__ = ("_attempts", "_early", "_first", "_late", "_undecided", "histogram")

    def __init__(self, late: Late) -> None:
        self.histogram = Histogram()
        """Of the messages that were caught up: from due to received."""
        self._late = late
        self._first: tuple[int, int] | None = None
        self._attempts: dict[int, int] = {}
        self._early: dict[int, Histogram] = {}
        self._undecided: dict[int, UndecidedMessages] = {}

    def grant(self, fence: int, session: int) -> None:
        """Record that a server granted a subscription with this fence to a session."""
        if self._first is not None and self._first <= (fence, session):
            return
        former, self._first = self._first, (fence, session)
        if former is not None and former[1] != session:
            early, self._early, self.histogram = self._early, {}, Histogram()
            for place, some in early.items():
                self._report_late(place, some)

    def add_session(self, fence: int, session: int, attempted_us: int | None) -> None:
        """Add an open line: its fence, its session, and when the process first tried to connect, by its own clock."""
        self.grant(fence, session)
        self._attempts.setdefault(session, ALWAYS_THERE if attempted_us is None else attempted_us)
        if session in self._undecided:
            self._decide(session)

    def attempt_us(self, session: int) -> int | None:
        """Return the time before which a record has to be due to be caught up by a session, by the client's clock.

        `ALWAYS_THERE` when all of them are latency, None when that is not known yet.
        """
        attempt_us = self._attempts.get(session)
        # A session whose open line was not read yet may have been the first of all.
        is_later = self._first is not None and self._first[1] != session
        return ALWAYS_THERE if is_later and attempt_us is not None else attempt_us

    def split(self, session: int, received_us: Sequence[int], late_ns: Sequence[int], offset_us: int) -> list[int]:
        """Keep the messages of a block that are caught up, or may be; return the latencies of the others.

        Args:
            session: of the block.
            received_us: when each message was received, by the server's clock.
            late_ns: how long after its due time each was received.
            offset_us: the server's clock minus the client's.
        """
        attempt_us = self.attempt_us(session)
        early: dict[int, list[int]] = {}
        others: list[int] = []
        for at_us, latency_ns in zip(received_us, late_ns, strict=True):
            due_us = at_us - latency_ns // 1000 - offset_us
            if attempt_us is None:
                self._undecided.setdefault(session, UndecidedMessages()).add(at_us // PLACE_US, due_us, latency_ns)
            elif due_us < attempt_us:
                early.setdefault(at_us // PLACE_US, []).append(latency_ns)
            else:
                others.append(latency_ns)
        self._keep(early)
        return others

    def undecided(self) -> dict[int, Histogram]:
        """Return latencies by the time of their receipt that may turn out to be catch-up.

        They count as latency until an open line says otherwise.
        """
        found: dict[int, Histogram] = {}
        for waiting in self._undecided.values():
            late: dict[int, list[int]] = {}
            for place, _, late_ns in waiting.messages():
                late.setdefault(place, []).append(late_ns)
            for place, some in late.items():
                found.setdefault(place * PLACE_US, Histogram()).record(some)
        return found

    def _keep(self, early: dict[int, list[int]]) -> None:
        for place, some in early.items():
            self._early.setdefault(place, Histogram()).record(some)
            self.histogram.record(some)

    def _decide(self, session: int) -> None:
        attempt_us = self._attempts[session] if self._first and self._first[1] == session else ALWAYS_THERE
        early: dict[int, list[int]] = {}
        late: dict[int, list[int]] = {}
        for place, due_us, late_ns in self._undecided.pop(session).messages():
            (early if due_us < attempt_us else late).setdefault(place, []).append(late_ns)
        self._keep(early)
        for place, some in late.items():
            histogram = Histogram()
            histogram.record(some)
            self._report_late(place, histogram)

    def _report_late(self, place: int, some: Histogram) -> None:
        if some.count:
            self._late(place * PLACE_US, some.counted())
