"""What was measured in a run, all clients together: how long messages, blocks and records took."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from services.collector.evidence.run_evidence import RunEvidence
from services.collector.results.client_result import client_order
from services.collector.results.client_result_external import comparable
from services.contract.histogram import Histogram


@dataclass(frozen=True)
class RunDurations:
    """Five histograms that nobody adds to any more.

    Attributes:
        latency: of messages, from due to received; empty without a schedule.
        catch_up: likewise, of messages that were due before their client first tried to take part: not in `latency`.
        transit: of messages, from sent to received.
        block: of blocks, from their first message to their last.
        spread: of records, from the first client to the last; sampled.
    """

    latency: Histogram
    catch_up: Histogram
    transit: Histogram
    block: Histogram
    spread: Histogram

    def by_name(self) -> dict[str, Histogram]:
        """Return them by the names that thresholds know them by."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def measured(books: RunEvidence) -> RunDurations:
    """Return what was measured in a run until now; books that go on do not change it."""
    # Without a schedule nothing is due, so there is nothing to be late for.
    scheduled = books.ledger.rate != 0
    books.settle()
    return RunDurations(
        latency=books.times.slots.latency.copy() if scheduled else Histogram(),
        catch_up=_merged(log.times.catch_up.histogram for log in books.logs.values() if scheduled),
        transit=books.times.slots.transit.copy(),
        block=_merged(log.times.durations for log in books.logs.values()),
        spread=_heard_spread(books) if books.is_one_sided else books.times.spread.histogram(),
    )


def _heard_spread(books: RunEvidence) -> Histogram:
    names = sorted((name for name, log in books.logs.items() if not log.is_empty), key=client_order)
    return books.times.heard_spread.histogram(comparable(books, names))


def _merged(histograms: Iterable[Histogram]) -> Histogram:
    total = Histogram()
    for histogram in histograms:
        total.merge(histogram)
    return total
