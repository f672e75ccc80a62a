"""``docker compose restart server`` loses nothing during a run, and starts another run after its end."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from services.contract import ledger
from tests.integration.stack import Stack
from tests.poll import poll_until

CLIENTS = 3
RECORDS = 2000


@pytest.mark.containers
@pytest.mark.slow
def test_a_restarted_server_goes_on(folder: Path, engine: None) -> None:
    """A server restarted during a run continues it without loss; restarted after it, it starts another."""
    with Stack(folder, RECORDS=RECORDS, RATE=250, CLIENTS=CLIENTS) as stack:
        stack.up(clients=CLIENTS)
        stack.receipted(500)
        stack.restart("server")
        code, text = stack.wait()
        assert 0 == code, text
        first = stack.volumes.newest()
        assert [first] == stack.volumes.runs()
        assert_all_is_there(stack, first)
        assert 2 == len(stack.volumes.ledger_files(first))
        paces = [entry for entry in stack.volumes.ledger(first) if isinstance(entry, ledger.PaceEntry)]
        assert [250, None, 250] == [pace.rate for pace in paces]
        before = digests(stack, first)

        stack.restart("server")
        poll_until(lambda: len(stack.volumes.runs()) == 2, "the second run is opened", 30)
        code, text = stack.wait()
        assert 0 == code, text
        assert_all_is_there(stack, stack.volumes.newest())
        assert before == digests(stack, first)


def assert_all_is_there(stack: Stack, run: str) -> None:
    """Assert that every client has every record once, in one session, and that the run passes."""
    summary = stack.volumes.summary(run)
    assert summary is not None
    assert ("PASS", CLIENTS * RECORDS) == (summary.verdict, summary.totals.received)
    assert (0, 0, 0) == (summary.totals.missing, summary.totals.duplicates, summary.totals.residual)
    for client in summary.clients:
        assert ("finished", 1) == (client.state, client.sessions)
        seqs = [message.seq for message in stack.volumes.messages(client.client, run)]
        assert list(range(1, RECORDS + 1)) == seqs


def digests(stack: Stack, run: str) -> dict[str, str]:
    """Return the contents of a run's logs and its summary."""
    root = stack.volumes.root
    paths = sorted([*root.glob(f"logs/{run}/**/*.jsonl"), *root.glob(f"summary/{run}/*.json")])
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
