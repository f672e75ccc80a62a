"""Tests of services/collector/results/builders/external_client_state.py."""

from __future__ import annotations

from typing import Any

import pytest

from services.collector.results.builders.external_client_state import client_state, is_external_client_awaited
from services.collector.scan import Source
from services.contract import blocklog
from services.contract.summary import ClientState
from tests.builders.external_runs import evidence_of, log, numbered_messages
from tests.builders.runs import RUN

MESSAGES = numbered_messages(range(1, 4))


@pytest.mark.parametrize(
    ("settings", "open_state", "final_state"),
    [
        ({"reason": "finished"}, "finished", "finished"),
        ({"reason": "shutdown"}, "left", "left"),
        ({"reason": "shutdown", "until_us": None}, "finished", "finished"),
        ({"reason": "rotated"}, "running", "lost"),
        ({"reason": None}, "running", "lost"),
    ],
)
def test_a_client_ended_as_its_last_line_says(
    settings: dict[str, Any], open_state: ClientState, final_state: ClientState
) -> None:
    """A client that sealed no log is lost once nothing more comes; in a run without an end a stop is its end."""
    evidence = evidence_of(log("client-1", MESSAGES, **settings))

    assert open_state == client_state(evidence.logs["client-1"], final=False)
    assert final_state == client_state(evidence.logs["client-1"], final=True)
    assert (open_state == "finished") is is_external_client_awaited(evidence, "client-1")


def test_a_process_that_left_an_empty_file_is_the_last_one() -> None:
    """How a client ended is not known if its last process claimed a session and wrote no line."""
    evidence = evidence_of(log("client-1", MESSAGES, reason="shutdown"))
    evidence.logs["client-1"].file(Source(RUN, "client-1", blocklog.file_name(2, 1)))

    assert "lost" == client_state(evidence.logs["client-1"], final=True)


def test_a_client_without_a_log_is_not_awaited() -> None:
    """Nothing is awaited of a client of which there is no log."""
    assert not is_external_client_awaited(evidence_of(), "client-1")
