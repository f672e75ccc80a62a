"""What was received when: the run cut into slots of one width, in bounded memory however long it is.

The width depends on the first and the last moment alone, and a wider slot is the sum of the narrower ones in it: so
whatever the order in which clients and blocks are read, the same slots remain.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import zip_longest
from typing import Protocol

from services.collector.reconcile.tally import Tally
from services.contract.histogram import Histogram
from services.contract.timeline import MOST_SLOTS, Slot

FINEST_US = 250_000
"""The width of a slot while all of them are few enough; then it doubles."""
GATHERED = 8192
"""So many messages of one client and slot are counted at once: what counting costs is mostly to begin it."""
_NOTHING = -1.0


class Receiver(Protocol):
    """One client, which counts the durations of its messages."""

    def count(self, latency: Histogram, transit: Histogram) -> None:
        """Count the durations of some of its messages."""


class TimeSlot:
    """All that was received within one slot."""

    __slots__ = ("_made", "bytes", "latency", "messages", "transit", "worst")

    def __init__(self) -> None:
        self.messages = self.bytes = 0
        self.latency, self.transit = Tally(), Tally()
        self.worst = (array("f"), array("f"))
        """The longest latency and the longest transit by number of client, negative where it received nothing."""
        self._made: tuple[tuple[int, int, bool], Slot] | None = None

    def add(self, number: int, count: int, size: int, latency: Histogram, transit: Histogram) -> None:
        """Count so many messages of one client, ``size`` bytes of records, and the durations that are known of them."""
        self.messages, self.bytes = self.messages + count, self.bytes + size
        for durations, worst, some in zip((self.latency, self.transit), self.worst, (latency, transit), strict=True):
            durations.add(some)
            worst.extend([_NOTHING] * (number + 1 - len(worst)))
            if some.max is not None:
                worst[number] = max(worst[number], some.max, 0)

    def merge(self, other: TimeSlot) -> None:
        """Count what was received within another slot."""
        self.messages, self.bytes = self.messages + other.messages, self.bytes + other.bytes
        self.latency.merge(other.latency)
        self.transit.merge(other.transit)
        for worst, others in zip(self.worst, other.worst, strict=True):
            worst[:] = array("f", [max(pair) for pair in zip_longest(worst, others, fillvalue=_NOTHING)])

    def slot(self, at_us: int, *, scheduled: bool) -> Slot:
        """Return what is told of the slot that begins at ``at_us``; without a schedule nothing is late."""
        # Nearly all slots are over: nothing of them changes from one telling to the next.
        key = (at_us, self.messages, scheduled)
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


class TimeSlots:
    """The slots of one run, all clients together. Moments are epoch microseconds."""

    def __init__(self) -> None:
        self.step_us = FINEST_US
        self._slots: dict[int, TimeSlot] = {}
        self._first_us: int | None = None
        self._last_us = 0
        self._numbers: dict[Receiver, int] = {}
        self._who: Receiver | None = None
        self._place = self._count = self._size = 0
        self._latencies: list[int] = []
        self._transits: list[int] = []

    def cover(self, first_us: int, last_us: int | None = None) -> None:
        """Have slots from one moment to another, or at one, and as wide as that takes."""
        last_us = first_us if last_us is None else last_us
        if self._first_us is None:
            self._first_us, self._last_us = first_us, last_us
        elif first_us < self._first_us or last_us > self._last_us:
            self._first_us, self._last_us = min(self._first_us, first_us), max(self._last_us, last_us)
        else:
            return
        step_us = self.step_us
        while self._last_us // step_us - self._first_us // step_us >= MOST_SLOTS:
            step_us *= 2
        if step_us > self.step_us:
            self._widen(step_us)

    def _widen(self, step_us: int) -> None:
        self.settle()
        narrow, by = self._slots, step_us // self.step_us
        self.step_us, self._slots = step_us, {}
        for place, slot in narrow.items():
            if place // by in self._slots:
                self._slots[place // by].merge(slot)
            else:
                self._slots[place // by] = slot

    def take(
        self, who: Receiver, place: int, latencies: Sequence[int], transits: Sequence[int], count: int, size: int
    ) -> None:
        """Take messages that a client received within one slot, the ``place``-th since 1970.

        They are counted when messages of another slot or client come, or when `settle` is called.

        Args:
            who: the client.
            place: moment of their receipt over `step_us`, rounded down; covered.
            latencies: of the messages, as far as they are known.
            transits: likewise.
            count: of the messages, at least one.
            size: bytes of their records.
        """
        if who is not self._who or place != self._place or self._count >= GATHERED:
            self.settle()
            self._who, self._place = who, place
        self._latencies += latencies
        self._transits += transits
        self._count, self._size = self._count + count, self._size + size

    def settle(self) -> None:
        """Count what was taken and not counted yet."""
        if self._who is None:
            return
        latency, transit = Histogram(), Histogram()
        latency.record(self._latencies)
        transit.record(self._transits)
        self._who.count(latency, transit)
        slot = self._slots.get(self._place)
        if slot is None:
            slot = self._slots[self._place] = TimeSlot()
        number = self._numbers.setdefault(self._who, len(self._numbers))
        slot.add(number, self._count, self._size, latency, transit)
        self._who, self._count, self._size = None, 0, 0
        self._latencies.clear()
        self._transits.clear()

    def slots(self, *, scheduled: bool) -> list[Slot]:
        """Return every slot from the first moment to the last, those in which nothing came too."""
        return [
            Slot(at_us=place * self.step_us, messages=0, bytes=0, latency=None, transit=None, heat=[])
            if slot is None
            else slot.slot(place * self.step_us, scheduled=scheduled)
            for place, slot in self._told()
        ]

    def worst(self, every: Sequence[Receiver], *, scheduled: bool) -> list[list[int | None]]:
        """Return of each of these clients the longest latency (transit without a schedule) in every slot."""
        told, empty = self._told(), array("f")
        # A client that received nothing has no number, and the next one to be given has no entry.
        numbers = [self._numbers.get(who, len(self._numbers)) for who in every]
        rows = []
        for _, slot in told:
            row = slot.worst[not scheduled] if slot else empty
            found = [row[number] if number < len(row) else _NOTHING for number in numbers]
            rows.append([None if worst < 0 else int(worst) for worst in found])
        return list(map(list, zip(*rows, strict=True))) if rows else [[] for _ in every]

    def _told(self) -> list[tuple[int, TimeSlot | None]]:
        self.settle()
        if self._first_us is None:
            return []
        first, last = self._first_us // self.step_us, self._last_us // self.step_us
        return [(place, self._slots.get(place)) for place in range(first, last + 1)]
