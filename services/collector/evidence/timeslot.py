"""All that was received within one slot of time, and what of it is not counted yet."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import zip_longest
from typing import Protocol

from services.collector.evidence.bucket_histogram import Tally
from services.contract.histogram import Counted, Gathered
from services.contract.timeline import Slot

NOTHING = -1.0
"""Stands for the longest duration of a client that received nothing."""


class Receiver(Protocol):
    """One client, which counts the durations of its messages."""

    def add(self, latency: Counted, transit: Counted) -> None:
        """Count the durations of some of its messages."""

    def gather(self, latency: Gathered, transit: Gathered) -> None:
        """Count the durations of a few of its messages."""


class Part:
    """Messages that one client received within one slot, not counted yet."""

    __slots__ = ("bytes", "latency", "messages", "transit", "who")

    def __init__(self, who: Receiver) -> None:
        self.who = who
        self.messages = self.bytes = 0
        self.latency, self.transit = Gathered(), Gathered()

    def take(self, latencies: Sequence[int], transits: Sequence[int], count: int, size: int) -> None:
        """Take more of them."""
        self.messages, self.bytes = self.messages + count, self.bytes + size
        self.latency.take(latencies)
        self.transit.take(transits)


class TimeSlot:
    """All that was received within one slot."""

    __slots__ = ("_made", "_waiting", "bytes", "latency", "messages", "transit", "worst")

    def __init__(self) -> None:
        self.messages = self.bytes = 0
        self.latency, self.transit = Tally(), Tally()
        self.worst = (array("f"), array("f"))
        """The longest latency and the longest transit by number of client, negative where it received nothing."""
        self._waiting = Gathered(), Gathered()
        self._made: tuple[tuple[int, int, int, bool], Slot] | None = None

    def add(self, latency: Counted, transit: Counted) -> None:
        """Count durations."""
        self.latency.add(latency)
        self.transit.add(transit)

    def gather(self, latency: Gathered, transit: Gathered) -> None:
        """Take durations that are to be counted later, with others."""
        for waiting, some in zip(self._waiting, (latency, transit), strict=True):
            waiting.merge(some)

    def settled(self) -> tuple[Counted, Counted]:
        """Count what waits for it, and return what that was."""
        latency, transit = (waiting.counted() for waiting in self._waiting)
        self._waiting = Gathered(), Gathered()
        self.add(latency, transit)
        return latency, transit

    def note(self, number: int, part: Part) -> None:
        """Note what a client received: how much, and how long it took at worst."""
        self.messages, self.bytes = self.messages + part.messages, self.bytes + part.bytes
        for which, some in enumerate((part.latency, part.transit)):
            self.note_worst(number, which, max(some.max, 0) if some.buckets else NOTHING)

    def note_worst(self, number: int, which: int, duration_ns: float) -> None:
        """Note a duration of a client: 0 for a latency, 1 for a transit."""
        worst = self.worst[which]
        if number >= len(worst):
            worst.extend([NOTHING] * (number + 1 - len(worst)))
        worst[number] = max(worst[number], duration_ns)

    def merge(self, other: TimeSlot) -> None:
        """Count what was received within another slot."""
        self.messages, self.bytes = self.messages + other.messages, self.bytes + other.bytes
        self.latency.merge(other.latency)
        self.transit.merge(other.transit)
        for worst, others in zip(self.worst, other.worst, strict=True):
            worst[:] = array("f", [max(pair) for pair in zip_longest(worst, others, fillvalue=NOTHING)])

    def slot(self, at_us: int, *, scheduled: bool) -> Slot:
        """Return what is told of the slot that begins at ``at_us``; without a schedule nothing is late."""
        # Nearly all slots are over: nothing of them changes from one telling to the next.
        key = (at_us, self.messages, self.latency.count, scheduled)
        if self._made is None or self._made[0] != key:
            told = Slot(
                at_us=at_us,
                messages=self.messages,
                bytes=self.bytes,
                latency=self.latency.summary() if scheduled else None,
                transit=self.transit.summary(),
                heat=(self.latency if scheduled else self.transit).heat(),
            )
            self._made = key, told
        return self._made[1]
