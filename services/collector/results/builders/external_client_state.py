"""Finds out how a client of an external feed ended, from its block log alone."""

from __future__ import annotations

from services.collector.evidence.log_evidence import LogEvidence
from services.collector.evidence.run_evidence import RunEvidence
from services.contract.summary import ClientState


def client_state(log: LogEvidence, *, final: bool) -> ClientState:
    """Return how a client of an external feed ended; one that has not sealed its log is lost once it is final."""
    reasons = log.last_reasons()
    # The last process claimed a session, took part, and left no line: how it ended is not known. Without a ledger
    # nothing else shows that it was there.
    if max(log.claimed, default=0) > max(log.begun, default=0):
        reasons = set()
    # With FEED_SECONDS=0 a run has no end of its own: the operator ends it by stopping its clients.
    if "finished" in reasons or ("shutdown" in reasons and log.until_us is None):
        return "finished"
    if "shutdown" in reasons:
        return "left"
    return "lost" if final else "running"


def is_external_client_awaited(evidence: RunEvidence, name: str) -> bool:
    """Return whether a client of an external feed still has to seal its log: it stayed until the end of its run."""
    log = evidence.logs.get(name) or LogEvidence(name, evidence.times)
    return not log.is_empty and client_state(log, final=False) == "finished"
