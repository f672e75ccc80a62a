"""Builds the course of a run over time from its evidence, for the timeline."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from services.collector import formatting
from services.collector.cpu_yield import no_yield
from services.collector.evidence.ledger_evidence import LedgerEvidence
from services.collector.evidence.run_evidence import RunEvidence
from services.collector.evidence.sampling import BlockSample
from services.collector.evidence.time_buckets import TimeBuckets
from services.collector.evidence.timestamps import bounded, moment
from services.collector.results.client_result import ClientResult
from services.collector.results.run_result import RunResult
from services.collector.results.timeline import ClientCourse, RunMarks, TimeCourse, event_order
from services.contract import ledger
from services.contract.timeline import MOST_LANES, MarkKind, TimelineEvent


def time_course(evidence: RunEvidence, result: RunResult) -> TimeCourse:
    """Return a run over time.

    Args:
        evidence: all lines of the run that were read.
        result: made of the same lines.
    """
    blocks = {name: evidence.logs[name].times.blocks for name in drawn_clients(result) if name in evidence.logs}
    return course_of(result, marks_of(evidence.ledger), evidence.times.buckets, blocks, evidence.yield_cpu)


def course_of(
    result: RunResult,
    marks: RunMarks,
    buckets: TimeBuckets,
    blocks: Mapping[str, BlockSample],
    yield_cpu: Callable[[], None] = no_yield,
) -> TimeCourse:
    """Return a run over time.

    Args:
        result: of the run.
        marks: what its ledger says about times.
        buckets: of its messages.
        blocks: of the clients that are drawn; one without a log has none.
        yield_cpu: called after each client.
    """
    chosen, is_scheduled = drawn_clients(result), result.ledger_facts.is_scheduled
    clients: dict[str, ClientCourse] = {}
    for name, longest in zip(chosen, buckets.worst(chosen, scheduled=is_scheduled), strict=True):
        yield_cpu()
        sample = blocks.get(name)
        stride, bars = (1, []) if sample is None else (sample.stride, sample.bars())
        clients[name] = ClientCourse(stride=stride, blocks=bars, worst=longest)
    return TimeCourse(
        start_us=marks.start_us,
        end_us=marks.end_us,
        step_us=buckets.step_us,
        slots=buckets.slots(scheduled=is_scheduled),
        clients=clients,
        events=marks.events,
    )


def marks_of(evidence: LedgerEvidence) -> RunMarks:
    """Return what a ledger says about times."""
    start_us, end = evidence.start_us, evidence.end
    return RunMarks(
        start_us=None if start_us is None else bounded(start_us),
        end_us=moment(end.at) if end else None,
        events=events(evidence),
    )


def drawn_clients(result: RunResult, *, logging: bool = False) -> list[str]:
    """Return the clients that are drawn; with ``logging`` those of a part that may be, which have a log there."""
    return [client.client for client in _chosen([one for one in result.clients if one.has_log or not logging])]


def _chosen(clients: Sequence[ClientResult]) -> list[ClientResult]:
    """Return the clients that are drawn: of too many those that miss most, in the order of the summary."""
    if len(clients) <= MOST_LANES:
        return list(clients)
    ranked = sorted(range(len(clients)), key=lambda index: (-clients[index].missing_seqs.count, index))
    return [clients[index] for index in sorted(ranked[:MOST_LANES])]


def events(evidence: LedgerEvidence) -> list[TimelineEvent]:
    """Return the events of a run, in the order of time."""
    found = {*_rate_changes(evidence), *_drops(evidence), *_of_clients(evidence), *_ends(evidence)}
    return sorted(found, key=event_order)


def _rate_changes(evidence: LedgerEvidence) -> Iterator[TimelineEvent]:
    before: ledger.PaceEntry | None = None
    rate: float | None = None
    for pace in evidence.paces:
        kind: MarkKind | None
        if before is None:
            kind = "start"
        elif pace.rate is None:
            kind = "pause" if before.rate is not None else None
        elif before.rate is None:
            kind = "resume"
        else:
            kind = "rate" if pace.rate != rate else None
        if kind is not None:
            detail = [formatting.pace(pace.rate), "planned" if kind != "start" and pace.stage is not None else ""]
            yield TimelineEvent(at_us=bounded(pace.due_us), kind=kind, detail=", ".join(filter(None, detail)))
        before, rate = pace, pace.rate if pace.rate is not None else rate


def _drops(evidence: LedgerEvidence) -> Iterator[TimelineEvent]:
    for entry in evidence.controls.values():
        at_us = moment(entry.at)
        # Other requests take effect as a change of the rate, which is marked by itself.
        if entry.request == "drop" and at_us is not None:
            yield TimelineEvent(at_us=at_us, kind="drop", client=entry.client)


def _of_clients(evidence: LedgerEvidence) -> Iterator[TimelineEvent]:
    for name, client in evidence.clients.items():
        fences = sorted(fence for fence, entry in client.subscriptions.items() if not entry.observe)
        for fence in fences:
            kind: MarkKind = "join" if fence == fences[0] else "reconnect"
            at_us = moment(client.subscriptions[fence].at)
            if at_us is not None:
                yield TimelineEvent(
                    at_us=at_us, kind=kind, client=name, detail=f"session {client.subscriptions[fence].session}"
                )
        for fence, leave in client.leaves.items():
            at_us = moment(leave.at)
            # A departure whose subscription is lost is a client's, as far as is known; one of an observer is not drawn.
            if at_us is not None and (fence in fences or fence not in client.subscriptions):
                yield TimelineEvent(at_us=at_us, kind="leave", client=name, detail=leave.cause)


def _ends(evidence: LedgerEvidence) -> Iterator[TimelineEvent]:
    end = evidence.end
    at_us = moment(end.at) if end else None
    if end is not None and at_us is not None:
        yield TimelineEvent(at_us=at_us, kind="end", detail=end.reason)
