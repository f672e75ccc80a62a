"""Counts the messages of a run in time buckets of one width, in bounded memory: a longer run has wider buckets.

The width depends only on the first and the last timestamp, and a wider bucket is the sum of narrower ones.
So the order in which clients and blocks are read does not matter. A bucket is published as a `TimeSlot`.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import zip_longest

from services.collector.evidence.histograms import BucketHistogram, GrowingHistogram
from services.collector.evidence.sparse_histogram import SparseHistogram
from services.contract.histogram import CountedDurations, Histogram, PendingDurations
from services.contract.timeline import MOST_SLOTS, TimeSlot

NOTHING = -1.0
"""Stands for the longest duration if a client received nothing in a bucket."""


class ClientDurations:
    """The durations of all messages of one client, and its index in the arrays of the buckets."""

    __slots__ = ("latency", "number", "transit")

    def __init__(self, number: int) -> None:
        self.number = number
        self.latency, self.transit = GrowingHistogram(), GrowingHistogram()


class BucketPart:
    """Consecutive messages of one client within one bucket, not counted yet."""

    __slots__ = ("bytes", "client", "latency", "messages", "transit")

    def __init__(self, client: ClientDurations) -> None:
        self.client = client
        self.messages = self.bytes = 0
        self.latency, self.transit = PendingDurations(), PendingDurations()

    def add(self, latencies_ns: Sequence[int], transits_ns: Sequence[int], count: int, size: int) -> None:
        """Add more messages."""
        self.messages, self.bytes = self.messages + count, self.bytes + size
        self.latency.add(latencies_ns)
        self.transit.add(transits_ns)


class TimeBucket:
    """The messages that were received within one bucket."""

    __slots__ = ("_pending", "_slot", "bytes", "latency", "messages", "transit", "worst")

    def __init__(self) -> None:
        self.messages = self.bytes = 0
        self.latency, self.transit = BucketHistogram(), BucketHistogram()
        # 32-bit floats keep the seven digits that a timeline has, in half the memory of integers.
        self.worst = (array("f"), array("f"))
        """The longest latency and the longest transit by number of client, negative where it received nothing."""
        self._pending = PendingDurations(), PendingDurations()
        self._slot: tuple[tuple[int, int, int, bool], TimeSlot] | None = None

    def add_counted(self, latency: CountedDurations, transit: CountedDurations) -> None:
        """Add durations that are counted."""
        self.latency.add(latency)
        self.transit.add(transit)

    def add_pending(self, latency: PendingDurations, transit: PendingDurations) -> None:
        """Add durations that are counted together with later ones."""
        for pending, durations in zip(self._pending, (latency, transit), strict=True):
            pending.merge(durations)

    def count_pending(self) -> tuple[CountedDurations, CountedDurations]:
        """Count the durations that are pending, and return them."""
        latency, transit = (pending.counted() for pending in self._pending)
        self._pending = PendingDurations(), PendingDurations()
        self.add_counted(latency, transit)
        return latency, transit

    def add_part(self, number: int, part: BucketPart) -> None:
        """Add the counts and longest durations of a part; `add_counted` or `add_pending` adds all its durations."""
        self.messages, self.bytes = self.messages + part.messages, self.bytes + part.bytes
        for which, durations in enumerate((part.latency, part.transit)):
            self.add_worst(number, which, max(durations.max, 0) if durations.buckets else NOTHING)

    def add_worst(self, number: int, which: int, duration_ns: float) -> None:
        """Add a duration of a client: ``which`` is 0 for a latency, 1 for a transit."""
        worst = self.worst[which]
        if number >= len(worst):
            worst.extend([NOTHING] * (number + 1 - len(worst)))
        worst[number] = max(worst[number], duration_ns)

    def merge(self, other: TimeBucket) -> None:
        """Add the messages of another bucket."""
        self.messages, self.bytes = self.messages + other.messages, self.bytes + other.bytes
        self.latency.merge(other.latency)
        self.transit.merge(other.transit)
        for worst, others in zip(self.worst, other.worst, strict=True):
            worst[:] = array("f", [max(pair) for pair in zip_longest(worst, others, fillvalue=NOTHING)])

    def renumber(self, numbers: Sequence[int]) -> None:
        """Give the clients other numbers: to the one with number n the n-th of ``numbers``."""
        for worst in self.worst:
            known = list(zip(numbers, worst, strict=False))
            worst[:] = array("f", [NOTHING]) * (max(numbers, default=-1) + 1)
            for number, duration in known:
                worst[number] = duration

    def of_clients(self, numbers: Sequence[int]) -> TimeBucket:
        """Return a bucket with the longest durations of some clients alone, which get the numbers 0, 1 and so on."""
        bucket = TimeBucket()
        bucket.messages, bucket.bytes = self.messages, self.bytes
        bucket.latency, bucket.transit = self.latency, self.transit
        for worst, every in zip(bucket.worst, self.worst, strict=True):
            worst.extend(every[number] if number < len(every) else NOTHING for number in numbers)
        return bucket

    def slot(self, at_us: int, *, scheduled: bool) -> TimeSlot:
        """Return the bucket that begins at ``at_us`` as it is published; without a schedule there are no latencies."""
        # Nearly all buckets are in the past and do not change any more, so their slots are cached.
        # Latencies may be added later than their messages, when catch-up turns out to be latency.
        key = (at_us, self.messages, self.latency.count, scheduled)
        if self._slot is None or self._slot[0] != key:
            slot = TimeSlot(
                at_us=at_us,
                messages=self.messages,
                bytes=self.bytes,
                latency=self.latency.summary() if scheduled else None,
                transit=self.transit.summary(),
                heat=(self.latency if scheduled else self.transit).heat(),
            )
            self._slot = key, slot
        return self._slot[1]


FINEST_US = 250_000
"""The smallest width of a bucket. It doubles until `MOST_SLOTS` buckets cover the run."""
MOST_TOGETHER = 8192
"""Consecutive messages of one client and bucket that are counted together, at most."""
MANY = 2048
"""A part with at least this number of messages is counted once, and the counts are added to client, bucket and run. A
smaller part is counted three times, since adding counts would cost more."""
MOST_PENDING = 262_144
"""Messages of small parts that are pending at most, until they are counted bucket by bucket."""
NONE = CountedDurations({}, 0, 0, 0)

Undecided = Callable[[], Mapping[int, Histogram]]
"""Returns latencies by the time of receipt. They are added only in a query, since they may turn out to be catch-up."""


class TimeBuckets:
    """Counts the durations of messages by client, by bucket, and of the whole run. Timestamps are epoch microseconds.

    Messages are counted in batches. Each query counts the rest, so the batches cannot be seen from outside.
    """

    def __init__(self) -> None:
        self.step_us = FINEST_US
        self.undecided: dict[str, Undecided] = {}
        """By client, latencies that may be catch-up."""
        self._buckets: dict[int, TimeBucket] = {}
        self._first_us: int | None = None
        self._last_us = 0
        self._clients: dict[str, ClientDurations] = {}
        self._part: BucketPart | None = None
        self._index = self._pending_count = 0
        self._pending: dict[int, TimeBucket] = {}
        self._latency, self._transit = Histogram(), Histogram()

    @property
    def latency(self) -> Histogram:
        """From due to received, of all messages of all clients."""
        self._count_pending()
        undecided = list(self._undecided())
        if not undecided:
            return self._latency
        total = self._latency.copy()
        for _, _, histogram in undecided:
            total.merge(histogram)
        return total

    @property
    def transit(self) -> Histogram:
        """From sent to received, of all messages of all clients."""
        self._count_pending()
        return self._transit

    def cover(self, first_us: int, last_us: int | None = None) -> None:
        """Extend the buckets to a time, or from one time to another, and widen them if there would be too many."""
        last_us = first_us if last_us is None else last_us
        if self._first_us is None:
            self._first_us, self._last_us = first_us, last_us
        elif first_us < self._first_us or last_us > self._last_us:
            self._first_us, self._last_us = min(self._first_us, first_us), max(self._last_us, last_us)
        else:
            return
        step_us = self.step_us
        while self._last_us // step_us - self._first_us // step_us >= MOST_SLOTS:
            # Doubled and not computed, so that each wider bucket is a sum of whole narrower ones.
            step_us *= 2
        if step_us > self.step_us:
            self._widen(step_us)

    def latency_of(self, client: str) -> SparseHistogram:
        """Return the latencies of one client, without those that are undecided."""
        # This is enough for one client: only buckets and the run have durations pending.
        self._close_part()
        return self._client(client).latency.histogram

    def transit_of(self, client: str) -> SparseHistogram:
        """Return the transits of one client."""
        self._close_part()
        return self._client(client).transit.histogram

    def add(
        self,
        client: str,
        index: int,
        latencies_ns: Sequence[int],
        transits_ns: Sequence[int],
        count: int,
        size: int,
    ) -> None:
        """Add messages that a client received within one bucket.

        Args:
            client: its name.
            index: the time of their receipt over `step_us`, rounded down; covered.
            latencies_ns: of those messages that have one.
            transits_ns: of those messages that have one.
            count: number of messages, at least one.
            size: bytes of their records.
        """
        part, durations = self._part, self._client(client)
        # Blocks of one file are read one after the other, so a part usually grows over many blocks.
        if part is None or part.client is not durations or index != self._index or part.messages >= MOST_TOGETHER:
            self._close_part()
            part = self._part = BucketPart(durations)
            self._index = index
        part.add(latencies_ns, transits_ns, count, size)

    def add_undated(self, client: str, latencies_ns: Sequence[int], transits_ns: Sequence[int]) -> None:
        """Add messages without a readable time: they count for the client and the run, and are in no bucket."""
        durations, latency, transit = self._client(client), PendingDurations(), PendingDurations()
        latency.add(latencies_ns)
        transit.add(transits_ns)
        durations.latency.add_pending(latency)
        durations.transit.add_pending(transit)
        self._add_to_run(latency.counted(), transit.counted())

    def add_late(self, client: str, at_us: int, latency: CountedDurations) -> None:
        """Add latencies of messages that were added without them; ``at_us`` is covered."""
        self._add_latency(self._bucket(at_us // self.step_us), client, latency)
        self._client(client).latency.add(latency)
        self._latency.add(latency)

    def merge(self, other: TimeBuckets) -> None:
        """Add the messages in other files of the run. ``other`` must not be used any more."""
        other._count_pending()
        self._count_pending()
        if other._first_us is not None:
            self.cover(other._first_us, other._last_us)
            # The width follows from the times, so that of both parts together is at least that of each.
            other._widen(self.step_us)
        for name, theirs in other._clients.items():
            mine = self._client(name)
            mine.latency.merge(theirs.latency)
            mine.transit.merge(theirs.transit)
        numbers = [self._client(name).number for name in other._clients]
        for index, bucket in other._buckets.items():
            bucket.renumber(numbers)
            self._bucket(index).merge(bucket)
        self.undecided.update(other.undecided)
        self._latency.merge(other._latency)
        self._transit.merge(other._transit)

    def of_clients(self, clients: Collection[str]) -> TimeBuckets:
        """Return buckets of all clients, with the longest durations of these alone. They share counts with this one."""
        self._count_pending()
        rest, known = TimeBuckets(), [name for name in clients if name in self._clients]
        rest.step_us, rest._first_us, rest._last_us = self.step_us, self._first_us, self._last_us
        numbers = [self._clients[name].number for name in known]
        rest._buckets = {index: bucket.of_clients(numbers) for index, bucket in self._with_undecided().items()}
        for name in known:
            rest._client(name)
        return rest

    def slots(self, *, scheduled: bool) -> list[TimeSlot]:
        """Return the buckets from the first timestamp to the last, also empty ones."""
        return [
            TimeSlot(at_us=index * self.step_us, messages=0, bytes=0, latency=None, transit=None, heat=[])
            if bucket is None
            else bucket.slot(index * self.step_us, scheduled=scheduled)
            for index, bucket in self._all()
        ]

    def worst(self, clients: Sequence[str], *, scheduled: bool) -> list[list[int | None]]:
        """Return each client's longest latency (transit without a schedule) by bucket, None without messages."""
        buckets, empty = self._all(), array("f")
        # A client that received nothing has no index yet; the next free index has no entry in any bucket.
        numbers = [
            self._clients[client].number if client in self._clients else len(self._clients) for client in clients
        ]
        rows = []
        for _, bucket in buckets:
            row = bucket.worst[not scheduled] if bucket else empty
            durations = [row[number] if number < len(row) else NOTHING for number in numbers]
            rows.append([None if duration < 0 else int(duration) for duration in durations])
        return list(map(list, zip(*rows, strict=True))) if rows else [[] for _ in clients]

    def _widen(self, step_us: int) -> None:
        # Pending durations are kept by the indexes of the old width.
        self._count_pending()
        narrow, by = self._buckets, step_us // self.step_us
        self.step_us, self._buckets = step_us, {}
        for index, bucket in narrow.items():
            if index // by in self._buckets:
                self._buckets[index // by].merge(bucket)
            else:
                self._buckets[index // by] = bucket

    def _count_pending(self) -> None:
        self._close_part()
        pending, self._pending, self._pending_count = self._pending, {}, 0
        for bucket in pending.values():
            self._add_to_run(*bucket.count_pending())

    def _close_part(self) -> None:
        part, self._part = self._part, None
        if part is None:
            return
        bucket = self._bucket(self._index)
        bucket.add_part(part.client.number, part)
        if part.messages >= MANY:
            latency, transit = part.latency.counted(), part.transit.counted()
            part.client.latency.add(latency)
            part.client.transit.add(transit)
            bucket.add_counted(latency, transit)
            self._add_to_run(latency, transit)
            return
        part.client.latency.add_pending(part.latency)
        part.client.transit.add_pending(part.transit)
        bucket.add_pending(part.latency, part.transit)
        self._pending[self._index] = bucket
        self._pending_count += part.messages
        if self._pending_count >= MOST_PENDING:
            self._count_pending()

    def _bucket(self, index: int) -> TimeBucket:
        bucket = self._buckets.get(index)
        if bucket is None:
            bucket = self._buckets[index] = TimeBucket()
        return bucket

    def _client(self, client: str) -> ClientDurations:
        durations = self._clients.get(client)
        if durations is None:
            durations = self._clients[client] = ClientDurations(len(self._clients))
        return durations

    def _add_to_run(self, latency: CountedDurations, transit: CountedDurations) -> None:
        self._latency.add(latency)
        self._transit.add(transit)

    def _add_latency(self, bucket: TimeBucket, client: str, latency: CountedDurations) -> None:
        bucket.add_worst(self._client(client).number, 0, max(latency.max, 0))
        bucket.add_counted(latency, NONE)

    def _all(self) -> list[tuple[int, TimeBucket | None]]:
        self._count_pending()
        if self._first_us is None:
            return []
        first, last = self._first_us // self.step_us, self._last_us // self.step_us
        buckets = self._with_undecided()
        return [(index, buckets.get(index)) for index in range(first, last + 1)]

    def _undecided(self) -> Iterator[tuple[str, int, Histogram]]:
        for client, undecided in self.undecided.items():
            for at_us, histogram in undecided().items():
                yield client, at_us, histogram

    def _with_undecided(self) -> Mapping[int, TimeBucket]:
        """Return the buckets including undecided latencies; buckets to which these are added are copies."""
        changed: dict[int, TimeBucket] = {}
        for client, at_us, histogram in self._undecided():
            index = at_us // self.step_us
            if index not in changed:
                changed[index] = TimeBucket()
                if index in self._buckets:
                    changed[index].merge(self._buckets[index])
            self._add_latency(changed[index], client, histogram.counted())
        # The evidence itself stays unchanged: the latencies may still turn out to be catch-up.
        return {**self._buckets, **changed} if changed else self._buckets
