"""A run with a saturated process is INVALID; a short stop of a process is not saturation."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

import pytest

from tests.integration.processes import System
from tests.integration.stack import Stack, docker
from tests.poll import poll_until

INVALID = 98
STOPPED_SECONDS = 2.5


@pytest.mark.containers
def test_a_client_without_enough_processor_makes_the_run_invalid(engine: None, folder: Path) -> None:
    """A client with a fiftieth of a processor is named with its throttled time; nothing is missing."""
    # A client needs about a twentieth of a processor at a third of this rate: a limit there would be too close.
    with Stack(folder, RATE=1000, RECORDS=10_000, CLIENTS=2) as stack:
        stack.up(clients=2)
        stack.subscribed()
        docker("update", "--cpus", "0.02", stack.container("client", 2))
        code, text = stack.wait()
        summary = stack.volumes.summary()

        assert INVALID == code, text
        assert summary is not None
        assert (0, 0) == (summary.totals.missing, summary.totals.residual)
        assert ["instrument on time"] == [check.name for check in summary.checks if check.ok is False]
        assert summary.headline.startswith("client-2 was throttled for ")
        assert summary.headline.endswith(" by its CPU limit")


@pytest.mark.serial
@pytest.mark.slow
def test_a_client_that_was_stopped_for_a_moment_passes(tmp_path: Path) -> None:
    """A client that is stopped once in a short run has latency and a long maximum lag, and the run passes."""
    with System(tmp_path, RECORDS=2500, RATE=250, CLIENTS=2) as system:
        system.start("collector")
        system.server()
        system.client("client-1")
        frozen = system.client("client-2")
        poll_until(lambda: system.volumes.head("client-2"), "the client has receipted something", 15)
        frozen.signal(signal.SIGSTOP)
        began = time.monotonic()
        poll_until(lambda: time.monotonic() - began > STOPPED_SECONDS, "the moment has passed", 10)
        frozen.signal(signal.SIGCONT)
        code, text = system.wait()

        assert 0 == code, text
        summary = system.volumes.summary()
        assert summary is not None
        check_result = {check.name: (check.ok, check.detail) for check in summary.checks}["instrument on time"]
        assert check_result[0] is True
        assert re.search(r", at most [2-9]\.\d s", check_result[1]), check_result
