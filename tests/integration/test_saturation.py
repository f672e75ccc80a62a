"""What was measured by a process that could not keep up is not believed; one that was stopped for a moment is."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

import pytest

from tests.integration.processes import System
from tests.integration.stack import Stack, docker
from tests.poll import poll_until

pytestmark = pytest.mark.serial

INVALID = 98
STOPPED_SECONDS = 2.5


@pytest.mark.containers
def test_a_client_without_enough_processor_makes_the_run_invalid(engine: None, folder: Path) -> None:
    """A client with a fiftieth of a processor is named, and for how long it was stopped; nothing is missing."""
    # A twentieth of one, at a third of this rate, is about what a client needs: too close to call.
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


@pytest.mark.slow
def test_a_client_that_was_stopped_for_a_moment_passes(tmp_path: Path) -> None:
    """A process that is frozen once in a short run shows as latency and as the longest lag, and the run is a PASS."""
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
        said = {check.name: (check.ok, check.detail) for check in summary.checks}["instrument on time"]
        assert said[0] is True
        assert re.search(r", at most [2-9]\.\d s", said[1]), said
