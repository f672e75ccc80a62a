"""What the timeline of a run draws of the clients of one part, to be merged with that of the other parts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from services.collector.evidence.run_evidence import RunEvidence
from services.collector.evidence.sampling import BlockSample, BlockSampleLimit
from services.collector.evidence.time_buckets import TimeBuckets


class TimeSample:
    """Messages by time, of all clients of the part, and the blocks of those clients that may be drawn.

    Attributes:
        buckets: messages and durations by time, with the longest durations of the clients that may be drawn.
        blocks: a sample of the blocks of each of these clients.
        count: the number of clients that have blocks: the more there are in a run, the fewer blocks are kept of each.
    """

    def __init__(self, buckets: TimeBuckets, blocks: Mapping[str, BlockSample], count: int) -> None:
        self.buckets, self.count = buckets, count
        self.blocks = dict(blocks)

    @classmethod
    def of(cls, evidence: RunEvidence, drawn: Collection[str]) -> TimeSample:
        """Return the sample of a part, which shares its counts: the evidence must not change any more.

        Args:
            evidence: of the part.
            drawn: its clients that may be drawn, all with a log.
        """
        blocks = {name: evidence.logs[name].times.blocks.copy() for name in drawn}
        return cls(evidence.times.buckets.of_clients(drawn), blocks, evidence.times.block_limit.count)

    @classmethod
    def merged(cls, samples: Sequence[TimeSample]) -> TimeSample:
        """Return the sample of a run. The samples of its parts must not be used any more."""
        run = cls(TimeBuckets(), {}, sum(one.count for one in samples))
        limit = BlockSampleLimit.of(run.count)
        for one in samples:
            run.buckets.merge(one.buckets)
            for name, blocks in one.blocks.items():
                blocks.join(limit)
                run.blocks[name] = blocks
        return run
