"""A client waits for an absent server, logs that at most once a second, and becomes healthy again by itself."""

from __future__ import annotations

import json
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from tests.integration.processes import Process, System
from tests.integration.stack import Stack
from tests.poll import poll_until


def failure_times(client: Process) -> list[datetime]:
    """Return the times of a client's log lines that it is not connected."""
    events = [json.loads(line) for line in client.lines if line.startswith("{")]
    return [datetime.fromisoformat(event["at"]) for event in events if event["event"] == "not connected"]


def test_a_client_waits_for_its_server(tmp_path: Path) -> None:
    """A client without a server logs that at most once a second, and logs the run once the server listens."""
    with System(tmp_path, RECORDS=200, RATE=400) as system:
        system.start("collector")
        client = system.client("client-1")
        poll_until(lambda: len(failure_times(client)) >= 3, "the client has logged three failures", 15)
        system.server()
        client.wait_for_line('"event": "subscribed"')
        code, text = system.wait()
        assert 0 == code, text
        times = failure_times(client)
        gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(times)]
        assert min(gaps) >= 0.99
        assert list(range(1, 201)) == [message.seq for message in system.volumes.messages("client-1")]


@pytest.mark.containers
@pytest.mark.slow
def test_a_client_is_healthy_again_by_itself(folder: Path, engine: None) -> None:
    """A client's health probe fails while the server is absent and succeeds once it is back, without a restart."""
    probe = ("python", "-S", "-m", "services.runtime.heartbeat")
    with Stack(folder, RECORDS=1000, RATE=100) as stack:
        stack.up()
        stack.receipted(50)
        before = stack.container("client"), stack.inspect("client")["RestartCount"]

        def health() -> int:
            return stack.exec("client", *probe, check=False).returncode

        poll_until(lambda: health() == 0, "the probe holds", 10)
        stack.stop("server")
        poll_until(lambda: health() != 0, "the probe fails", 15)
        stack.start("server")
        poll_until(lambda: health() == 0, "the probe holds again", 20)
        assert before == (stack.container("client"), stack.inspect("client")["RestartCount"])
        code, text = stack.wait()
        assert 0 == code, text
