"""Separates catch-up from latency: catch-up are messages that were due before their client first tried to take part.

The boundary is the time of the attempt in the open line of the client's first session: the first one that was granted
a subscription. All messages of later sessions count as latency, since the client had taken part before. Files are read
in any order, so messages due before the attempt of a session stay catch-up only until an earlier session is known.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence

from services.contract.histogram import CountedDurations, Histogram

INTERVAL_US = 250_000
"""Catch-up is kept by time of receipt, in intervals of this width, since it may turn out to be latency. The width of a
time bucket is a multiple of it."""
ALWAYS_THERE = -1
"""Stands for the attempt of a session without one that counts: all records were due later, so none is catch-up."""

Late = Callable[[int, CountedDurations], None]
"""Called with the time at which latencies were measured, epoch microseconds, and the latencies."""


class UndecidedMessages:
    """Messages of a session whose open line was not read yet: interval of receipt, due time and latency."""

    def __init__(self) -> None:
        self.intervals, self.due_us, self.late_ns = array("q"), array("q"), array("q")

    def add(self, interval: int, due_us: int, late_ns: int) -> None:
        """Add a message that was received in this interval and due at ``due_us`` by the client's clock."""
        self.intervals.append(interval)
        self.due_us.append(due_us)
        self.late_ns.append(late_ns)

    def messages(self) -> Iterable[tuple[int, int, int]]:
        """Return the messages in the order in which they were added."""
        return zip(self.intervals, self.due_us, self.late_ns, strict=True)


class CatchUp:
    """Separates catch-up from latency for one client. Times are epoch microseconds.

    Args:
        late: called with messages that were kept as catch-up and turned out to be latency.
    """

    __slots__ = ("_attempts", "_early", "_first", "_late", "_undecided", "histogram")

    def __init__(self, late: Late) -> None:
        self.histogram = Histogram()
        """The delays of catch-up messages: from due to received."""
        self._late = late
        self._first: tuple[int, int] | None = None
        self._attempts: dict[int, int] = {}
        self._early: dict[int, Histogram] = {}
        self._undecided: dict[int, UndecidedMessages] = {}

    def grant(self, fence: int, session: int) -> None:
        """Record that a server granted a subscription with this fence to a session."""
        # A session subscribes again after a lost connection, and each subscription has a higher fence: only the lowest
        # one shows which session was the first.
        if self._first is not None and self._first <= (fence, session):
            return
        former, self._first = self._first, (fence, session)
        # Catch-up of a session that turns out not to be the first is latency: the client had taken part before.
        if former is not None and former[1] != session:
            early, self._early, self.histogram = self._early, {}, Histogram()
            for interval, histogram in early.items():
                self._report_late(interval, histogram)

    def add_session(self, fence: int, session: int, attempted_us: int | None) -> None:
        """Add an open line: its fence, its session, and when the process first tried to connect, by its own clock."""
        self.grant(fence, session)
        # The attempt is that of the process, so the open lines of all segments of a session name the same one.
        self._attempts.setdefault(session, ALWAYS_THERE if attempted_us is None else attempted_us)
        if session in self._undecided:
            self._decide(session)

    def attempt_us(self, session: int) -> int | None:
        """Return the time before which a record has to be due to be catch-up of a session, by the client's clock.

        `ALWAYS_THERE` if all its messages are latency, None if that is not known yet.
        """
        attempt_us = self._attempts.get(session)
        # A session whose open line was not read yet may turn out to be the first one.
        is_later = self._first is not None and self._first[1] != session
        return ALWAYS_THERE if is_later and attempt_us is not None else attempt_us

    def split(self, session: int, received_us: Sequence[int], late_ns: Sequence[int], offset_us: int) -> list[int]:
        """Keep the messages of a block that are catch-up, or may be; return the latencies of the others.

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
            # By the client's clock, since the time of the attempt in the open line is by that clock, too.
            due_us = at_us - latency_ns // 1000 - offset_us
            if attempt_us is None:
                self._undecided.setdefault(session, UndecidedMessages()).add(at_us // INTERVAL_US, due_us, latency_ns)
            elif due_us < attempt_us:
                early.setdefault(at_us // INTERVAL_US, []).append(latency_ns)
            else:
                others.append(latency_ns)
        self._keep(early)
        return others

    def merge(self, other: CatchUp) -> None:
        """Add the messages of other files of the client."""
        # First, so that each knows which session of both was the first.
        mine, theirs = self._first, other._first
        if theirs is not None:
            self.grant(*theirs)
        if mine is not None:
            other.grant(*mine)
        for session, waiting in other._undecided.items():
            messages = self._undecided.setdefault(session, UndecidedMessages())
            for message in waiting.messages():
                messages.add(*message)
        for session, attempt_us in other._attempts.items():
            self._attempts.setdefault(session, attempt_us)
        for interval, histogram in other._early.items():
            self._early.setdefault(interval, Histogram()).merge(histogram)
        self.histogram.merge(other.histogram)
        for session in self._undecided.keys() & self._attempts.keys():
            self._decide(session)

    def undecided(self) -> dict[int, Histogram]:
        """Return latencies that may turn out to be catch-up, by time of receipt.

        They count as latency until the open line of their session is read.
        """
        undecided: dict[int, Histogram] = {}
        for waiting in self._undecided.values():
            late: dict[int, list[int]] = {}
            for interval, _, late_ns in waiting.messages():
                late.setdefault(interval, []).append(late_ns)
            for interval, latencies in late.items():
                undecided.setdefault(interval * INTERVAL_US, Histogram()).record(latencies)
        return undecided

    def _keep(self, early: dict[int, list[int]]) -> None:
        for interval, latencies in early.items():
            self._early.setdefault(interval, Histogram()).record(latencies)
            self.histogram.record(latencies)

    def _decide(self, session: int) -> None:
        attempt_us = self._attempts[session] if self._first and self._first[1] == session else ALWAYS_THERE
        early: dict[int, list[int]] = {}
        late: dict[int, list[int]] = {}
        for interval, due_us, late_ns in self._undecided.pop(session).messages():
            (early if due_us < attempt_us else late).setdefault(interval, []).append(late_ns)
        self._keep(early)
        for interval, latencies in late.items():
            histogram = Histogram()
            histogram.record(latencies)
            self._report_late(interval, histogram)

    def _report_late(self, interval: int, latencies: Histogram) -> None:
        if latencies.count:
            self._late(interval * INTERVAL_US, latencies.counted())
