"""What was received when: the run cut into slots of one width, in bounded memory however long it is.

The width depends on the first and the last moment alone, and a wider slot is the sum of the narrower ones in it: so
whatever the order in which clients and blocks are read, the same slots remain.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Protocol

from services.collector.evidence.bucket_histogram import BucketHistogram
from services.contract.histogram import CountedDurations, Histogram, PendingDurations
from services.contract.timeline import MOST_SLOTS, TimeSlot

NOTHING = -1.0
"""Stands for the longest duration of a client that received nothing."""


class MessageCounter(Protocol):
    """One client, which counts the durations of its messages."""

    def add(self, latency: CountedDurations, transit: CountedDurations) -> None:
        """Count the durations of some of its messages."""

    def gather(self, latency: PendingDurations, transit: PendingDurations) -> None:
        """Count the durations of a few of its messages."""


class BucketPart:
    """Messages that one client received within one slot, not counted yet."""

    __slots__ = ("bytes", "latency", "messages", "transit", "who")

    def __init__(self, who: MessageCounter) -> None:
        self.who = who
        self.messages = self.bytes = 0
        self.latency, self.transit = PendingDurations(), PendingDurations()

    def take(self, latencies: Sequence[int], transits: Sequence[int], count: int, size: int) -> None:
        """Take more of them."""
        self.messages, self.bytes = self.messages + count, self.bytes + size
        self.latency.take(latencies)
        self.transit.take(transits)


class TimeBucket:
    """All that was received within one slot."""

    __slots__ = ("_made", "_waiting", "bytes", "latency", "messages", "transit", "worst")

    def __init__(self) -> None:
        self.messages = self.bytes = 0
        self.latency, self.transit = BucketHistogram(), BucketHistogram()
        self.worst = (array("f"), array("f"))
        """The longest latency and the longest transit by number of client, negative where it received nothing."""
        self._waiting = PendingDurations(), PendingDurations()
        self._made: tuple[tuple[int, int, int, bool], TimeSlot] | None = None

    def add(self, latency: CountedDurations, transit: CountedDurations) -> None:
        """Count durations."""
        self.latency.add(latency)
        self.transit.add(transit)

    def gather(self, latency: PendingDurations, transit: PendingDurations) -> None:
        """Take durations that are to be counted later, with others."""
        for waiting, some in zip(self._waiting, (latency, transit), strict=True):
            waiting.merge(some)

    def settled(self) -> tuple[CountedDurations, CountedDurations]:
        """Count what waits for it, and return what that was."""
        latency, transit = (waiting.counted() for waiting in self._waiting)
        self._waiting = PendingDurations(), PendingDurations()
        self.add(latency, transit)
        return latency, transit

    def note(self, number: int, part: BucketPart) -> None:
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

    def merge(self, other: TimeBucket) -> None:
        """Count what was received within another slot."""
        self.messages, self.bytes = self.messages + other.messages, self.bytes + other.bytes
        self.latency.merge(other.latency)
        self.transit.merge(other.transit)
        for worst, others in zip(self.worst, other.worst, strict=True):
            worst[:] = array("f", [max(pair) for pair in zip_longest(worst, others, fillvalue=NOTHING)])

    def slot(self, at_us: int, *, scheduled: bool) -> TimeSlot:
        """Return what is told of the slot that begins at ``at_us``; without a schedule nothing is late."""
        # Nearly all slots are over: nothing of them changes from one telling to the next.
        key = (at_us, self.messages, self.latency.count, scheduled)
        if self._made is None or self._made[0] != key:
            told = TimeSlot(
                at_us=at_us,
                messages=self.messages,
                bytes=self.bytes,
                latency=self.latency.summary() if scheduled else None,
                transit=self.transit.summary(),
                heat=(self.latency if scheduled else self.transit).heat(),
            )
            self._made = key, told
        return self._made[1]


FINEST_US = 250_000
"""The width of a slot while all of them are few enough; then it doubles."""
GATHERED = 8192
"""So many messages of one client and slot are taken together, at most."""
MANY = 2048
"""So many are counted once, and their counts added to client, slot and run; of fewer, adding costs more."""
NONE = CountedDurations({}, 0, 0, 0)
MOST_WAITING = 262_144
"""So many messages, of which there are few of each client and slot, wait to be counted slot by slot."""


class TimeBuckets:
    """The slots of one run, all clients together. Moments are epoch microseconds."""

    def __init__(self) -> None:
        self.step_us = FINEST_US
        self._slots: dict[int, TimeBucket] = {}
        self._first_us: int | None = None
        self._last_us = 0
        self._numbers: dict[MessageCounter, int] = {}
        self._part: BucketPart | None = None
        self._place = self._count = 0
        self._waiting: dict[int, TimeBucket] = {}
        self.undecided: dict[MessageCounter, Callable[[], Mapping[int, Histogram]]] = {}
        """By client: what gives the latencies, by the moment of receipt, that are added only when they are asked for:
        one day they may turn out to be none."""
        self._latency, self._transit = Histogram(), Histogram()

    @property
    def latency(self) -> Histogram:
        """From due to received, of all messages of all clients."""
        self.settle()
        undecided = list(self._undecided())
        if not undecided:
            return self._latency
        total = self._latency.copy()
        for _, _, some in undecided:
            total.merge(some)
        return total

    @property
    def transit(self) -> Histogram:
        """From sent to received, of all messages of all clients."""
        self.settle()
        return self._transit

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
        self, who: MessageCounter, place: int, latencies: Sequence[int], transits: Sequence[int], count: int, size: int
    ) -> None:
        """Take messages that a client received within one slot, the ``place``-th since 1970.

        They are counted when there are many, or when `settle` is called.

        Args:
            who: the client.
            place: moment of their receipt over `step_us`, rounded down; covered.
            latencies: of the messages, as far as they are known.
            transits: likewise.
            count: of the messages, at least one.
            size: bytes of their records.
        """
        part = self._part
        if part is None or part.who is not who or place != self._place or part.messages >= GATHERED:
            self._close()
            part = self._part = BucketPart(who)
            self._place = place
        part.take(latencies, transits, count, size)

    def take_undated(self, who: MessageCounter, latencies: Sequence[int], transits: Sequence[int]) -> None:
        """Take messages of which nobody knows when they came: they belong to no slot."""
        part = BucketPart(who)
        part.take(latencies, transits, 0, 0)
        who.gather(part.latency, part.transit)
        self._latency.gather(part.latency)
        self._transit.gather(part.transit)

    def take_late(self, who: MessageCounter, at_us: int, latency: CountedDurations) -> None:
        """Take latencies of messages that were taken without them, measured at a moment that is covered."""
        self._enter_late(self._slot(at_us // self.step_us), who, latency)
        who.add(latency, NONE)
        self._add(latency, NONE)

    def _enter_late(self, slot: TimeBucket, who: MessageCounter, latency: CountedDurations) -> None:
        slot.note_worst(self._numbers.setdefault(who, len(self._numbers)), 0, max(latency.max, 0))
        slot.add(latency, NONE)

    def settle(self) -> None:
        """Count what was taken and not counted yet."""
        self._close()
        waiting, self._waiting, self._count = self._waiting, {}, 0
        for slot in waiting.values():
            self._add(*slot.settled())

    def _close(self) -> None:
        part, self._part = self._part, None
        if part is None:
            return
        slot = self._slot(self._place)
        slot.note(self._numbers.setdefault(part.who, len(self._numbers)), part)
        if part.messages >= MANY:
            latency, transit = part.latency.counted(), part.transit.counted()
            part.who.add(latency, transit)
            slot.add(latency, transit)
            self._add(latency, transit)
            return
        part.who.gather(part.latency, part.transit)
        slot.gather(part.latency, part.transit)
        self._waiting[self._place] = slot
        self._count += part.messages
        if self._count >= MOST_WAITING:
            self.settle()

    def _slot(self, place: int) -> TimeBucket:
        slot = self._slots.get(place)
        if slot is None:
            slot = self._slots[place] = TimeBucket()
        return slot

    def _add(self, latency: CountedDurations, transit: CountedDurations) -> None:
        self._latency.add(latency)
        self._transit.add(transit)

    def slots(self, *, scheduled: bool) -> list[TimeSlot]:
        """Return every slot from the first moment to the last, those in which nothing came too."""
        return [
            TimeSlot(at_us=place * self.step_us, messages=0, bytes=0, latency=None, transit=None, heat=[])
            if slot is None
            else slot.slot(place * self.step_us, scheduled=scheduled)
            for place, slot in self._told()
        ]

    def worst(self, every: Sequence[MessageCounter | None], *, scheduled: bool) -> list[list[int | None]]:
        """Return of each of these clients the longest latency (transit without a schedule) in every slot."""
        told, empty = self._told(), array("f")
        # A client that received nothing has no number, and the next one to be given has no entry.
        unknown = len(self._numbers)
        numbers = [unknown if who is None else self._numbers.get(who, unknown) for who in every]
        rows = []
        for _, slot in told:
            row = slot.worst[not scheduled] if slot else empty
            found = [row[number] if number < len(row) else NOTHING for number in numbers]
            rows.append([None if worst < 0 else int(worst) for worst in found])
        return list(map(list, zip(*rows, strict=True))) if rows else [[] for _ in every]

    def _told(self) -> list[tuple[int, TimeBucket | None]]:
        self.settle()
        if self._first_us is None:
            return []
        first, last = self._first_us // self.step_us, self._last_us // self.step_us
        slots = self._with_undecided()
        return [(place, slots.get(place)) for place in range(first, last + 1)]

    def _undecided(self) -> Iterator[tuple[MessageCounter, int, Histogram]]:
        for who, ask in self.undecided.items():
            for at_us, some in ask().items():
                yield who, at_us, some

    def _with_undecided(self) -> Mapping[int, TimeBucket]:
        changed: dict[int, TimeBucket] = {}
        for who, at_us, some in self._undecided():
            place = at_us // self.step_us
            if place not in changed:
                changed[place] = TimeBucket()
                changed[place].merge(self._slot(place))
            self._enter_late(changed[place], who, some.counted())
        return {**self._slots, **changed} if changed else self._slots
