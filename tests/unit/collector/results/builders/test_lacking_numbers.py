"""Tests of services/collector/results/builders/lacking_numbers.py."""

from __future__ import annotations

from services.collector.results.builders.lacking_numbers import LackingNumbers, by_cause
from services.contract.rangeset import RangeSet
from tests.builders.external_runs import evidence_of, log, numbered_messages


def test_a_number_that_others_received_was_sent() -> None:
    """Of the missing numbers those that another client received were sent, and the others nobody has seen."""
    evidence = evidence_of(log("client-1", numbered_messages([1, 2, 5])))
    causes = by_cause(evidence.logs["client-1"], None, RangeSet([(3, 4)]), RangeSet([(3, 3)]))

    assert {"corrupt_block": [], "sent_not_logged": [(3, 3)], "not_seen": [(4, 4)]} == {
        cause: numbers.spans() for cause, numbers in causes.items()
    }


def test_what_is_lacking_is_counted_of_all_turns() -> None:
    """Gaps and unreadable numbers from before a new beginning count beside those since then."""
    lacking = LackingNumbers(
        {"a": RangeSet([(3, 4), (7, 7)]), "b": RangeSet()},
        {"a": [(90, 95)]},
        {"a": RangeSet([(8, 8)]), "b": RangeSet()},
        {"b": [(40, 41)]},
    )

    assert ({"a": 3, "b": 0}, 3) == (lacking.gaps, lacking.unreadable_count)
