"""Tests of services/collector/reconcile/snapshot.py."""

from __future__ import annotations

from services.collector.reconcile.books import RunBooks
from services.collector.reconcile.snapshot import snapshot
from services.collector.reconcile.summarise import reconcile


def test_a_snapshot_holds_the_summary() -> None:
    """The summary of a snapshot is what the books give by themselves."""
    books = RunBooks("20261122T073000Z")

    assert reconcile(books, final=True) == snapshot(books, final=True).summary
