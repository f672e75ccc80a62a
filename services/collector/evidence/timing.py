"""Times in the block log of one client, and the samples and histograms that all clients of a run share."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import groupby

from services.collector.evidence.block_check import BlockContent
from services.collector.evidence.block_run import RunContent
from services.collector.evidence.catch_up import ALWAYS_THERE, CatchUp
from services.collector.evidence.comparison.client_groups import GroupComparison
from services.collector.evidence.external_evidence import runs_of
from services.collector.evidence.histograms import BatchedHistogram
from services.collector.evidence.sampling import BlockSample, BlockSampleLimit, ExternalSpreadSample, SpreadSample
from services.collector.evidence.silence import SilenceFinder
from services.collector.evidence.sparse_histogram import SparseHistogram
from services.collector.evidence.time_buckets import TimeBuckets
from services.collector.evidence.timestamps import corrected
from services.contract.blocklog import AnyBlock, Block, ExternalBlock, OwnMessage
from services.contract.histogram import CountedDurations
from services.contract.scalars import MAX_INTEGER


class GapEdges:
    """When one client received the first and the last message of each range of seqs.

    Blocks that are read later can only join ranges. So a seq that is at the edge of a range in the end was at an edge
    all the time, and the order of reading does not matter.
    """

    __slots__ = ("_firsts", "_lasts")

    def __init__(self) -> None:
        self._firsts: dict[int, int] = {}
        self._lasts: dict[int, int] = {}

    def add(self, first: int, last: int, first_us: int, last_us: int) -> None:
        """Add a range of seqs; if a message was received twice, the earliest time counts."""
        firsts, lasts = self._firsts, self._lasts
        if lasts.pop(first - 1, None) is None:
            firsts[first] = min(first_us, firsts.get(first, first_us))
        if firsts.pop(last + 1, None) is None:
            lasts[last] = min(last_us, lasts.get(last, last_us))

    def merge(self, other: GapEdges) -> None:
        """Add other ranges of seqs: no seq may be in both, and in none of them twice."""
        for first, last in zip(sorted(other._firsts), sorted(other._lasts), strict=True):
            self.add(first, last, other._firsts[first], other._lasts[last])

    def around(self, first: int, last: int) -> tuple[int | None, int | None]:
        """Return when the messages before and after a gap were received, epoch microseconds; None for not known."""
        return self._lasts.get(first - 1), self._firsts.get(last + 1)


class RunTiming:
    """Samples and histograms to which all clients of one run add their times."""

    def __init__(self) -> None:
        self.spread = SpreadSample()
        self.external_spread = ExternalSpreadSample()
        self.comparison = GroupComparison()
        self.buckets = TimeBuckets()
        self.block_limit = BlockSampleLimit()

    def merge(self, other: RunTiming) -> None:
        """Add the times in other files of the run; the clients' own times are merged with their logs."""
        self.spread = self.spread.merged(other.spread)
        self.external_spread.merge(other.external_spread)
        self.comparison.merge(other.comparison)
        self.buckets.merge(other.buckets)


