"""Durations of a run, all clients together: how long messages, blocks and records took."""

from __future__ import annotations

from dataclasses import dataclass, fields

from services.collector.evidence.sampling import SpreadSample
from services.collector.results.sparse_histogram import EMPTY, SparseHistogram


@dataclass(frozen=True)
class RunDurations:
    """Five histograms of a run.

    Attributes:
        latency: of messages, from due to received; empty without a schedule.
        catch_up: from due to received, of messages that were due before their client first tried to take part. They
            are not in `latency`.
        transit: of messages, from sent to received.
        block: of blocks, from their first message to their last.
        spread: of records, from the first client to the last; sampled.
    """

    latency: SparseHistogram = EMPTY
    catch_up: SparseHistogram = EMPTY
    transit: SparseHistogram = EMPTY
    block: SparseHistogram = EMPTY
    spread: SparseHistogram = EMPTY

    def by_name(self) -> dict[str, SparseHistogram]:
        """Return the histograms by the names that thresholds use."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def merged(self, other: RunDurations, spread: SpreadSample) -> RunDurations:
        """Return the durations of two parts of a run; ``spread`` is the sample of both."""
        sums = {
            name: SparseHistogram.merged([histogram, other.by_name()[name]])
            for name, histogram in self.by_name().items()
            # The spread lies between clients, so that of a run does not follow from the spreads within its parts.
            if name != "spread"
        }
        return RunDurations(**sums, spread=SparseHistogram.of(spread.histogram()))
