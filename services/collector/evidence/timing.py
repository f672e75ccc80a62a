"""When one client received what: everything in its block log that has to do with time."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from itertools import groupby

from services.collector.evidence.block_check import BlockContent
from services.collector.evidence.catch_up import ALWAYS_THERE, CatchUp
from services.collector.evidence.client_groups import GroupComparison
from services.collector.evidence.external_evidence import runs_of
from services.collector.evidence.sampling import BlockSample, BlockSampleLimit, ExternalSpreadSample, SpreadSample
from services.collector.evidence.silence import SilenceFinder
from services.collector.evidence.time_buckets import TimeBuckets
from services.collector.evidence.timestamps import corrected
from services.contract.blocklog import AnyBlock, Block, ExternalBlock, OwnMessage
from services.contract.histogram import CountedDurations, Histogram, PendingDurations


class GapEdges:
    """The moments of the first and the last message of every range of seqs that one client logged.

    What is logged later can only join ranges: so a seq that is at an edge in the end was there from the beginning,
    in whatever order the blocks are read.
    """

    def __init__(self) -> None:
        self._firsts: dict[int, int] = {}
        self._lasts: dict[int, int] = {}

    def add(self, first: int, last: int, first_us: int, last_us: int) -> None:
        """Note a range of seqs, and when its first and last message came. Of several moments the earliest counts."""
        firsts, lasts = self._firsts, self._lasts
        if lasts.pop(first - 1, None) is None:
            firsts[first] = min(first_us, firsts.get(first, first_us))
        if firsts.pop(last + 1, None) is None:
            lasts[last] = min(last_us, lasts.get(last, last_us))

    def around(self, first: int, last: int) -> tuple[int | None, int | None]:
        """Return when the message before a gap came and when the one after it, None where that is not known."""
        return self._lasts.get(first - 1), self._firsts.get(last + 1)


GATHERED = 256
"""So many blocks' durations are counted at once."""


class RunTiming:
    """What the times of all clients of one run are entered into together."""

    def __init__(self) -> None:
        self.spread = SpreadSample()
        self.heard_spread = ExternalSpreadSample()
        self.comparison = GroupComparison()
        self.slots = TimeBuckets()
        self.room = BlockSampleLimit()


class ClientTiming:
    """The times of one client. Moments are epoch microseconds on the server's clock."""

    def __init__(self, client: str, run: RunTiming) -> None:
        self.client = client
        self.first_us: int | None = None
        self.last_us: int | None = None
        self.bars = BlockSample(run.room)
        self.edges = GapEdges()
        self.silences = SilenceFinder()
        self.catch_up = CatchUp(self._turn_out_late)
        self._run = run
        self._latency, self._transit, self._durations = Histogram(), Histogram(), Histogram()
        self._lasted = array("q")

    @property
    def latency(self) -> Histogram:
        """From due to received, of all messages but those that were caught up."""
        self._run.slots.settle()
        undecided = self.catch_up.undecided()
        if not undecided:
            return self._latency
        total = self._latency.copy()
        for some in undecided.values():
            total.merge(some)
        return total

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

    def add(self, latency: CountedDurations, transit: CountedDurations) -> None:
        """Count the durations of some messages."""
        self._latency.add(latency)
        self._transit.add(transit)

    def gather(self, latency: PendingDurations, transit: PendingDurations) -> None:
        """Count the durations of a few messages."""
        self._latency.gather(latency)
        self._transit.gather(transit)

    def take(self, block: AnyBlock, content: BlockContent, stamps: Mapping[str, int]) -> None:
        """Take a block that has messages.

        Args:
            block: the block.
            content: what its messages say of it.
            stamps: the moments they name, on the client's clock; empty when one of them is none.
        """
        if not stamps:
            self._run.slots.take_undated(self, *block.durations_ns())
            return
        moments, ordered = corrected(stamps, block.clock_offset_us or 0)
        earliest, latest = ordered[0], ordered[-1]
        self.first_us = earliest if self.first_us is None else min(self.first_us, earliest)
        self.last_us = latest if self.last_us is None else max(self.last_us, latest)
        self.bars.take(block, earliest)
        self.silences.take(block, ordered)
        self._enter_slots(block, content, moments, earliest, latest)
        if isinstance(block, ExternalBlock):
            self._run.heard_spread.take(self.client, block.messages, moments)
            for first, last, begin, end in runs_of(block.messages):
                self.edges.add(first, last, moments[begin.received_at], moments[end.received_at])
            return
        self._enter_edges(block, content, moments)
        spread = self._run.spread
        sampled = content.every(spread.stride(content.spans[-1][1]), block.messages)
        spread.take(self.client, [(one.seq, moments[one.received_at]) for one in sampled])

    def _enter_edges(self, block: Block, content: BlockContent, moments: Mapping[str, int]) -> None:
        messages = block.messages
        if content.in_line:
            first_us, last_us = moments[messages[0].received_at], moments[messages[-1].received_at]
            self.edges.add(block.first, block.last, first_us, last_us)
            return
        came = {message.seq: moments[message.received_at] for message in messages}
        for first, last in content.spans:
            self.edges.add(first, last, came[first], came[last])

    def _enter_slots(
        self, block: AnyBlock, content: BlockContent, moments: Mapping[str, int], earliest: int, latest: int
    ) -> None:
        slots = self._run.slots
        slots.cover(earliest, latest)
        step_us = slots.step_us
        # Catch-up is told from latency by the time at which a record was due, and only the own feed names it.
        early = block if isinstance(block, Block) and self._may_catch_up(block, content, moments) else None
        if earliest // step_us == latest // step_us:
            durations = block.durations_ns()
            if early is not None:
                durations = self._without_catch_up(early, early.messages, moments), durations[1]
            slots.take(self, earliest // step_us, *durations, block.count, content.size)
            return
        places, begin, left = [moments[message.received_at] // step_us for message in block.messages], 0, content.size
        for at, some in groupby(places):
            end = begin + len(list(some))
            messages = block.messages[begin:end]
            size = len(b"".join([message.record for message in messages])) if end < len(places) else left
            left -= size
            durations = block.durations_ns(begin, end)
            if early is not None:
                durations = self._without_catch_up(early, early.messages[begin:end], moments), durations[1]
            slots.take(self, at, *durations, len(messages), size)
            begin = end

    def _may_catch_up(self, block: Block, content: BlockContent, moments: Mapping[str, int]) -> bool:
        """Tell whether a record of a block may have been due before the client first tried to take part."""
        attempt_us = self.catch_up.attempt_us(block.session)
        if attempt_us is None or not content.in_line:
            return attempt_us != ALWAYS_THERE
        # In the order of the feed the first one was due first: of nearly all blocks no more is looked at.
        first = block.messages[0]
        return moments[first.received_at] - first.latency_ns // 1000 - block.clock_offset_us < attempt_us

    def _without_catch_up(self, block: Block, messages: Sequence[OwnMessage], moments: Mapping[str, int]) -> list[int]:
        came_us = [moments[message.received_at] for message in messages]
        late_ns = [message.latency_ns for message in messages]
        self._run.slots.undecided[self] = self.catch_up.undecided
        return self.catch_up.take(block.session, came_us, late_ns, block.clock_offset_us)

    def _turn_out_late(self, at_us: int, latency: CountedDurations) -> None:
        self._run.slots.take_late(self, at_us, latency)
