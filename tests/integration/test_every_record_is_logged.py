"""Every client logs every record of the run exactly once, in order, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.server.feed.generator import FeedGenerator
from tests.integration.conftest import CLIENTS, RECORDS, GoodRun, GoodStack
from tests.integration.processes import play
from tests.integration.stack import Stack
from tests.readers import Volumes, is_sealed, record_of

BLOCK_SIZES = [10, 25, 50, 100, 250]


def assert_every_record_is_logged(volumes: Volumes, run: str, clients: int, records: int) -> None:
    """Assert that every client of a finished run has every record once, in order, byte for byte."""
    feed = FeedGenerator("person", "en_US", 42).records(1, records)
    names = [f"client-{number}" for number in range(1, clients + 1)]
    assert names == volumes.clients(run)
    for number, name in enumerate(names):
        blocks = volumes.blocks(name, run)
        size = BLOCK_SIZES[number % len(BLOCK_SIZES)]
        # Only a block closed by its age or by the end of the run may be partly filled.
        assert {size} >= {block.count for block in blocks if block.closed_by == "count"}
        assert size >= max(block.count for block in blocks)
        messages = volumes.messages(name, run)
        assert list(range(1, records + 1)) == [message.seq for message in messages]
        assert feed == [record_of(message) for message in messages]
        assert all(is_sealed(path) for path in volumes.files(name, run))
    summary = volumes.summary(run)
    assert summary is not None
    assert ("PASS", "closed", []) == (summary.verdict, summary.state, summary.reasons)
    totals = summary.totals
    delivered = clients * records
    assert (delivered, delivered, 0, 0) == (totals.expected, totals.received, totals.missing, totals.residual)
    assert (0, 0, 0) == (totals.duplicates, totals.reordered, totals.corrupt)
    assert names == [client.client for client in summary.clients]
    assert [BLOCK_SIZES[n % 5] for n in range(clients)] == [client.block_size for client in summary.clients]
    assert {"finished"} == {client.state for client in summary.clients}


def test_five_local_clients_log_every_record(good_run: GoodRun) -> None:
    """Without Docker, five clients hold seq 1 to 2,000 each, and the exit code is 0."""
    assert 0 == good_run.code, good_run.text
    assert_every_record_is_logged(good_run.volumes, good_run.name, CLIENTS, RECORDS)


def test_twenty_local_clients_log_every_record(tmp_path: Path) -> None:
    """Twenty clients on one machine receive the whole run each."""
    code, run = play(tmp_path, CLIENTS=20, RECORDS=RECORDS, RATE=1000)
    assert 0 == code, run.text
    assert_every_record_is_logged(run.volumes, run.volumes.newest(), 20, RECORDS)


@pytest.mark.containers
def test_five_containers_log_every_record(good_stack: GoodStack) -> None:
    """``docker compose up --scale client=5`` and nothing else: every record in every log, ``wait`` gives 0."""
    assert 0 == good_stack.code, good_stack.text
    assert_every_record_is_logged(good_stack.volumes, good_stack.run, CLIENTS, RECORDS)


@pytest.mark.containers
@pytest.mark.slow
@pytest.mark.parametrize("clients", [1, 20])
def test_any_number_of_containers_logs_every_record(clients: int, folder: Path, engine: None) -> None:
    """One container receives the whole run, and so do twenty."""
    # Twenty processes share two cores with the server: a low rate keeps the server on schedule.
    with Stack(folder, RECORDS=RECORDS, RATE=200, CLIENTS=clients) as stack:
        stack.up(clients=clients)
        code, text = stack.wait()
        assert 0 == code, text
        assert_every_record_is_logged(stack.volumes, stack.volumes.newest(), clients, RECORDS)
