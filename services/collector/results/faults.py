"""How the faults of a run's files are ordered, and the sentence for a run without a ledger."""

from __future__ import annotations

from services.contract.summary import Fault

NO_LEDGER = "there is no ledger of this run: it is not known which records were sent"


def fault_order(fault: Fault) -> tuple[str, int, str, str]:
    """Return the key by which faults are sorted: file and line."""
    # With kind and detail, so that several faults of one line have a fixed order too.
    return fault.file, fault.line, fault.kind, fault.detail
