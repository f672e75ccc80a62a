"""Tests of counting and logging refusals."""

from __future__ import annotations

import logging

import pytest

from services.runtime.jsonlogs import RateLimitedLog
from services.server.connections.refusals import CONFLICT_BURST, RefusalCounter


def test_all_are_counted_and_few_logged(caplog: pytest.LogCaptureFixture) -> None:
    """All refusals of a flood are counted, and one a second is logged with the number of those not logged."""
    refusals = RefusalCounter()
    for _ in range(1000):
        refusals.count("protocol", "peer refused", peer="10.0.0.7")
    refusals.count("full", "connection refused")

    assert (1000, 1, 0) == tuple(refusals.counts[cause] for cause in ("protocol", "full", "fault"))
    assert ["peer refused", "connection refused"] == caplog.messages
    refusals._limits["protocol", "peer refused"] = RateLimitedLog()
    refusals.count("protocol", "peer refused", peer="10.0.0.7")

    assert 999 == vars(caplog.records[-1])["not_logged"]


def test_a_flood_hides_no_other_cause(caplog: pytest.LogCaptureFixture) -> None:
    """The same event with another cause is logged, even within the second after the first one."""
    refusals = RefusalCounter()
    refusals.count("protocol", "peer refused", why="malformed")
    refusals.count("too_many", "peer refused", why="too many subscriptions")

    assert ["malformed", "too many subscriptions"] == [vars(record)["why"] for record in caplog.records]


def test_a_fault_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """An unexpected exception is logged as an error with its traceback."""
    RefusalCounter().count("fault", "connection failed", ZeroDivisionError("by nothing"))

    assert (logging.ERROR, True) == (caplog.records[0].levelno, "ZeroDivisionError: by nothing" in caplog.text)


def test_logged_conflicts_are_limited(caplog: pytest.LogCaptureFixture) -> None:
    """Every conflict about a name is logged, up to the limit for a flood."""
    refusals = RefusalCounter()
    for number in range(2 * CONFLICT_BURST):
        refusals.count_conflict("later", "name taken", client=f"client-{number}")

    assert CONFLICT_BURST <= len(caplog.messages) < CONFLICT_BURST + 10
    assert 2 * CONFLICT_BURST == refusals.counts["later"]
