"""When one client received what: everything in its block log that has to do with time."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from itertools import groupby

from services.collector.reconcile.bars import Bars, Room
from services.collector.reconcile.blocks import Content
from services.collector.reconcile.edges import Edges
from services.collector.reconcile.moments import bounded
from services.collector.reconcile.silence import Silences
from services.collector.reconcile.spread import Spread
from services.collector.reconcile.timeslots import TimeSlots
from services.contract.blocklog import Block, Message
from services.contract.histogram import Histogram

GATHERED = 256
"""So many blocks' durations are counted at once."""


class RunTimes:
    """What the times of all clients of one run are entered into together."""

    def __init__(self) -> None:
        self.spread = Spread()
        self.slots = TimeSlots()
        self.room = Room()


class ClientTimes:
    """The times of one client. Moments are epoch microseconds on the server's clock."""

    def __init__(self, client: str, run: RunTimes) -> None:
        self.client = client
        self.first_us: int | None = None
        self.last_us: int | None = None
        self.bars = Bars(run.room)
        self.edges = Edges()
        self.silences = Silences()
        self._run = run
        self._latency, self._transit, self._durations = Histogram(), Histogram(), Histogram()
        self._lasted = array("q")

    @property
    def latency(self) -> Histogram:
        """From due to received, of all messages."""
        self._run.slots.settle()
        return self._latency

    @property
    def transit(self) -> Histogram:
        """From sent to received, of all messages."""
        self._run.slots.settle()
        return self._transit

    @property
    def durations(self) -> Histogram:
        """From the first message of a block to its last one, of all blocks."""
        self._durations.record(self._lasted)
        del self._lasted[:]
        return self._durations

    def lasted(self, duration_ns: int) -> None:
        """Note how long a block took. It is counted later, with others: one by one they cost much to count."""
        self._lasted.append(duration_ns)
        if len(self._lasted) >= GATHERED:
            self._durations.record(self._lasted)
            del self._lasted[:]

    def count(self, latency: Histogram, transit: Histogram) -> None:
        """Count the durations of some messages."""
        self._latency.merge(latency)
        self._transit.merge(transit)

    def take(self, block: Block, content: Content, stamps: Mapping[str, int]) -> None:
        """Take a block that has messages.

        Args:
            block: the block.
            content: what its messages say of it.
            stamps: the moments they name, on the client's clock; empty when one of them is none.
        """
        if not stamps:
            self._latency.record([message.latency_ns for message in block.messages])
            self._transit.record([message.transit_ns for message in block.messages])
            return
        offset = block.clock_offset_us
        moments = {text: bounded(at_us + offset) for text, at_us in stamps.items()}
        ordered = sorted(set(moments.values()))
        earliest, latest = ordered[0], ordered[-1]
        self.first_us = earliest if self.first_us is None else min(self.first_us, earliest)
        self.last_us = latest if self.last_us is None else max(self.last_us, latest)
        self.bars.take(block, earliest)
        self.silences.take(block, ordered)
        self._enter_edges(block, content, moments)
        self._enter_slots(block, content, moments, earliest, latest)
        spread = self._run.spread
        sampled = content.every(spread.stride(content.spans[-1][1]), block.messages)
        spread.take(self.client, [(one.seq, moments[one.received_at]) for one in sampled])

    def _enter_edges(self, block: Block, content: Content, moments: Mapping[str, int]) -> None:
        messages = block.messages
        if content.in_line:
            first_us, last_us = moments[messages[0].received_at], moments[messages[-1].received_at]
            self.edges.add(block.first, block.last, first_us, last_us)
            return
        came = {message.seq: moments[message.received_at] for message in messages}
        for first, last in content.spans:
            self.edges.add(first, last, came[first], came[last])

    def _enter_slots(
        self, block: Block, content: Content, moments: Mapping[str, int], earliest: int, latest: int
    ) -> None:
        slots = self._run.slots
        slots.cover(earliest, latest)
        step_us = slots.step_us
        if earliest // step_us == latest // step_us:
            slots.take(self, earliest // step_us, block.messages, content.size)
            return

        def place(message: Message) -> int:
            return moments[message.received_at] // step_us

        for at, some in groupby(block.messages, place):
            messages = list(some)
            slots.take(self, at, messages, len(b"".join([message.record for message in messages])))
