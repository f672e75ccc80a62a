"""Tests of the receipts that a server has not recorded yet."""

from __future__ import annotations

from services.client.receipts import UnrecordedReceipts, receipt_of
from services.contract import wire


def receipt(block: int, session: int = 1) -> wire.Receipt:
    """Return the receipt of a block of ten records."""
    return receipt_of(
        {
            "session": session, "block": block, "first": 10 * block - 9, "last": 10 * block, "count": 9,
            "missing": [(10 * block - 5, 10 * block - 5)], "digest": "x00000000", "duration_ns": 7, "messages": [],
        }
    )  # fmt: skip


def test_a_receipt_has_the_values_of_its_line() -> None:
    """A receipt repeats range, count, gaps and digest of the block's line, and how long the block was open."""
    expected = wire.Receipt(
        session=1, block=2, first=11, last=20, count=9, missing=[(15, 15)], digest="x00000000", took_ns=7
    )

    assert expected == receipt(2)


def test_a_recorded_receipt_is_removed() -> None:
    """A receipt stays until the server has recorded it; recording another one changes nothing."""
    receipts = UnrecordedReceipts([receipt(1)])
    receipts.remove(2, 1)
    assert (True, 0) == (bool(receipts), receipts.recorded_through)

    receipts.remove(1, 1)
    assert (False, 10) == (bool(receipts), receipts.recorded_through)


def test_receipts_after_the_recorded_are_sent_again() -> None:
    """The receipts that the server lacks are returned, oldest first over all sessions, and stay."""
    receipts = UnrecordedReceipts([receipt(3, session=2), receipt(1), receipt(2)])
    receipts.add(receipt(2))

    assert [(1, 2), (2, 3)] == [(it.session, it.block) for it in receipts.remove_through(10)]
    assert [(2, 3)] == [(it.session, it.block) for it in receipts.remove_through(20)]
    assert 20 == receipts.recorded_through
