"""The check whether any process was too slow to measure: event loop lag, and time stopped by a CPU limit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from services.collector import formatting
from services.collector.evidence.saturation import SaturationEvidence
from services.collector.verdict.check_types import CheckAnswer

LATE_NS = 250_000_000
"""A process whose event loop lag has a higher p99 than this was not fit to measure."""

THROTTLED_SHARE = 0.05
"""Nor was a process that its CPU limit stopped for a greater part of the run."""

_MOST = 5
"""Processes that are named, at most."""


def judge(processes: Sequence[tuple[str, SaturationEvidence]], run_ns: int | None) -> CheckAnswer:
    """Return whether the processes were fit to measure a run.

    Args:
        processes: the name of each for a sentence, and its own measurements.
        run_ns: how long the run was, None when nothing was measured.
    """
    # The kernel sums throttled time over processors, so it may exceed the run; it is reported as a part of the run.
    measured = [(evidence.within(run_ns), name) for name, evidence in processes]
    worst = SaturationEvidence()
    for evidence, _ in measured:
        worst = worst.worst(evidence)
    late = [(evidence.p99_ns or 0, name) for evidence, name in measured]
    stopped = [(evidence.throttled_ns or 0, name) for evidence, name in measured]
    # Where no message was received, the length of the run is not known, and no time is too great a part of it.
    most = THROTTLED_SHARE * run_ns if run_ns else float("inf")
    throttled = f"{{name}} was throttled for {{took}} of {formatting.duration(run_ns)} by its CPU limit"
    reasons = (*_worst(stopped, most, throttled), *_worst(late, LATE_NS, "{name}'s event loop was {took} late (p99)"))
    # A run that is too short for a percentile has a maximum: if that is within the limit, the percentile would be too.
    lag_ns = worst.p99_ns if worst.p99_ns is not None else worst.max_ns
    # With a maximum beyond the limit and no percentile, the percentile may still be within it: there is no answer.
    is_fit = None if lag_ns is None or lag_ns > LATE_NS else True
    return CheckAnswer(False if reasons else is_fit, _detail(worst), reasons)


def _worst(values: Iterable[tuple[int, str]], most: float, sentence: str) -> Iterator[str]:
    exceeding = sorted(((took, name) for took, name in values if took > most), reverse=True)
    for took, name in exceeding[:_MOST]:
        yield sentence.format(name=name, took=formatting.duration(took))
    if len(exceeding) > _MOST:
        yield f"{len(exceeding) - _MOST:,} more were not fit either"


def _detail(worst: SaturationEvidence) -> str:
    parts = []
    if worst.p99_ns is not None:
        parts.append(f"p99 {formatting.duration(worst.p99_ns)} late, at most {formatting.duration(worst.max_ns)}")
    elif worst.max_ns is not None:
        parts.append(f"at most {formatting.duration(worst.max_ns)} late")
    if worst.throttled_ns is not None:
        parts.append(
            f"throttled for {formatting.duration(worst.throttled_ns)}" if worst.throttled_ns else "never throttled"
        )
    return "; ".join(parts) or "not measured"
