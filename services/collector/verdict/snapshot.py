"""Everything that is published of a run at one time: all outputs, from terminal to report, are made from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from services.collector.evidence.run_evidence import RunEvidence
from services.collector.results.build import build_result
from services.collector.results.builders.time_course_builder import time_course
from services.collector.results.client_result import ClientResult
from services.collector.results.run_result import RunResult
from services.collector.results.timeline import TimeCourse, draw
from services.collector.verdict.summary import summarise
from services.collector.verdict.thresholds import ThresholdLimit
from services.contract.summary import Summary
from services.contract.timeline import Timeline


class Snapshot(NamedTuple):
    """A run in numbers and over time, both from the same lines.

    Attributes:
        summary: the numbers.
        timeline: the course over time.
        clients: the results of all clients if the summary does not list them all, else empty.
    """

    summary: Summary
    timeline: Timeline
    clients: tuple[ClientResult, ...] = ()


def snapshot(
    evidence: RunEvidence, limits: Sequence[ThresholdLimit] = (), *, final: bool, made_at: str | None = None
) -> Snapshot:
    """Return a run as it is now, from its evidence; the arguments are those of `reconcile`."""
    result = build_result(evidence, final=final)
    return snapshot_of(result, time_course(evidence, result), limits, made_at=made_at)


def snapshot_of(
    result: RunResult, course: TimeCourse, limits: Sequence[ThresholdLimit] = (), *, made_at: str | None = None
) -> Snapshot:
    """Return a run as it is now, from its result and its course over time."""
    return with_clients(summarise(result, limits, made_at=made_at), draw(result, course), result)


def with_clients(summary: Summary, timeline: Timeline, result: RunResult) -> Snapshot:
    """Return a snapshot, with the results of all clients if the summary does not list them all."""
    return Snapshot(summary, timeline, result.clients if summary.unlisted else ())


def empty(run: str) -> Timeline:
    """Return the timeline of a run without any known time."""
    return Timeline(run=run, start_us=None, end_us=None, step_us=1_000_000, slots=[], lanes=[], marks=[])
