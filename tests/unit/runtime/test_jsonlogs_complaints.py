"""Tests of services/runtime/jsonlogs.py."""

import logging

import pytest

from services.runtime.jsonlogs import ErrorLog
from tests.builders.runs import RUN


def test_each_trouble_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """The same trouble again is no news; another run's, or another trouble, is."""
    complaints = ErrorLog(logging.getLogger("test"))
    for run, number in ((RUN, 28), (RUN, 28), ("", 28), (RUN, 5)):
        complaints.say("cannot publish", run, OSError(number, "why"))

    assert 3 == complaints.count
    assert ["cannot publish"] * 3 == [record.message for record in caplog.records]


def test_a_fault_of_the_program_is_said_with_its_place(caplog: pytest.LogCaptureFixture) -> None:
    """An error that is none of the system's is said once, with its traceback."""
    complaints = ErrorLog(logging.getLogger("test"))
    for problem in (ValueError("why"), ValueError("again"), KeyError("else")):
        complaints.say("cannot read", RUN, problem)

    assert 2 == complaints.count
    assert [True, True] == [record.exc_info is not None for record in caplog.records]
