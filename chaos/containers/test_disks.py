"""Disks that are full or read-only, ten times over: nothing is lost, and what is wrong is named with its cure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.containers.container_lookup import clients_of
from chaos.containers.fast_forward import hurry
from chaos.containers.invariants import assert_all_held, held, recovery_seconds
from chaos.containers.tmpfs import Tmpfs
from chaos.tally import Tally
from tests.integration.stack import Stack
from tests.poll import poll_until

pytestmark = [pytest.mark.containers, pytest.mark.slow]

TIMES, RATE, RECORDS, HURRIED = 10, 100, 24_000, 2000
CLIENTS = clients_of(2)
NAMES = [str(client) for client in CLIENTS]
RECOVERY_SECONDS = 60.0
"""Beyond which a client counts as gone for good; what it took is reported."""
SETTINGS = {
    "RATE": RATE,
    "RECORDS": RECORDS,
    "CLIENTS": len(CLIENTS),
    "BLOCK_SIZES": "5,10",
    "BLOCK_SECONDS": 1,
    "GRACE_SECONDS": 20,
}


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


def enter(tally: Tally, kind: str, back: dict[str, float]) -> None:
    """Note one fault of every client's disk, and how long each took to recover."""
    for name, seconds in back.items():
        tally.fault(kind, name, seconds)


def finish(stack: Stack, tally: Tally) -> None:
    """Play the rest, and hold the run to everything."""
    hurry(stack, HURRIED)
    stack.wait(timeout=120)
    counted = held(stack.volumes, RECORDS, NAMES)
    tally.held(counted.checked, lost=counted.lost, duplicated=counted.duplicated, undetected=counted.undetected)
    assert_all_held(stack.volumes, RECORDS, NAMES)


def test_a_full_disk_only_delays(
    folder: Path, engine: None, logs: Tmpfs, tally: Tally, capsys: pytest.CaptureFixture[str]
) -> None:
    """While the disk is full nothing is receipted, each client says so once; freed, nothing is missing; ten times."""
    with Stack(folder, **SETTINGS) as stack:
        stack.up(clients=len(CLIENTS))
        stack.receipted(10, "client-2")
        for number in range(1, TIMES + 1):
            logs.fill()
            poll_until(
                lambda times=number: len(said(stack, "client", "disk refuses")) == times * len(CLIENTS),  # type: ignore[misc]
                f"both clients have said {number} times that the disk refuses",
                20,
                0.3,
            )
            heads = {name: stack.volumes.head(name) for name in NAMES}
            assert heads == {name: stack.volumes.head(name) for name in NAMES}
            logs.free()
            back = recovery_seconds(stack.volumes, RECORDS, NAMES, RECOVERY_SECONDS)
            enter(tally, "disk-full", back)
            with capsys.disabled():
                print("disk full:", json.dumps(back))
        finish(stack, tally)
        assert TIMES * len(CLIENTS) == len(said(stack, "client", "disk refuses"))
        assert TIMES * len(CLIENTS) == len(said(stack, "client", "disk accepts again"))


def test_a_disk_that_is_read_only_at_the_start_is_named(folder: Path, engine: None, logs: Tmpfs, tally: Tally) -> None:
    """On a read-only disk ``up`` fails with folder and cure in one line, every time; writable, the run passes."""
    with Stack(folder, **{**SETTINGS, "RECORDS": 1000, "RATE": 500}) as stack:
        for number in range(1, TIMES + 1):
            logs.read_only(on=True)
            done = stack.compose("up", "--no-log-prefix", "prepare", check=False, timeout=120)
            told = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("prepare: cannot")]
            logs.read_only(on=False)
            assert 1 == len(told), (number, done.stdout, done.stderr)
            assert "/volumes/logs" in told[0]
            assert "Read-only file system" in told[0]
            assert "mount its disk for writing" in told[0]
            tally.fault("read-only-start", "prepare")
        stack.up(clients=len(CLIENTS))
        stack.wait()
        counted = held(stack.volumes, 1000, NAMES)
        tally.held(counted.checked, lost=counted.lost, duplicated=counted.duplicated, undetected=counted.undetected)
        assert_all_held(stack.volumes, 1000, NAMES)


def test_a_disk_that_turns_read_only_is_named(
    folder: Path, engine: None, logs: Tmpfs, tally: Tally, capsys: pytest.CaptureFixture[str]
) -> None:
    """Clients that come back to a read-only disk name it and its cure; made writable, they go on; ten times.

    The kernel refuses the change while a log is open for writing, so they are away for that moment.
    """
    cure = "mount the folder for writing"
    # Who finds a folder unwritable holds for ten seconds before it looks again: the rounds are long.
    with Stack(folder, **{**SETTINGS, "RATE": RATE // 2}) as stack:
        stack.up(clients=len(CLIENTS))
        stack.receipted(10, "client-2")
        for _ in range(TIMES):
            before = len(said(stack, "client", cure))
            # Unlike a kill of the process this one keeps the restart policy off until they are started.
            stack.compose("kill", "client")
            logs.read_only(on=True)
            stack.start("client")
            poll_until(
                lambda known=before: len(said(stack, "client", cure)) >= known + len(CLIENTS),  # type: ignore[misc]
                "both name the cure",
                20,
                0.3,
            )
            logs.read_only(on=False)
            back = recovery_seconds(stack.volumes, RECORDS, NAMES, RECOVERY_SECONDS)
            enter(tally, "read-only", back)
            with capsys.disabled():
                print("read-only:", json.dumps(back))
        finish(stack, tally)
        lines = said(stack, "client", cure)
        assert {True} == {line.partition("| ")[2].startswith("error: ") and "/volumes/logs" in line for line in lines}
