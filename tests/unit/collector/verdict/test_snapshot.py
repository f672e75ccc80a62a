"""Tests of services/collector/verdict/snapshot.py."""

from __future__ import annotations

from services.collector.results.client_result_external import accounts
from services.collector.results.timeline import draw
from services.collector.verdict.snapshot import empty, snapshot
from services.collector.verdict.summary import reconcile
from tests.builders.runs import RUN, fold, good_run


def test_a_snapshot_holds_all_that_the_books_give() -> None:
    """Summary and timeline of a snapshot are what the books give by themselves."""
    books = fold(good_run())
    made = snapshot(books, final=True)

    assert reconcile(books, final=True) == made.summary
    assert draw(books, accounts(books, final=True)) == made.timeline


def test_of_an_unknown_run_nothing_is_drawn() -> None:
    """The empty timeline is of its run, and draws nothing."""
    made = empty(RUN)

    assert (RUN, [], [], []) == (made.run, made.slots, made.lanes, made.marks)
