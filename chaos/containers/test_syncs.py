"""Makes a sync or a write fail once, on a client's log or the server's ledger: no record is lost or logged twice."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from chaos.containers.container_lookup import SERVER, Containers, Target
from chaos.containers.trace import fail_once, require_strace
from chaos.containers.two_clients import NAMES, assert_run_is_whole, settings, wait_for_recovery
from chaos.tally import Tally
from services.contract import blocklog
from tests.integration.stack import Stack

pytestmark = [pytest.mark.containers, pytest.mark.slow]

TIMES, RATE, RECORDS, FINAL_RATE = 10, 100, 12_000, 2000
SETTINGS = settings(RATE, RECORDS, BLOCK_SIZES="10,25")


class Failure(NamedTuple):
    """A kind of failure: the system calls that fail, and the error that they return."""

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
    """Return the path of the file that a process opened last below a folder of its container."""
    open_files = [(int(fd.name), str(fd.readlink())) for fd in Path(f"/proc/{pid}/fd").iterdir() if fd.is_symlink()]
    return max((number, path) for number, path in open_files if path.startswith(folder) and path.endswith(".jsonl"))[1]


def recoveries_text(tally: Tally, kinds: Sequence[Failure]) -> str:
    """Return the recovery times as JSON."""
    return json.dumps(
        {failure.kind: [f.recovery_s for f in tally.faults if f.kind == failure.kind] for failure in kinds}
    )


def new_stack(folder: Path) -> Stack:
    """Return a stack of two clients that is not started yet."""
    require_strace()
    return Stack(folder, **SETTINGS)


def test_a_log_that_is_refused_once_goes_on_elsewhere(
    folder: Path, engine: None, tally: Tally, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A client whose sync or write fails logs it and continues in a new file: every record is there once."""
    with new_stack(folder) as stack:
        stack.up(clients=len(NAMES))
        containers = Containers(stack)
        stack.receipted(10, "client-2")
        for number in range(TIMES * len(ON_LOGS)):
            failure = ON_LOGS[number % len(ON_LOGS)]
            target = Target("client", 1 + number % len(NAMES))
            pid = containers.service_pid(target)
            path = "" if failure.calls != "write" else open_file(pid, "/volumes/logs/")
            fail_once(pid, tmp_path / "strace", failure.calls, failure.error, path)
            recovery_s = wait_for_recovery(stack, RECORDS, [str(target)])
            tally.add_fault(failure.kind, str(target), recovery_s[str(target)])
        with capsys.disabled():
            print("\n" + recoveries_text(tally, ON_LOGS))
        assert_run_is_whole(stack, tally, RECORDS, FINAL_RATE)
        log = stack.compose("logs", "--no-color", "client").stdout
        assert TIMES * len(ON_LOGS) <= log.count("disk refuses")
        # Each failure costs a file, whose end line is best effort: the disk may refuse that line, too.
        assert TIMES * len(ON_LOGS) + len(NAMES) <= sum(len(stack.volumes.files(name)) for name in NAMES)
        reasons = [end.reason for name in NAMES for end in end_lines(stack, name)]
        assert {"error", "finished"} == set(reasons)
        assert len(NAMES) == reasons.count("finished")


def end_lines(stack: Stack, name: str) -> list[blocklog.EndLine]:
    """Return the end lines of all files of a client."""
    return [entry for entry in stack.volumes.log(name) if isinstance(entry, blocklog.EndLine)]


def test_a_ledger_that_is_refused_once_is_made_whole(
    folder: Path, engine: None, tally: Tally, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A server whose ledger cannot be synced or written stops sending until it can; the process keeps running."""
    with new_stack(folder) as stack:
        stack.up(clients=len(NAMES))
        containers = Containers(stack)
        stack.receipted(10, "client-2")
        pid = containers.service_pid(SERVER)
        for number in range(TIMES * len(ON_LEDGER)):
            failure = ON_LEDGER[number % len(ON_LEDGER)]
            path = open_file(pid, "/volumes/ledger/")
            fail_once(pid, tmp_path / "strace", failure.calls, failure.error, path)
            recovery_s = wait_for_recovery(stack, RECORDS)
            tally.add_fault(failure.kind, str(SERVER), max(recovery_s.values()))
        with capsys.disabled():
            print("\n" + recoveries_text(tally, ON_LEDGER))
        assert_run_is_whole(stack, tally, RECORDS, FINAL_RATE)
        log = stack.compose("logs", "--no-color", "server").stdout
        assert TIMES <= log.count("ledger not synced, sending stops")
        assert TIMES <= log.count("ledger refused, sending stops")
        assert pid == containers.service_pid(SERVER)
        assert 1 == len(stack.volumes.ledger_files())
