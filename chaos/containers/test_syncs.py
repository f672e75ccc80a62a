"""A sync or a write that fails once, on a client's log or the server's ledger: nothing is lost, and nothing twice."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from chaos.containers.container_lookup import SERVER, Containers, Place
from chaos.containers.fast_forward import hurry
from chaos.containers.invariants import assert_all_held, held, recovery_seconds
from chaos.containers.trace import fail_once, need_strace
from chaos.tally import Tally
from services.contract import blocklog
from tests.integration.stack import Stack

pytestmark = [pytest.mark.containers, pytest.mark.slow]

TIMES, RATE, RECORDS, HURRIED = 10, 100, 12_000, 2000
NAMES = ["client-1", "client-2"]
RECOVERY_SECONDS = 60.0
"""Beyond which somebody counts as stuck; what it took is reported."""
SETTINGS = {
    "RATE": RATE,
    "RECORDS": RECORDS,
    "CLIENTS": len(NAMES),
    "BLOCK_SIZES": "10,25",
    "GRACE_SECONDS": 20,
}


class Failure(NamedTuple):
    """Which calls fail, and how; ``path`` is a folder of the container."""

    kind: str
    calls: str
    error: str


ON_LOGS = [
    Failure("fsync-eio-client", "fdatasync,fsync", "EIO"),
    Failure("write-enospc-client", "write", "ENOSPC"),
    Failure("write-eio-client", "write", "EIO"),
]
ON_LEDGER = [Failure("fsync-eio-ledger", "fdatasync", "EIO"), Failure("write-eio-ledger", "write", "EIO")]


def open_file(pid: int, folder: str) -> str:
    """Return the file below a folder of its container that a process holds open, the last one opened."""
    found = [(int(fd.name), str(fd.readlink())) for fd in Path(f"/proc/{pid}/fd").iterdir() if fd.is_symlink()]
    return max((number, path) for number, path in found if path.startswith(folder) and path.endswith(".jsonl"))[1]


def finish(stack: Stack, tally: Tally) -> None:
    """Play the rest, and hold the run to everything."""
    hurry(stack, HURRIED)
    stack.wait(timeout=120)
    counted = held(stack.volumes, RECORDS, NAMES)
    tally.held(counted.checked, lost=counted.lost, duplicated=counted.duplicated, undetected=counted.undetected)
    assert_all_held(stack.volumes, RECORDS, NAMES)


def took(tally: Tally, kinds: Sequence[Failure]) -> str:
    """Return the times of recovery, in words."""
    return json.dumps({one.kind: [f.recovery_s for f in tally.faults if f.kind == one.kind] for one in kinds})


def begun(folder: Path) -> Stack:
    """Return a stack of two clients, not started."""
    need_strace()
    return Stack(folder, **SETTINGS)


def test_a_log_that_is_refused_once_goes_on_elsewhere(
    folder: Path, engine: None, tally: Tally, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A client whose sync or write fails gives the file up, says so, and goes on in a new one: all is there, once."""
    with begun(folder) as stack:
        stack.up(clients=len(NAMES))
        containers = Containers(stack)
        stack.receipted(10, "client-2")
        for number in range(TIMES * len(ON_LOGS)):
            failure = ON_LOGS[number % len(ON_LOGS)]
            place = Place("client", 1 + number % len(NAMES))
            pid = containers.service(place)
            path = "" if failure.calls != "write" else open_file(pid, "/volumes/logs/")
            fail_once(pid, tmp_path / "strace", failure.calls, failure.error, path)
            back = recovery_seconds(stack.volumes, RECORDS, [str(place)], RECOVERY_SECONDS)
            tally.fault(failure.kind, str(place), back[str(place)])
        with capsys.disabled():
            print("\n" + took(tally, ON_LOGS))
        finish(stack, tally)
        said = stack.compose("logs", "--no-color", "client").stdout
        assert TIMES * len(ON_LOGS) <= said.count("disk refuses")
        # Each failure costs a file. Its last line is best effort: a disk that refused may refuse that too.
        assert TIMES * len(ON_LOGS) + len(NAMES) <= sum(len(stack.volumes.files(name)) for name in NAMES)
        reasons = [end.reason for name in NAMES for end in ends(stack, name)]
        assert {"error", "finished"} == set(reasons)
        assert len(NAMES) == reasons.count("finished")


def ends(stack: Stack, name: str) -> list[blocklog.EndLine]:
    """Return the last lines of all files of a client."""
    return [entry for entry in stack.volumes.log(name) if isinstance(entry, blocklog.EndLine)]


def test_a_ledger_that_is_refused_once_is_made_whole(
    folder: Path, engine: None, tally: Tally, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A server whose ledger cannot be synced or written stops sending, not serving: the same process makes it good."""
    with begun(folder) as stack:
        stack.up(clients=len(NAMES))
        containers = Containers(stack)
        stack.receipted(10, "client-2")
        pid = containers.service(SERVER)
        for number in range(TIMES * len(ON_LEDGER)):
            failure = ON_LEDGER[number % len(ON_LEDGER)]
            path = open_file(pid, "/volumes/ledger/")
            fail_once(pid, tmp_path / "strace", failure.calls, failure.error, path)
            back = recovery_seconds(stack.volumes, RECORDS, NAMES, RECOVERY_SECONDS)
            tally.fault(failure.kind, str(SERVER), max(back.values()))
        with capsys.disabled():
            print("\n" + took(tally, ON_LEDGER))
        finish(stack, tally)
        said = stack.compose("logs", "--no-color", "server").stdout
        assert TIMES <= said.count("ledger not synced, sending stops")
        assert TIMES <= said.count("ledger refused, sending stops")
        assert pid == containers.service(SERVER)
        assert 1 == len(stack.volumes.ledger_files())
