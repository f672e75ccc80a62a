"""Replicas are added and removed during a run; each keeps its name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.contract.blocklog import EndLine
from tests.integration.conftest import CLIENTS, GoodStack
from tests.integration.shared_runs import ledgers, schedules
from tests.integration.stack import Stack
from tests.poll import poll_until
from tests.readers import is_sealed

pytestmark = pytest.mark.containers

CONTROL = """
import json, sys
from websockets.sync.client import connect
with connect("ws://127.0.0.1:8765", proxy=None) as connection:
    connection.send(json.dumps({"type": "control", "do": sys.argv[1]}))
    while (reply := json.loads(connection.recv().partition("\\n")[0]))["type"] != "controlled":
        assert reply["type"] != "error", reply
"""
"""Sends a control request to the server of the container in which it runs."""


def test_names_come_from_the_network(good_stack: GoodStack) -> None:
    """Under ``--scale`` replicas are named client-1, client-2, …, by the reverse name of their address."""
    for number in range(1, CLIENTS + 1):
        lines = [line.partition(" ")[2] for line in good_stack.stack.logs("client", number).splitlines()]
        event = next(event for event in map(json.loads, lines) if event["event"] == "client")
        assert (f"client-{number}", "reverse DNS") == (event["client"], event["from"])


@pytest.mark.slow
def test_five_become_two_and_the_run_passes(folder: Path, engine: None) -> None:
    """``--scale client=2`` during a run of five clients: PASS, and the three removed ones are reported as left."""
    with Stack(folder, RECORDS=2400, RATE=200) as stack:
        stack.up(clients=5)
        for number in range(1, 6):
            stack.receipted(250, f"client-{number}")
        stack.scale(2)
        code, text = stack.wait()
        assert 0 == code, text
        assert "3 left: client-3, client-4, client-5" in " ".join(text.split())
        summary = stack.volumes.summary()
        assert summary is not None
        states = {client.client: client.state for client in summary.clients}
        stay, left = ("client-1", "client-2"), ("client-3", "client-4", "client-5")
        assert {**dict.fromkeys(stay, "finished"), **dict.fromkeys(left, "left")} == states
        for client in summary.clients:
            assert client.expected == client.received
            seqs = [message.seq for message in stack.volumes.messages(client.client)]
            assert list(range(1, client.received + 1)) == seqs
            assert (2400 if client.client in stay else len(seqs)) == len(seqs)
            assert all(is_sealed(path) for path in stack.volumes.files(client.client))
        for name in left:
            assert ["shutdown"] == [entry.reason for entry in stack.volumes.log(name) if isinstance(entry, EndLine)]


@pytest.mark.slow
def test_three_servers_become_two_then_four_and_the_run_passes(folder: Path, engine: None) -> None:
    """``--scale server=3`` plays one run; a server that is removed or added meanwhile changes no verdict."""
    with Stack(folder, RECORDS=900, RATE=60) as stack:
        stack.up(clients=4, servers=3)
        stack.receipted(60)
        # On a busy machine Compose takes longer than the run.
        stack.exec("server", "python", "-c", CONTROL, "pause")
        stack.scale(servers=2)
        stack.scale(servers=4)
        poll_until(lambda: len(stack.volumes.ledger_files()) == 5, "the added servers play the run", 60)
        stack.exec("server", "python", "-c", CONTROL, "resume")
        text = stack.wait()[1]
        summary = stack.volumes.summary()
        assert summary is not None
        # Whether the processes kept up is a property of this machine, which starts containers meanwhile.
        assert {"generator on time", "instrument on time"} >= {
            check.name for check in summary.checks if check.ok is False
        }, text
        assert [0, 900 * 4] == [summary.totals.missing, summary.totals.received]
        (run,) = stack.volumes.runs()
        assert 1 == len(schedules(stack.volumes, run))
        assert 5 == len(ledgers(stack.volumes, run))
        for number in range(1, 5):
            assert "healthy" == stack.inspect("server", number)["State"]["Health"]["Status"]
