"""What one client received of records that were due before it first tried to take part: catch-up, and no latency.

The boundary is the attempt that the open line of the client's first session names, the first to which a server granted
a subscription. What later sessions receive is latency, however old it is: the client had been there. Files are read
in any order, so what is due before the attempt of a session counts as caught up only while no earlier one is known.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence

from services.contract.histogram import CountedDurations, Histogram

PLACE_US = 250_000
"""Catch-up is kept by the time of its receipt, in stretches of this width: should it turn out to be latency, it is
entered there. No slot of the timeline is narrower, and all are multiples of it."""
ALWAYS_THERE = -1
"""Stands for the attempt of a session that has none that counts: every record is due later."""

Late = Callable[[int, CountedDurations], None]
"""Takes latencies, and at which moment they were measured, epoch microseconds."""


class UndecidedMessages:
    """Messages of a session whose open line was not read yet: when they came, when they were due, and how late."""

    def __init__(self) -> None:
        self.places, self.due_us, self.late_ns = array("q"), array("q"), array("q")

    def take(self, place: int, due_us: int, late_ns: int) -> None:
        """Take one message; when it was due is by the client's clock."""
        self.places.append(place)
        self.due_us.append(due_us)
        self.late_ns.append(late_ns)

    def messages(self) -> Iterable[tuple[int, int, int]]:
        """Return them as they were taken."""
        return zip(self.places, self.due_us, self.late_ns, strict=True)


class CatchUp:
    """Tells catch-up from latency, for one client. Times are epoch microseconds.

    Args:
        late: takes what turned out to be latency.
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

    def granted(self, fence: int, session: int) -> None:
        """Note that a server granted a subscription with this fence to a session."""
        if self._first is not None and self._first <= (fence, session):
            return
        former, self._first = self._first, (fence, session)
        if former is not None and former[1] != session:
            early, self._early, self.histogram = self._early, {}, Histogram()
            for place, some in early.items():
                self._tell_late(place, some)

    def opened(self, fence: int, session: int, attempted_us: int | None) -> None:
        """Note an open line: under which fence, and when its process first tried to connect, by its own clock."""
        self.granted(fence, session)
        self._attempts.setdefault(session, ALWAYS_THERE if attempted_us is None else attempted_us)
        if session in self._undecided:
            self._decide(session)

    def attempt_us(self, session: int) -> int | None:
        """Return before which time a record is caught up that this session received, by the client's clock.

        `ALWAYS_THERE` when all of them are latency, None when that is not known yet.
        """
        attempt_us = self._attempts.get(session)
        # A session whose open line was not read yet may have been the first of all.
        is_later = self._first is not None and self._first[1] != session
        return ALWAYS_THERE if is_later and attempt_us is not None else attempt_us

    def take(self, session: int, came_us: Sequence[int], late_ns: Sequence[int], offset_us: int) -> list[int]:
        """Take messages of a block of which some may be caught up; return the latencies of the others.

        Args:
            session: which received them.
            came_us: when each came, by the server's clock.
            late_ns: how long after its due time each came.
            offset_us: the server's clock minus the client's.
        """
        attempt_us = self.attempt_us(session)
        early: dict[int, list[int]] = {}
        others: list[int] = []
        for at_us, latency_ns in zip(came_us, late_ns, strict=True):
            due_us = at_us - latency_ns // 1000 - offset_us
            if attempt_us is None:
                self._undecided.setdefault(session, UndecidedMessages()).take(at_us // PLACE_US, due_us, latency_ns)
            elif due_us < attempt_us:
                early.setdefault(at_us // PLACE_US, []).append(latency_ns)
            else:
                others.append(latency_ns)
        self._enter(early)
        return others

    @property
    def is_open(self) -> bool:
        """Whether there is anything that may turn out to be latency."""
        return bool(self._early or self._undecided)

    def undecided(self) -> dict[int, Histogram]:
        """Return the latencies of which nothing is known yet but that they are, by the time of their receipt.

        Until an open line says that they were caught up they are latency.
        """
        found: dict[int, Histogram] = {}
        for waiting in self._undecided.values():
            late: dict[int, list[int]] = {}
            for place, _, late_ns in waiting.messages():
                late.setdefault(place, []).append(late_ns)
            for place, some in late.items():
                found.setdefault(place * PLACE_US, Histogram()).record(some)
        return found

    def _enter(self, early: dict[int, list[int]]) -> None:
        for place, some in early.items():
            self._early.setdefault(place, Histogram()).record(some)
            self.histogram.record(some)

    def _decide(self, session: int) -> None:
        attempt_us = self._attempts[session] if self._first and self._first[1] == session else ALWAYS_THERE
        early: dict[int, list[int]] = {}
        late: dict[int, list[int]] = {}
        for place, due_us, late_ns in self._undecided.pop(session).messages():
            (early if due_us < attempt_us else late).setdefault(place, []).append(late_ns)
        self._enter(early)
        for place, some in late.items():
            histogram = Histogram()
            histogram.record(some)
            self._tell_late(place, histogram)

    def _tell_late(self, place: int, some: Histogram) -> None:
        if some.count:
            self._late(place * PLACE_US, some.counted())
