"""Measures from the ledger how long after the end of a fault clients had receipts for new records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from chaos.containers.invariants import head_at
from services.contract.ledger import ReceiptEntry
from tests.readers import Volumes


def recoveries(volumes: Volumes, total: int, healed: Mapping[str, float]) -> dict[str, float]:
    """Return for each client the seconds from the end of its fault to its first receipt for a record not yet due then.

    Args:
        volumes: folder of the run.
        total: number of records of the run.
        healed: when the fault of each client ended, in epoch seconds.

    Raises:
        AssertionError: a client has no such receipt.
    """
    heads = {healed_at: head_at(volumes, total, healed_at) for healed_at in set(healed.values())}
    recovery_s: dict[str, float] = {}
    for entry in volumes.ledger():
        if isinstance(entry, ReceiptEntry) and entry.client in healed and entry.last > heads[healed[entry.client]]:
            recovery_s.setdefault(entry.client, datetime.fromisoformat(entry.at).timestamp() - healed[entry.client])
    assert set(healed) == set(recovery_s), f"{sorted(set(healed) - set(recovery_s))} never recovered"
    return recovery_s


def heads(volumes: Volumes) -> dict[str, int]:
    """Return the last record for which each client has a receipt."""
    last_receipts: dict[str, int] = {}
    for entry in volumes.ledger():
        if isinstance(entry, ReceiptEntry):
            last_receipts[entry.client] = max(last_receipts.get(entry.client, 0), entry.last)
    return last_receipts


def p99(values: Sequence[float]) -> float:
    """Return the 99th percentile; of fewer than a hundred values, the largest."""
    return sorted(values)[max(0, -(-len(values) * 99 // 100) - 1)]
