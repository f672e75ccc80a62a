"""Sentences about the instrument's own share of a latency, and which broken limits it may explain. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from services.collector import formatting
from services.collector.results.client_result import ClientResult
from services.collector.verdict.thresholds import CATCH_UP, DURATIONS, LONGEST, OPERATORS, ThresholdLimit
from services.contract.summary import InstrumentShare, Threshold

NAMED_SHARE = 0.1
"""A greater part of a latency than this is named wherever the latency is claimed."""


def share_clause(share: InstrumentShare, p99_ns: int | None) -> str:
    """Return a clause to append to a latency: how much of it is the instrument's; empty for a small part."""
    if p99_ns is None or share.p99 is None or share.p99 <= NAMED_SHARE * p99_ns:
        return ""
    return f", of it {formatting.duration(max(0, min(share.p99, p99_ns)))} the instrument's"


def stall_clause(clients: Iterable[ClientResult]) -> str:
    """Return the clause that names the client that did not read for the longest time; empty without any."""
    stalled = [(client.stalled_ns, client.client) for client in clients if client.stalled_ns]
    if not stalled:
        return ""
    longest_ns, name = max(stalled)
    return f"{name} did not read for {formatting.duration(longest_ns)} while its disk was behind"


def explained(limit: ThresholdLimit, threshold: Threshold, clients: Sequence[ClientResult]) -> bool:
    """Return whether a broken limit would hold without the time in which its clients did not read."""
    is_duration = limit.metric in DURATIONS + LONGEST or (limit.metric == CATCH_UP and limit.statistic is not None)
    if not is_duration or threshold.measured is None:
        return False
    stalled_ns = [client.stalled_ns or 0 for client in clients if threshold.client in (None, client.client)]
    least_ns = threshold.measured - max(stalled_ns, default=0)
    return OPERATORS[limit.relation](least_ns, limit.bound)
