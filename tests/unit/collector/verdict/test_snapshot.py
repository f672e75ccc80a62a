"""Tests of services/collector/verdict/snapshot.py."""

from __future__ import annotations

from services.collector.results.build import build_result
from services.collector.results.builders.time_course_builder import time_course
from services.collector.results.timeline import draw
from services.collector.verdict.snapshot import empty, snapshot
from services.collector.verdict.summary import reconcile
from tests.builders.runs import RUN, fold, good_run


def test_a_snapshot_holds_all_that_the_evidence_gives() -> None:
    """A snapshot has the summary and the timeline of its evidence."""
    books = fold(good_run())
    made = snapshot(books, final=True)

    assert reconcile(books, final=True) == made.summary
    result = build_result(books, final=True)
    assert draw(result, time_course(books, result)) == made.timeline


def test_of_an_unknown_run_nothing_is_drawn() -> None:
    """The empty timeline has the name of its run, and no slots and lanes."""
    made = empty(RUN)

    assert (RUN, [], [], []) == (made.run, made.slots, made.lanes, made.marks)
