"""Tests of services/collector/verdict/snapshot.py."""

from __future__ import annotations

from services.collector.results.build import build_result
from services.collector.results.builders.time_course_builder import time_course
from services.collector.results.timeline import draw
from services.collector.verdict.snapshot import empty, snapshot
from services.collector.verdict.summary import reconcile
from tests.builders.runs import RUN, fold, good_run


def test_a_snapshot_holds_all_that_the_books_give() -> None:
    """Summary and timeline of a snapshot are those that the evidence gives by itself."""
    books = fold(good_run())
    made = snapshot(books, final=True)

    assert reconcile(books, final=True) == made.summary
    result = build_result(books, final=True)
    assert draw(result, time_course(books, result)) == made.timeline


def test_of_an_unknown_run_nothing_is_drawn() -> None:
    """The empty timeline is of its run, and draws nothing."""
    made = empty(RUN)

    assert (RUN, [], [], []) == (made.run, made.slots, made.lanes, made.marks)
