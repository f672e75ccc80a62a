"""Builds the result of a run of our own feed from both sides of its evidence: the ledger and the block logs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

import msgspec

from services.collector.evidence import server_clocks
from services.collector.evidence.ledger_evidence import ClientLedger
from services.collector.evidence.log_evidence import LogEvidence
from services.collector.evidence.run_evidence import RunEvidence
from services.collector.evidence.server_clocks import Offsets
from services.collector.evidence.silence import longest
from services.collector.evidence.sparse_histogram import SparseHistogram
from services.collector.evidence.timestamps import moment
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
from services.collector.results.client_result import BlockKey, ClientConsistency, ClientResult, client_order
from services.collector.results.run_result import RunResult
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
    facts = ledger_facts(ledger)
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
        ledger_facts=facts,
        comparison=None,
        spread_sample=sample,
        clock_offsets=_clock_offsets(evidence) if final and len(set(facts.kernels.values())) > 1 else {},
    )


def _clock_offsets(evidence: RunEvidence) -> Offsets:
    clients = evidence.ledger.clients
    logs = (log for name, log in evidence.logs.items() if name in clients)
    return server_clocks.merged(log.clocks.offsets(clients[log.client].servers_by_session()) for log in logs)


def is_ledger_client_awaited(evidence: RunEvidence, name: str) -> bool:
    """Return whether a client of our own feed still has to seal its log: it is connected, or has the last record."""
    log = evidence.logs.get(name) or LogEvidence(name, evidence.times)
    ledger = evidence.ledger.clients.get(name) or ClientLedger()
    # An observer never writes a log.
    if log.is_empty and not (name in evidence.ledger.clients and ledger.is_client):
        return False
    fences = ledger.subscriptions
    is_connected = bool(fences) and max(fences) not in ledger.leaves
    return is_connected or _client_state(evidence, log, ledger) == "finished"


def _client_result(evidence: RunEvidence, name: str, *, final: bool) -> ClientResult:
    log = evidence.logs.get(name) or LogEvidence(name, evidence.times)
    ledger = evidence.ledger.clients.get(name) or ClientLedger()
    end, state = evidence.ledger.end, _client_state(evidence, log, ledger)
    expected, through = _expected(log, ledger, state, end)
    missing = RangeSet([(1, expected)]) - log.logged
    lost = _lost(missing, expected, through, log, ledger)
    never_sent = max(0, expected - through)
    explained = never_sent + sum(lost[cause].count for cause in CAUSES[1:])
    received = expected - missing.count
    return msgspec.structs.replace(
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
        consistency=_consistency(evidence, log, ledger, state) if final else None,
    )


def _client_state(evidence: RunEvidence, log: LogEvidence, ledger: ClientLedger) -> ClientState:
    """Return how a client of our own feed ended, or that the run goes on."""
    end = evidence.ledger.end
    reasons = {reason for segment in log.ends.values() for reason in segment.values()}
    # Log, receipts and seal are evidence of their own, and each alone is sufficient: lines of the others may be lost.
    if end is not None and (end.last in log.logged or ledger.receipted.last >= end.last or "finished" in reasons):
        return "finished"
    if ledger.has_left or _sealed_to_leave(log, ledger):
        return "left"
    return "running" if end is None else "lost"


def _sealed_to_leave(log: LogEvidence, ledger: ClientLedger) -> bool:
    """Return whether a client that lost its connection had sealed its log to leave: then only its goodbye was lost."""
    fence = max(ledger.subscriptions, default=0)
    if fence not in ledger.leaves:
        return False
    session = ledger.subscriptions[fence].session
    return any("shutdown" in reasons.values() for (of, _), reasons in log.ends.items() if of == session)


def _expected(log: LogEvidence, ledger: ClientLedger, state: ClientState, end: EndEntry | None) -> tuple[int, int]:
    """Return the last record that a client should have logged, and the last one that was sent to it."""
    if state == "left":
        # It sealed its log before it left, so no record after its last receipt is expected.
        return ledger.receipted.last, ledger.through
    if end is not None:
        return end.last, ledger.through
    # The log was read after the ledger and may be ahead of it, so an open run is not judged by its `sent` lines.
    return log.logged.last, max(ledger.through, log.logged.last)


_NOTHING_LOST: Mapping[str, RangeSet] = MappingProxyType(dict.fromkeys(CAUSES, RangeSet()))
"""One for all clients that miss nothing, of which a run may have many."""


def _lost(
    missing: RangeSet, expected: int, through: int, log: LogEvidence, ledger: ClientLedger
) -> Mapping[str, RangeSet]:
    """Return the missing records by cause; without a contradiction they are all of them, each once."""
    if not missing:
        # Most clients miss nothing, and the result of a run with many of them is built again and again.
        return _NOTHING_LOST
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


def _consistency(
    evidence: RunEvidence, log: LogEvidence, ledger: ClientLedger, state: ClientState
) -> ClientConsistency:
    """Return where ledger and log of a client of our own feed do not agree, in a run that is over."""
    subscribed = {entry.session for entry in ledger.subscriptions.values() if entry.session}
    return ClientConsistency(
        receipts=len(ledger.receipts),
        differing_receipts=tuple(key for key in ledger.receipts if not _agrees(log, ledger, key)),
        is_subscribed=bool(ledger.subscriptions),
        unsealed_sessions=tuple(_unsealed(evidence, log, ledger, state)),
        sessions_without_file=tuple(sorted(subscribed - log.sessions)),
        fences_without_subscription=tuple(sorted(_unknown_fences(log, ledger))),
        fences_granted_twice=tuple(sorted(ledger.twice)),
        # Receipts are sent in the order of blocks: those after the last one may be on their way, a hole may not be.
        receipt_holes=(log.logged - ledger.receipted).within(1, ledger.receipted.last),
    )


def _agrees(log: LogEvidence, ledger: ClientLedger, key: BlockKey) -> bool:
    # The last field is not content: in the row of a receipt it is whether the server found the block equal to its feed.
    receipts, blocks = ledger.receipts.of(key), log.blocks.of(key)
    receipted, logged = {row[:-1] for row in receipts}, {row[:-1] for row in blocks}
    # A receipt without its block is no contradiction: the records are missing, with a cause of their own.
    return all(row.mark for row in receipts) and len(receipted) == 1 and (not logged or receipted == logged)


def _unsealed(evidence: RunEvidence, log: LogEvidence, ledger: ClientLedger, state: ClientState) -> Iterator[int]:
    # A client seals its log before it sends `bye`.
    gone = {fence for fence, entry in ledger.leaves.items() if entry.cause == "bye"} & set(ledger.subscriptions)
    sealing = {ledger.subscriptions[fence].session for fence in gone} - {0}
    # Of the last session alone: a process before it may have crashed, and then it wrote no end line.
    if state in ("finished", "left"):
        sealing.add(max((session for session, _ in (*log.opens, *log.ends)), default=0))
    return (session for session in sorted(sealing) if not evidence.is_sealed(log.client, session))


def _unknown_fences(log: LogEvidence, ledger: ClientLedger) -> set[int]:
    # A ledger without any subscription of the client is reported by a sentence of its own.
    if not ledger.subscriptions:
        return set()
    opened = {row.fence for versions in log.opens.values() for row in versions.values()}
    return (opened | ledger.receipt_fences | set(ledger.sent) | set(ledger.leaves)) - set(ledger.subscriptions)
