"""Disks that are full or read-only, and ledgers that are gone: nothing is lost, and what is wrong is named."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.containers.books import (
    assert_all_held,
    assert_delivered,
    recovery_seconds,
)
from tests.faults.containers.faults import Tmpfs
from tests.integration.stack import Stack
from tests.poll import poll_until

pytestmark = [pytest.mark.containers, pytest.mark.slow]

RATE, CLIENTS = 200, 2
NAMES = ["client-1", "client-2"]


@pytest.fixture
def logs(folder: Path) -> Iterator[Tmpfs]:
    """A small file system for the logs alone."""
    disk = Tmpfs(folder / "logs", "48m")
    yield disk
    disk.close()


def said(stack: Stack, service: str, text: str) -> list[str]:
    """Return the lines of all containers of a service in which a text stands, on standard error too."""
    lines = stack.compose("logs", "--no-color", service).stdout.splitlines()
    return [line for line in lines if text in line]


def test_a_full_disk_only_delays(folder: Path, engine: None, logs: Tmpfs, seed: int) -> None:
    """While the volume is full nothing is receipted, each client says so once; freed, nothing is missing."""
    records = 6000
    with Stack(folder, RATE=RATE, RECORDS=records, CLIENTS=CLIENTS, GRACE_SECONDS=20) as stack:
        stack.up(clients=CLIENTS)
        stack.receipted(400, "client-2")
        logs.fill()
        poll_until(
            lambda: len(said(stack, "client", "disk refuses")) == CLIENTS, "both clients say that the disk refuses", 20
        )
        logs.free()
        print("full and freed:", recovery_seconds(stack.volumes, records, NAMES, 15))
        code, text = stack.wait(timeout=180)
        assert 0 == code, text
        assert_all_held(stack.volumes, records, NAMES)
        assert CLIENTS == len(said(stack, "client", "disk refuses"))


def test_a_disk_that_is_read_only_at_the_start_is_named(folder: Path, engine: None, logs: Tmpfs, seed: int) -> None:
    """On a read-only volume ``up`` fails with the folder and the cure in one line; made writable, the run passes."""
    records = 1000
    with Stack(folder, RATE=RATE, RECORDS=records, CLIENTS=CLIENTS) as stack:
        logs.read_only(on=True)
        with pytest.raises(AssertionError, match="prepare"):
            stack.up(clients=CLIENTS)
        told = said(stack, "prepare", "prepare: cannot give /volumes/logs")
        assert 1 == len(told)
        assert "Read-only file system" in told[0]
        logs.read_only(on=False)
        stack.up(clients=CLIENTS)
        code, text = stack.wait()
        assert 0 == code, text
        assert_all_held(stack.volumes, records, NAMES)


def test_a_disk_that_turns_read_only_is_named(folder: Path, engine: None, logs: Tmpfs, seed: int) -> None:
    """Clients that find their volume read-only in mid-run name it and its cure; made writable, nothing is missing.

    The kernel refuses the change while a log is open for writing, so they are away for that moment.
    """
    records = 6000
    with Stack(folder, RATE=RATE, RECORDS=records, CLIENTS=CLIENTS, GRACE_SECONDS=20) as stack:
        stack.up(clients=CLIENTS)
        stack.receipted(400, "client-2")
        stack.stop("client")
        logs.read_only(on=True)
        stack.start("client")
        poll_until(
            lambda: len(said(stack, "client", "mount the folder for writing")) >= CLIENTS, "both name the cure", 20
        )
        logs.read_only(on=False)
        print("read-only and healed:", recovery_seconds(stack.volumes, records, NAMES, 30))
        code, text = stack.wait(timeout=180)
        assert 0 == code, text
        assert_all_held(stack.volumes, records, NAMES)


def test_a_ledger_that_is_rolled_back_is_made_whole(folder: Path, engine: None, seed: int, tmp_path: Path) -> None:
    """A server that starts on an older copy of its ledger is told the receipts again, and nothing is missing."""
    records = 5000
    with Stack(folder, RATE=RATE, RECORDS=records, CLIENTS=CLIENTS, GRACE_SECONDS=20) as stack:
        stack.up(clients=CLIENTS)
        stack.receipted(500, "client-2")
        ledger = folder / "ledger"
        shutil.copytree(ledger, tmp_path / "older", copy_function=shutil.copy2)
        stack.receipted(1500, "client-2")
        stack.stop("server")
        for path in (tmp_path / "older").rglob("*.jsonl"):
            # In place: owner and mode stay those of the server.
            (ledger / path.relative_to(tmp_path / "older")).write_bytes(path.read_bytes())
        stack.start("server")
        print("ledger rolled back:", recovery_seconds(stack.volumes, records, NAMES, 20))
        code, text = stack.wait(timeout=180)
        assert_all_held(stack.volumes, records, NAMES)
        assert 0 == code, text


def test_a_ledger_that_is_lost_is_named(folder: Path, engine: None, seed: int) -> None:
    """A server whose ledger is gone plays a new run that passes, and the old one is not called good."""
    records = 3000
    with Stack(folder, RATE=RATE, RECORDS=records, CLIENTS=CLIENTS, GRACE_SECONDS=20) as stack:
        stack.up(clients=CLIENTS)
        stack.receipted(500, "client-2")
        old = stack.volumes.newest()
        stack.stop("server")
        shutil.rmtree(folder / "ledger" / old)
        stack.start("server")
        poll_until(lambda: stack.volumes.runs() not in ([], [old]), "another run is opened", 30)
        code, text = stack.wait(timeout=180)
        assert 0 == code, text
        assert_all_held(stack.volumes, records, NAMES)
        found = poll_until(lambda: stack.volumes.verdict(old), "the old run has a verdict", 15)
        assert found is not None
        assert "INVALID" == found.verdict
        assert found.headline.startswith("there is no ledger of this run")
        for name in NAMES:
            assert_delivered(stack.volumes, name, [bytes(m.record) for m in stack.volumes.messages(name, old)], old)
