"""Formats the result of a fault campaign as text."""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Sequence

from chaos.containers.campaign import Outcome
from chaos.tally import Tally


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least ``share`` of all values do not exceed; ``values`` must not be empty."""
    return sorted(values)[max(0, math.ceil(len(values) * share) - 1)]


def counts(tally: Tally) -> dict[str, int]:
    """Return the number of injected faults by kind."""
    counter: defaultdict[str, int] = defaultdict(int)
    for fault in tally.faults:
        counter[fault.kind] += 1
    return dict(sorted(counter.items()))


def recoveries(tally: Tally) -> list[float]:
    """Return all measured recovery times, in seconds."""
    return [fault.recovery_s for fault in tally.faults if fault.recovery_s is not None]


def table(tally: Tally) -> str:
    """Return a table with a line per kind: faults, measured recoveries, and quantiles of the recovery time."""
    lines = [f"{'kind':20} {'faults':>6} {'measured':>8} {'p50':>7} {'p99':>7} {'max':>7}"]
    for kind, count in counts(tally).items():
        lines.append(_line(kind, count, [f.recovery_s for f in tally.faults if f.kind == kind and f.recovery_s]))
    lines.append(_line("all", len(tally.faults), recoveries(tally)))
    return "\n".join(lines)


def _line(kind: str, count: int, seconds: Sequence[float]) -> str:
    figures = [quantile(seconds, share) for share in (0.5, 0.99, 1.0)] if seconds else []
    return f"{kind:20} {count:6} {len(seconds):8} " + " ".join(f"{value:5.2f} s" for value in figures)


def totals(tally: Tally, outcomes: Sequence[Outcome], seed: int, seconds: float) -> str:
    """Return the totals of a campaign, and a line per stack."""
    beside = sum(fault.beside for fault in tally.faults)
    injected = f"{len(tally.faults)} faults of {len(counts(tally))} kinds, {beside} overlapping"
    load = f"load {os.getloadavg()[2]:.1f} on {os.cpu_count()} cores"
    wrong = f"{tally.lost} lost, {tally.duplicated} twice, {tally.undetected} undetected"
    lines = [f"seed {seed}: {injected}, in {seconds:.0f} s; {tally.checked:,} messages checked, {wrong}; {load}"]
    for outcome in outcomes:
        name, server = outcome.stack_plan.name, f"{outcome.server_mib:.1f} MiB (grew by {outcome.growth_mib:.1f})"
        collector = f"{outcome.collector_mib:.1f} MiB"
        lines.append(f"  {name:8} {outcome.seconds:5.0f} s, server at most {server}, collector at most {collector}")
    return "\n".join(lines)
