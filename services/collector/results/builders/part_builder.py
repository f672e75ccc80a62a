"""Builds the part of a run from its evidence on one node, and the timeline of a run from its parts. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from services.collector.evidence.run_evidence import RunEvidence
from services.collector.evidence.time_sample import TimeSample
from services.collector.results.build import build_result
from services.collector.results.builders.time_course_builder import course_of, drawn_clients, marks_of
from services.collector.results.client_result import client_order
from services.collector.results.run_part import MOST_ABSENT, EvidencePart, RunPart, timeline_row
from services.collector.results.run_result import RunResult
from services.collector.results.timeline import RunMarks, TimeCourse, thinned


def build_part(evidence: RunEvidence, thresholds: Sequence[str], *, absent: bool = False) -> RunPart | EvidencePart:
    """Return the part of a run.

    Args:
        evidence: of the whole ledger and some of the clients; it must not change before the part is encoded.
        thresholds: the limits that are checked after merging.
        absent: the part has also clients that only the ledger names, however many they are.
    """
    if not evidence.ledger.files:
        return EvidencePart(evidence=evidence, thresholds=tuple(thresholds))
    names = sorted((name for name, one in evidence.ledger.clients.items() if one.is_client), key=client_order)
    result, marks = build_result(evidence, final=True), marks_of(evidence.ledger)
    return RunPart(
        result=result,
        thresholds=tuple(thresholds),
        ledger_clients=tuple(names),
        has_absent=absent or len(names) <= MOST_ABSENT,
        ended_at=evidence.ended_at,
        marks=RunMarks(start_us=marks.start_us, end_us=marks.end_us, events=thinned(marks.events)),
        timeline=timeline_row(TimeSample.of(evidence, drawn_clients(result, logging=True))),
    )


def merged_course(parts: Sequence[RunPart], result: RunResult) -> TimeCourse:
    """Return a run over time from its parts; ``result`` is that of all of them.

    Raises:
        MalformedPart: the timeline of a part cannot be read.
    """
    sample = TimeSample.merged([part.times() for part in parts])
    return course_of(result, parts[0].marks, sample.buckets, sample.blocks)
