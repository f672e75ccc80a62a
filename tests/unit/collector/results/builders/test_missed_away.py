"""Tests of the missing numbers that belong to times without a connection."""

from __future__ import annotations

from typing import Any

from services.collector.results.builders.external_builder import external_run_result
from services.collector.results.client_result import ExternalClientFacts
from services.contract.blocklog import Stall
from services.contract.scalars import utc_text
from tests.builders.external_runs import evidence_of, log, message
from tests.builders.runs import START_US


def facts_of(*course: Any, **more: Any) -> ExternalClientFacts:
    """Return the facts of a client with these connections, beside another one that received 0 to 79 of two keys."""
    whole = [message(seq, seq * 10, key=key) for seq in range(80) for key in "ab"]
    logs = (
        log("client-1", course=course, key="$.key", **more),
        log("client-2", course=[("opened", 0.0), whole, ("sealed", 8.0)], key="$.key"),
    )
    return external_run_result(evidence_of(*logs), final=True).clients[0].external


def records(*seqs: int) -> list[Any]:
    """Return the records of both keys with these numbers, ten a second."""
    return [message(seq, seq * 10, key=key) for seq in seqs for key in "ab"]


def missed(found: ExternalClientFacts) -> tuple[dict[str | None, Any], dict[str | None, Any]]:
    """Return the ranges that were missed while away, and those after a time without reading."""
    away, stalled = (
        {key: numbers.spans() for key, numbers in part.items()} for part in (found.missed_away, found.missed_stalled)
    )
    return away, stalled


def test_numbers_between_two_connections_were_missed_while_away() -> None:
    """The numbers between the last record of a connection and the first of the next one, and no others, by key."""
    part = (("opened", 0.0), records(*range(20), *range(21, 30)), ("closed", 3.0, 1006, ""))
    found = facts_of(*part, ("opened", 4.0), records(*range(40, 80)), ("sealed", 8.0))

    assert ({"a": [(30, 39)], "b": [(30, 39)]}, {}) == missed(found)
    assert not found.is_missed_away
    assert [(20, 20), (30, 39)] == found.missing["a"].spans()


def test_numbers_after_the_last_connection_were_missed_while_away() -> None:
    """A client that was not connected at its end missed what followed its last record."""
    found = facts_of(("opened", 0.0), records(*range(50)), ("closed", 5.0, 1006, ""), ("sealed", 8.0))

    assert ({"a": [(50, 69)], "b": [(50, 69)]}, {}) == missed(found)
    assert found.is_missed_away


def test_numbers_that_came_late_over_the_next_connection_were_not_missed() -> None:
    """What comes later over a new connection is not missing, although its first record passed it over."""
    part = (("opened", 0.0), records(*range(30)), ("closed", 3.0, 1006, ""), ("opened", 4.0))
    found = facts_of(*part, records(*range(40, 50), *range(30, 40), *range(50, 80)), ("sealed", 8.0))

    assert not any(numbers for part in missed(found) for numbers in part.values())


def test_an_absence_after_a_time_without_reading_is_told_apart() -> None:
    """Only the absence right after a time without reading belongs to it."""
    stall = Stall(utc_text(START_US + 2_500_000), utc_text(START_US + 2_900_000))
    part = (("opened", 0.0), records(*range(30)), ("closed", 3.0, 1006, ""), ("opened", 4.0))
    course = (*part, records(*range(40, 80)), ("sealed", 8.0))

    found = facts_of(*course, ends={"stalls": [stall]})

    assert missed(found)[0] == missed(found)[1]
    assert found.is_missed_stalled
    assert 400_000 == found.connection.absences[0].stop.us
