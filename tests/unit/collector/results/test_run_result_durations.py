"""Tests of the durations of a run, all clients together."""

from __future__ import annotations

from services.collector.evidence.run_evidence import RunEvidence
from services.collector.results.build import build_result
from services.collector.results.run_result import RunDurations
from services.collector.verdict.summary import reconcile
from services.contract.summary import Quantiles
from tests.builders.runs import Files, fold, good_ledger, good_run, good_sessions, ledger_source


def without_schedule() -> Files:
    """Return a run that was played at rate 0."""
    return {**good_run(), ledger_source(): good_ledger(good_sessions(), rate=0).lines}


def measured(evidence: RunEvidence) -> RunDurations:
    """Return the durations of a run so far."""
    return build_result(evidence, final=True).durations


def test_every_duration_is_counted() -> None:
    """Each message has a latency and a transit, and each block a duration."""
    found = measured(fold(good_run()))

    assert (120, 120, 12) == (found.latency.count, found.transit.count, found.block.count)
    assert 60 == found.spread.count


def test_quantiles_are_the_summary_s() -> None:
    """The quantiles are those of the summary, with and without an earlier query."""
    books = fold(good_run())
    found = measured(books)
    made = reconcile(books, final=True)

    assert reconcile(books, final=True) == made
    assert made.block_duration_ns == Quantiles.of(found.by_name()["block"])


def test_without_a_schedule_nothing_is_late() -> None:
    """At rate 0 there is no latency, and all other durations are measured."""
    found = measured(fold(without_schedule()))

    assert (0, 120) == (found.latency.count, found.transit.count)


def test_books_that_go_on_change_nothing() -> None:
    """A result does not change when more lines are read."""
    books = fold({ledger_source(): good_run()[ledger_source()]})
    found = measured(books)
    for source, lines in good_run().items():
        for line in lines if source.client else []:
            books.add_line(source, line)

    assert (0, 120) == (found.transit.count, measured(books).transit.count)
