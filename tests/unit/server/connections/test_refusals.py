"""Tests of what is counted and logged of refusals."""

from __future__ import annotations

import logging

import pytest

from services.runtime.jsonlogs import RateLimitedLog
from services.server.connections.refusals import CONFLICT_BURST, RefusalCounter


def test_all_are_counted_and_few_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A flood of refusals is counted whole, and logged once a second, each line with how many were left out."""
    refusals = RefusalCounter()
    for _ in range(1000):
        refusals.count("protocol", "peer refused", peer="10.0.0.7")
    refusals.count("full", "connection refused")

    assert (1000, 1, 0) == tuple(refusals.counts[cause] for cause in ("protocol", "full", "fault"))
    assert ["peer refused", "connection refused"] == caplog.messages
    refusals._limits["peer refused"] = RateLimitedLog()
    refusals.count("protocol", "peer refused", peer="10.0.0.7")

    assert 999 == vars(caplog.records[-1])["unsaid"]


def test_an_unexpected_fault_has_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """What this server failed on is an error with a traceback."""
    RefusalCounter().count("fault", "connection failed", ZeroDivisionError("by nothing"))

    assert (logging.ERROR, True) == (caplog.records[0].levelno, "ZeroDivisionError: by nothing" in caplog.text)


def test_conflicts_about_names_are_logged_unless_they_are_many(caplog: pytest.LogCaptureFixture) -> None:
    """Each conflict has its line; of a flood as many have one as the log may take."""
    refusals = RefusalCounter()
    for number in range(2 * CONFLICT_BURST):
        refusals.count_conflict("later", "name taken", client=f"client-{number}")

    assert CONFLICT_BURST <= len(caplog.messages) < CONFLICT_BURST + 10
    assert 2 * CONFLICT_BURST == refusals.counts["later"]
