"""Builds the result of a run of our own feed from both sides of its evidence: the ledger and the block logs."""

from __future__ import annotations

from dataclasses import replace

from services.collector.evidence.ledger_evidence import ClientLedger
from services.collector.evidence.log_evidence import LogEvidence
from services.collector.evidence.run_evidence import RunEvidence
from services.collector.evidence.silence import longest
from services.collector.evidence.timestamps import moment
from services.collector.results.builders.client_consistency import client_consistency
from services.collector.results.builders.client_state import ledger_client_state
from services.collector.results.builders.common_facts import (
    block_size,
    by_first_cause,
    gap_times,
    ledger_facts,
    log_facts,
    run_durations,
    run_state,
    scheduled,
)
from services.collector.results.builders.file_faults import damaged_gaps, ledger_faults, log_faults
from services.collector.results.client_result import ClientResult, client_order
from services.collector.results.run_result import RunResult
from services.collector.results.sparse_histogram import SparseHistogram
from services.contract.ledger import EndEntry
from services.contract.rangeset import RangeSet
from services.contract.summary import Causes, ClientState

CAUSES = (
    "never_sent",
    "corrupt_block",
    "foreign",
    "corrupt_in_flight",
    "receipted_not_logged",
    "sent_not_logged",
)
"""In the order in which they are tried: each explains those records that no earlier cause explains."""
DAMAGED = frozenset({"corrupt_block", "unreadable"})


def ledger_run_result(evidence: RunEvidence, *, final: bool) -> RunResult:
    """Return the result of a run of our own feed. ``final`` is whether nothing more will be logged."""
    # An observer, and a client that only claimed a file, take no part in the run.
    sent_by = {name for name, client in evidence.ledger.clients.items() if client.is_client}
    logging = {name for name, log in evidence.logs.items() if not log.is_empty}
    clients = []
    for name in sorted(sent_by | logging, key=client_order):
        evidence.yield_cpu()
        clients.append(_client_result(evidence, name, final=final))
    ledger, sample = evidence.ledger, evidence.times.spread.copy()
    return RunResult(
        run=evidence.run,
        books="two-sided",
        is_final=final,
        state=run_state(evidence, final=final),
        feed=ledger.open.feed if ledger.open else None,
        total=ledger.end.last if ledger.end else ledger.open.total if ledger.open else None,
        rate=ledger.rate,
        lacks_ledger=evidence.lacks_ledger,
        lacks_open=not ledger.opens,
        clients=tuple(clients),
        durations=replace(run_durations(evidence, clients), spread=SparseHistogram.of(sample.histogram())),
        ledger_faults=ledger_faults(evidence),
        ledger_facts=ledger_facts(ledger),
        comparison=None,
        spread_sample=sample,
    )


def _client_result(evidence: RunEvidence, name: str, *, final: bool) -> ClientResult:
    log = evidence.logs.get(name) or LogEvidence(name, evidence.times)
    ledger = evidence.ledger.clients.get(name) or ClientLedger()
    end, state = evidence.ledger.end, ledger_client_state(evidence, log, ledger)
    expected, through = _expected(log, ledger, state, end)
    missing = RangeSet([(1, expected)]) - log.logged
    lost = _lost(missing, expected, through, log, ledger)
    never_sent = max(0, expected - through)
    explained = never_sent + sum(lost[cause].count for cause in CAUSES[1:])
    received = expected - missing.count
    return replace(
        log_facts(evidence, log),
        state=state,
        block_size=block_size(log, ledger),
        expected=expected,
        received=received,
        missing=missing.count,
        # Those that the client counted, and those that are in two blocks of its log.
        duplicates=log.duplicates + log.messages - log.logged.count,
        reordered=log.reordered,
        corrupt=log.corrupt.count,
        # `never_sent` comes from the ledger alone: derived from the missing records, the residual would always be 0.
        residual=expected - received - explained,
        logged_not_receipted=(log.logged - ledger.receipted).count,
        missing_seqs=missing,
        lost=lost,
        missing_by_cause=Causes(**{cause: lost[cause].count for cause in CAUSES} | {"never_sent": never_sent}),
        gap_times=gap_times(log.times, missing),
        repeated_seqs=RangeSet(log.twice),
        corrupt_seqs=RangeSet(log.corrupt),
        clock_offset_us=log.clock_offset_us,
        clock_error_us=log.clock_error_us,
        silence=longest(log.times.silences, ledger, state, evidence.ledger.start_us, moment(end.at) if end else None),
        faults=log_faults(log, missing),
        catch_up=scheduled(evidence, SparseHistogram.of(log.times.catch_up.histogram)),
        consistency=client_consistency(evidence, log, ledger, state) if final else None,
    )


def _expected(log: LogEvidence, ledger: ClientLedger, state: ClientState, end: EndEntry | None) -> tuple[int, int]:
    """Return the last record that a client should have logged, and the last one that was sent to it."""
    if state == "left":
        # It sealed its log before it left, so no record after its last receipt is expected.
        return ledger.receipted.last, ledger.through
    if end is not None:
        return end.last, ledger.through
    # The log was read after the ledger and may be ahead of it, so an open run is not judged by its `sent` lines.
    return log.logged.last, max(ledger.through, log.logged.last)


def _lost(
    missing: RangeSet, expected: int, through: int, log: LogEvidence, ledger: ClientLedger
) -> dict[str, RangeSet]:
    """Return the missing records by cause; without a contradiction they are all of them, each once."""
    if not missing:
        # Most clients miss nothing, and the result of a run with many of them is built again and again.
        return {cause: RangeSet() for cause in CAUSES}
    gaps = damaged_gaps(log, expected)
    known = {
        "never_sent": RangeSet([(through + 1, expected)]),
        "corrupt_block": RangeSet(gap for kind, gap in gaps if kind in DAMAGED),
        "foreign": RangeSet(gap for kind, gap in gaps if kind == "foreign"),
        "corrupt_in_flight": log.corrupt,
        "receipted_not_logged": ledger.receipted,
        # The last cause takes the rest: the server may have sent these records, and nothing else explains the loss.
        "sent_not_logged": RangeSet([(1, expected)]),
    }
    return by_first_cause(missing, known, CAUSES)
