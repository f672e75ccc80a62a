"""A client that its CPU limit keeps from keeping up has measured itself, and the run says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.stack import Stack, docker

pytestmark = pytest.mark.containers

INVALID = 98


def test_a_client_without_enough_processor_makes_the_run_invalid(engine: None, folder: Path) -> None:
    """A client with a twentieth of a processor is named, and for how long it was stopped; nothing is missing."""
    with Stack(folder, RATE=300, RECORDS=3000, CLIENTS=2) as stack:
        stack.up(clients=2)
        stack.subscribed()
        docker("update", "--cpus", "0.05", stack.container("client", 2))
        code, text = stack.wait()
        summary = stack.volumes.summary()

        assert INVALID == code, text
        assert summary is not None
        assert (0, 0) == (summary.totals.missing, summary.totals.residual)
        assert ["instrument on time"] == [check.name for check in summary.checks if check.ok is False]
        assert summary.headline.startswith("client-2 was throttled for ")
        assert summary.headline.endswith(" by its CPU limit")
