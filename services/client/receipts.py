"""Receipts of durable blocks, kept until the server has recorded them in its ledger. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from services.contract import wire


def receipt_of(fields: Mapping[str, Any]) -> wire.Receipt:
    """Return the receipt for a block on disk, from the fields of its line."""
    return wire.Receipt(
        session=fields["session"],
        block=fields["block"],
        first=fields["first"],
        last=fields["last"],
        count=fields["count"],
        missing=fields["missing"],
        digest=fields["digest"],
        took_ns=fields["duration_ns"],
    )


class UnrecordedReceipts:
    """The receipts that the server has not recorded, by session and block.

    Attributes:
        recorded_through: highest seq that the server is known to have recorded a receipt for.
    """

    def __init__(self, receipts: Iterable[wire.Receipt] = ()) -> None:
        self._receipts = {(receipt.session, receipt.block): receipt for receipt in receipts}
        self.recorded_through = 0

    @property
    def all_recorded_through(self) -> int:
        """The last seq up to which the server is known to have recorded every receipt, 0 for none."""
        first = min((receipt.first for receipt in self._receipts.values()), default=self.recorded_through + 1)
        return min(self.recorded_through, first - 1)

    def __bool__(self) -> bool:
        return bool(self._receipts)

    def add(self, receipt: wire.Receipt) -> None:
        """Add the receipt of a block, unless it is here already."""
        self._receipts.setdefault((receipt.session, receipt.block), receipt)

    def remove(self, session: int, block: int) -> None:
        """Remove a receipt that the server has recorded."""
        receipt = self._receipts.pop((session, block), None)
        if receipt is not None:
            self.recorded_through = max(self.recorded_through, receipt.last)

    def remove_through(self, seq: int) -> list[wire.Receipt]:
        """Remove the receipts that the server has recorded up to ``seq``; return the others, oldest first."""
        remaining = [receipt for _, receipt in sorted(self._receipts.items()) if receipt.last > seq]
        self._receipts = {(receipt.session, receipt.block): receipt for receipt in remaining}
        self.recorded_through = max(self.recorded_through, seq)
        return remaining