class ClientTiming:
    """The times of one client. Timestamps are epoch microseconds on the server's clock.

    Attributes:
        client: its name.
        first_us: when its first message was received, ``last_us`` its last one; None without any.
        blocks: a sample of its blocks.
        edges: of the ranges of seqs that it received.
        silences: within and between its blocks.
        catch_up: messages that were due before it first tried to take part.
    """

    def __init__(self, client: str, run: RunTiming) -> None:
        self.client = client
        self.first_us: int | None = None
        self.last_us: int | None = None
        self.blocks = BlockSample(run.block_limit)
        self.edges = GapEdges()
        self.silences = SilenceFinder()
        self.catch_up = CatchUp(self._add_late)
        self._run = run
        self._block_durations = BatchedHistogram()

    def join(self, run: RunTiming) -> None:
        """Become a part of ``run``, to which the times of this one were added."""
        self._run = run
        self.blocks.join(run.block_limit)

    def merge(self, other: ClientTiming) -> None:
        """Add the times in other files of the client, whose run was added to this one; see `GapEdges.merge`."""
        self.first_us = min((us for us in (self.first_us, other.first_us) if us is not None), default=None)
        self.last_us = max((us for us in (self.last_us, other.last_us) if us is not None), default=None)
        other._run = self._run
        self.blocks.merge(other.blocks)
        self.edges.merge(other.edges)
        self.silences.merge(other.silences)
        self.catch_up.merge(other.catch_up)
        self._block_durations.merge(other._block_durations)
        if self.client in self._run.buckets.undecided:
            self._run.buckets.undecided[self.client] = self.catch_up.undecided

    @property
    def latency(self) -> SparseHistogram:
        """From due to received, of all messages except catch-up."""
        latency = self._run.buckets.latency_of(self.client)
        # Only a client whose open line was not read yet has any that is undecided.
        return SparseHistogram.merged([latency, *map(SparseHistogram.of, self.catch_up.undecided().values())])

    @property
    def transit(self) -> SparseHistogram:
        """From sent to received, of all messages of this client."""
        return self._run.buckets.transit_of(self.client)

    @property
    def block_durations(self) -> SparseHistogram:
        """From the first message of a block to its last one, of all blocks."""
        return self._block_durations.histogram

    def add_block_duration(self, duration_ns: int) -> None:
        """Add the duration of a block, which may have no messages."""
        self._block_durations.add(duration_ns)

    def add_block(self, block: AnyBlock, content: BlockContent, stamps: Mapping[str, int]) -> Mapping[str, int]:
        """Add a block that has messages; return its timestamps by the server's clock, none when one is not a time.

        Args:
            block: the block.
            content: what its messages hold.
            stamps: epoch microseconds of every ``received_at``, by the client's clock; empty when one is not a time.
        """
        if not stamps:
            self._run.buckets.add_undated(self.client, *block.durations_ns())
            return stamps
        # The clock of an external feed is not measured, so its times stay those of the client.
        timestamps, ordered = corrected(stamps, block.clock_offset_us or 0)
        earliest, latest = ordered[0], ordered[-1]
        self.first_us = earliest if self.first_us is None else min(self.first_us, earliest)
        self.last_us = latest if self.last_us is None else max(self.last_us, latest)
        self.blocks.add(block, earliest)
        self.silences.add_block(block, ordered)
        self._add_to_buckets(block, content, timestamps, earliest, latest)
        return timestamps

    def add_run(self, run: RunContent) -> bool:
        """Add blocks of the own feed together; return False, with nothing added, if a message may be catch-up.

        Also if a time is out of range: `add_block` bounds it.
        """
        offset_us, times_us = run.offset_us, run.times_us
        attempt_us = self.catch_up.attempt_us(run.session)
        if attempt_us is None or times_us[0] + offset_us < 0 or times_us[-1] + offset_us > MAX_INTEGER:
            return False
        # The first message of each block shows it, as in `_may_catch_up`.
        if any(times_us[at] - run.messages[at].latency_ns // 1000 < attempt_us for _, at, _ in run.parts()):
            return False
        if offset_us:
            times_us = [at_us + offset_us for at_us in times_us]
        earliest, latest = times_us[0], times_us[-1]
        self.first_us = earliest if self.first_us is None else min(self.first_us, earliest)
        self.last_us = latest if self.last_us is None else max(self.last_us, latest)
        self._block_durations.add(*[block.duration_ns for block in run.blocks])
        for block, begin, _ in run.parts():
            self.blocks.add(block, times_us[begin])
        self.silences.add_run(run, times_us)
        self._add_run_to_buckets(run, times_us)
        self.edges.add(run.first, run.last, earliest, latest)
        stride = self._run.spread.stride(run.last)
        begin = -run.first % stride
        seqs = range(run.first + begin, run.last + 1, stride)
        self._run.spread.add(self.client, zip(seqs, times_us[begin::stride], strict=True))
        return True

    def _add_run_to_buckets(self, run: RunContent, times_us: Sequence[int]) -> None:
        buckets = self._run.buckets
        buckets.cover(times_us[0], times_us[-1])
        begin, left, count = 0, run.size, len(times_us)
        while begin < count:
            index = times_us[begin] // buckets.step_us
            end = bisect_left(times_us, (index + 1) * buckets.step_us, begin)
            # The last part has the rest of the size, which spares joining its records.
            size = len(b"".join([one.record for one in run.messages[begin:end]])) if end < count else left
            left -= size
            buckets.add(self.client, index, *run.durations_ns(begin, end), end - begin, size)
            begin = end

    def add_external_receipts(self, block: ExternalBlock, timestamps: Mapping[str, int]) -> None:
        """Add when messages of an external feed were received, by their content and by the feed's numbers.

        ``timestamps`` are those that `add_block` returned; without them there is nothing to add.
        """
        if not timestamps:
            return
        self._run.external_spread.add(self.client, block.messages, timestamps)
        for first, last, begin, end in runs_of(block.messages):
            self.edges.add(first, last, timestamps[begin.received_at], timestamps[end.received_at])

    def add_receipts(self, block: Block, content: BlockContent, timestamps: Mapping[str, int]) -> None:
        """Add when messages of the own feed were received, by their seqs.

        ``timestamps`` are those that `add_block` returned, not empty.
        """
        self._add_edges(block, content, timestamps)
        spread = self._run.spread
        sampled = content.every(spread.stride(content.spans[-1][1]), block.messages)
        spread.add(self.client, [(message.seq, timestamps[message.received_at]) for message in sampled])

    def _add_edges(self, block: Block, content: BlockContent, timestamps: Mapping[str, int]) -> None:
        messages = block.messages
        if content.is_in_line:
            first_us, last_us = timestamps[messages[0].received_at], timestamps[messages[-1].received_at]
            self.edges.add(block.first, block.last, first_us, last_us)
            return
        received_us = {message.seq: timestamps[message.received_at] for message in messages}
        for first, last in content.spans:
            self.edges.add(first, last, received_us[first], received_us[last])

    def _add_to_buckets(
        self, block: AnyBlock, content: BlockContent, timestamps: Mapping[str, int], earliest: int, latest: int
    ) -> None:
        buckets = self._run.buckets
        buckets.cover(earliest, latest)
        step_us = buckets.step_us
        # Whether a message is catch-up depends on its due time, which only the own feed has.
        early = block if isinstance(block, Block) and self._may_catch_up(block, content, timestamps) else None
        if earliest // step_us == latest // step_us:
            durations = block.durations_ns()
            if early is not None:
                durations = self._without_catch_up(early, early.messages, timestamps), durations[1]
            buckets.add(self.client, earliest // step_us, *durations, block.count, content.size)
            return
        indexes = [timestamps[message.received_at] // step_us for message in block.messages]
        begin, left = 0, content.size
        for index, part in groupby(indexes):
            end = begin + len(list(part))
            messages = block.messages[begin:end]
            # The last part has the rest of the size, which spares joining its records.
            size = len(b"".join([message.record for message in messages])) if end < len(indexes) else left
            left -= size
            durations = block.durations_ns(begin, end)
            if early is not None:
                durations = self._without_catch_up(early, early.messages[begin:end], timestamps), durations[1]
            buckets.add(self.client, index, *durations, len(messages), size)
            begin = end

    def _may_catch_up(self, block: Block, content: BlockContent, timestamps: Mapping[str, int]) -> bool:
        """Return whether a record of a block may have been due before the client first tried to take part."""
        attempt_us = self.catch_up.attempt_us(block.session)
        if attempt_us is None or not content.is_in_line:
            return attempt_us != ALWAYS_THERE
        # Messages are due in the order of the feed, so for nearly all blocks a look at the first one is enough.
        first = block.messages[0]
        return timestamps[first.received_at] - first.latency_ns // 1000 - block.clock_offset_us < attempt_us

    def _without_catch_up(
        self, block: Block, messages: Sequence[OwnMessage], timestamps: Mapping[str, int]
    ) -> list[int]:
        """Return the latencies of messages without catch-up."""
        received_us = [timestamps[message.received_at] for message in messages]
        late_ns = [message.latency_ns for message in messages]
        # Only clients that may have undecided messages are entered, since each query asks all entries.
        self._run.buckets.undecided[self.client] = self.catch_up.undecided
        return self.catch_up.split(block.session, received_us, late_ns, block.clock_offset_us)

    def _add_late(self, at_us: int, latency: CountedDurations) -> None:
        """Add latencies of messages that were held back as catch-up and turned out not to be."""
        self._run.buckets.add_late(self.client, at_us, latency)
