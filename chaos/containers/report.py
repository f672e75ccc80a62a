"""What a game of faults comes to, in words and figures."""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Sequence

from chaos.containers.campaign import Outcome
from chaos.tally import Tally


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least such a share of all does not exceed; values are not empty."""
    return sorted(values)[max(0, math.ceil(len(values) * share) - 1)]


def counts(tally: Tally) -> dict[str, int]:
    """Return how often each kind of fault was injected and has ended."""
    found: defaultdict[str, int] = defaultdict(int)
    for fault in tally.faults:
        found[fault.kind] += 1
    return dict(sorted(found.items()))


def recoveries(tally: Tally) -> list[float]:
    """Return every recovery that was measured, in seconds."""
    return [fault.recovery_s for fault in tally.faults if fault.recovery_s is not None]


def table(tally: Tally) -> str:
    """Return a line per kind: how often, how many of them measured, and the quantiles of their recoveries."""
    lines = [f"{'kind':20} {'faults':>6} {'measured':>8} {'p50':>7} {'p99':>7} {'max':>7}"]
    for kind, count in counts(tally).items():
        lines.append(_line(kind, count, [f.recovery_s for f in tally.faults if f.kind == kind and f.recovery_s]))
    lines.append(_line("all", len(tally.faults), recoveries(tally)))
    return "\n".join(lines)


def _line(kind: str, count: int, took: Sequence[float]) -> str:
    figures = [quantile(took, share) for share in (0.5, 0.99, 1.0)] if took else []
    return f"{kind:20} {count:6} {len(took):8} " + " ".join(f"{value:5.2f} s" for value in figures)


def totals(tally: Tally, outcomes: Sequence[Outcome], seed: int, seconds: float) -> str:
    """Return what all came to."""
    beside = sum(fault.beside for fault in tally.faults)
    injected = f"{len(tally.faults)} faults of {len(counts(tally))} kinds, {beside} overlapping"
    load = f"load {os.getloadavg()[2]:.1f} on {os.cpu_count()} cores"
    wrong = f"{tally.lost} lost, {tally.duplicated} twice, {tally.undetected} undetected"
    lines = [f"seed {seed}: {injected}, in {seconds:.0f} s; {tally.checked:,} messages checked, {wrong}; {load}"]
    for one in outcomes:
        server = f"server at most {one.server_mib:.1f} MiB (grew by {one.growth_mib:.1f})"
        lines.append(
            f"  {one.game.name:8} {one.seconds:5.0f} s, {server}, collector at most {one.collector_mib:.1f} MiB"
        )
    return "\n".join(lines)
