"""Compares the ledger's lines about a client with the lines of its block log."""

from __future__ import annotations

from collections.abc import Iterator

from services.collector.evidence.ledger_evidence import ClientLedger
from services.collector.evidence.log_evidence import LogEvidence
from services.collector.evidence.run_evidence import RunEvidence
from services.collector.results.client_result import BlockKey, ClientConsistency
from services.contract.summary import ClientState


def client_consistency(
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
        conflicting_blocks=tuple(sorted(log.blocks.repeated.items())),
        conflicting_lines=tuple(sorted(_conflicting_lines(log))),
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


def _conflicting_lines(log: LogEvidence) -> Iterator[tuple[str, BlockKey, int]]:
    lines = [("open", segment, len(versions)) for segment, versions in log.opens.items()]
    lines += [("end", segment, len(reasons)) for segment, reasons in log.ends.items()]
    return (line for line in lines if line[2] > 1)
