"""How each client of a run ended, and whether a run still waits for it to seal its log."""

from __future__ import annotations

from services.collector.evidence.ledger_evidence import ClientLedger
from services.collector.evidence.log_evidence import LogEvidence
from services.collector.evidence.run_evidence import RunEvidence
from services.contract.summary import ClientState


def ledger_client_state(evidence: RunEvidence, log: LogEvidence, ledger: ClientLedger) -> ClientState:
    """Return how a client of our own feed ended, or that the run goes on."""
    end = evidence.ledger.end
    reasons = {reason for segment in log.ends.values() for reason in segment.values()}
    # Log, receipts and seal are evidence of their own, and each alone is sufficient: lines of the others may be lost.
    if end is not None and (end.last in log.logged or ledger.receipted.last >= end.last or "finished" in reasons):
        return "finished"
    if ledger.has_left or _sealed_to_leave(log, ledger):
        return "left"
    return "running" if end is None else "lost"


def external_client_state(log: LogEvidence, *, final: bool) -> ClientState:
    """Return how a client of an external feed ended; one that has not sealed its log is lost once it is final."""
    reasons = log.last_reasons()
    # With FEED_SECONDS=0 a run has no end of its own: the operator ends it by stopping its clients.
    if "finished" in reasons or ("shutdown" in reasons and log.until_us is None):
        return "finished"
    if "shutdown" in reasons:
        return "left"
    return "lost" if final else "running"


def is_ledger_client_awaited(evidence: RunEvidence, name: str) -> bool:
    """Return whether a client of our own feed still has to seal its log: it is connected, or has the last record."""
    log = evidence.logs.get(name) or LogEvidence(name, evidence.times)
    ledger = evidence.ledger.clients.get(name) or ClientLedger()
    # An observer never writes a log.
    if log.is_empty and not (name in evidence.ledger.clients and ledger.is_client):
        return False
    fences = ledger.subscriptions
    is_connected = bool(fences) and max(fences) not in ledger.leaves
    return is_connected or ledger_client_state(evidence, log, ledger) == "finished"


def is_external_client_awaited(evidence: RunEvidence, name: str) -> bool:
    """Return whether a client of an external feed still has to seal its log: it stayed until the end of its run."""
    log = evidence.logs.get(name) or LogEvidence(name, evidence.times)
    return not log.is_empty and external_client_state(log, final=False) == "finished"


def _sealed_to_leave(log: LogEvidence, ledger: ClientLedger) -> bool:
    """Return whether a client that lost its connection had sealed its log to leave: then only its goodbye was lost."""
    fence = max(ledger.subscriptions, default=0)
    if fence not in ledger.leaves:
        return False
    session = ledger.subscriptions[fence].session
    return any("shutdown" in reasons.values() for (of, _), reasons in log.ends.items() if of == session)
