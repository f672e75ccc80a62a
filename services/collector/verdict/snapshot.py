"""What is published of a run at one moment: every face, from terminal to report, is made from one of these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from services.collector.evidence.run_evidence import RunEvidence
from services.collector.results.run_durations import RunDurations
from services.collector.results.timeline import draw
from services.collector.verdict.summary import judged
from services.collector.verdict.thresholds import ThresholdLimit
from services.contract.summary import Summary
from services.contract.timeline import Timeline


class Snapshot(NamedTuple):
    """A run in numbers and over time, both from the same lines."""

    summary: Summary
    timeline: Timeline


def snapshot(
    books: RunEvidence,
    limits: Sequence[ThresholdLimit] = (),
    *,
    final: bool,
    made_at: str | None = None,
    taken: RunDurations | None = None,
) -> Snapshot:
    """Return a run as it stands; the arguments are those of `reconcile`."""
    made = judged(books, limits, final=final, made_at=made_at, taken=taken)
    return Snapshot(made.summary, draw(books, made.evidence.accounts))


def empty(run: str) -> Timeline:
    """Return the timeline of a run of which nothing is known over time."""
    return Timeline(run=run, start_us=None, end_us=None, step_us=1_000_000, slots=[], lanes=[], marks=[])
