"""How long it took after the end of a fault until fresh records were on disk, read from the ledger afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from chaos.containers.invariants import head_at
from services.contract.ledger import ReceiptEntry
from tests.readers import Volumes


def recoveries(volumes: Volumes, total: int, healed: Mapping[str, float]) -> dict[str, float]:
    """Return for each client the seconds from a time until the ledger had a receipt for a record not yet due then.

    Args:
        volumes: where the run is.
        total: how many records the run has.
        healed: when what a client suffered was over, in epoch seconds.

    Raises:
        AssertionError: a client has no such receipt.
    """
    heads = {moment: head_at(volumes, total, moment) for moment in set(healed.values())}
    took: dict[str, float] = {}
    for entry in volumes.ledger():
        if isinstance(entry, ReceiptEntry) and entry.client in healed and entry.last > heads[healed[entry.client]]:
            took.setdefault(entry.client, datetime.fromisoformat(entry.at).timestamp() - healed[entry.client])
    assert set(healed) == set(took), f"{sorted(set(healed) - set(took))} never recovered"
    return took


def heads(volumes: Volumes) -> dict[str, int]:
    """Return the last record that each client has receipted."""
    found: dict[str, int] = {}
    for entry in volumes.ledger():
        if isinstance(entry, ReceiptEntry):
            found[entry.client] = max(found.get(entry.client, 0), entry.last)
    return found


def p99(values: Sequence[float]) -> float:
    """Return the 99th percentile: the worst, of fewer than a hundred."""
    return sorted(values)[max(0, -(-len(values) * 99 // 100) - 1)]
