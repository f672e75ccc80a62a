"""Full and read-only disks, ten times each: nothing is lost, and an error message names the folder and the fix."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.containers.invariants import assert_all_delivered
from chaos.containers.tmpfs import Tmpfs
from chaos.containers.two_clients import NAMES, add_deliveries, assert_run_is_whole, settings, wait_for_recovery
from chaos.tally import Tally
from tests.integration.stack import Stack
from tests.poll import poll_until

pytestmark = [pytest.mark.containers, pytest.mark.slow]

TIMES, RATE, RECORDS, FINAL_RATE = 10, 100, 24_000, 2000
SETTINGS = settings(RATE, RECORDS, BLOCK_SIZES="5,10", BLOCK_SECONDS=1)


@pytest.fixture
def logs(folder: Path) -> Iterator[Tmpfs]:
    """Mount a small file system for the logs only."""
    disk = Tmpfs(folder / "logs", "48m")
    yield disk
    disk.close()


def log_lines(stack: Stack, service: str, text: str) -> list[str]:
    """Return the log lines of a service's containers (stdout and stderr) that contain a text."""
    lines = stack.compose("logs", "--no-color", service).stdout.splitlines()
    return [line for line in lines if text in line]


def add_faults(tally: Tally, kind: str, recovery_s: dict[str, float]) -> None:
    """Add one fault of every client's disk, with the recovery times."""
    for name, seconds in recovery_s.items():
        tally.add_fault(kind, name, seconds)


def test_a_full_disk_only_delays(
    folder: Path, engine: None, logs: Tmpfs, tally: Tally, capsys: pytest.CaptureFixture[str]
) -> None:
    """A full disk stops the receipts, and each client logs it once; once there is space, nothing is missing."""
    with Stack(folder, **SETTINGS) as stack:
        stack.up(clients=len(NAMES))
        stack.receipted(10, "client-2")
        for number in range(1, TIMES + 1):
            logs.fill()
            poll_until(
                lambda times=number: len(log_lines(stack, "client", "disk refuses")) == times * len(NAMES),  # type: ignore[misc]
                f"both clients have logged {number} times that the disk refuses",
                20,
                0.3,
            )
            heads = {name: stack.volumes.head(name) for name in NAMES}
            assert heads == {name: stack.volumes.head(name) for name in NAMES}
            logs.free()
            recovery_s = wait_for_recovery(stack, RECORDS)
            add_faults(tally, "disk-full", recovery_s)
            with capsys.disabled():
                print("disk full:", json.dumps(recovery_s))
        assert_run_is_whole(stack, tally, RECORDS, FINAL_RATE)
        assert TIMES * len(NAMES) == len(log_lines(stack, "client", "disk refuses"))
        assert TIMES * len(NAMES) == len(log_lines(stack, "client", "disk accepts again"))


def test_a_disk_that_is_read_only_at_the_start_is_named(folder: Path, engine: None, logs: Tmpfs, tally: Tally) -> None:
    """On a read-only disk ``up`` fails, with folder and fix in one line; once it is writable, the run passes."""
    with Stack(folder, **{**SETTINGS, "RECORDS": 1000, "RATE": 500}) as stack:
        for number in range(1, TIMES + 1):
            logs.read_only(is_read_only=True)
            done = stack.compose("up", "--no-log-prefix", "prepare", check=False, timeout=120)
            errors = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("prepare: cannot")]
            logs.read_only(is_read_only=False)
            assert 1 == len(errors), (number, done.stdout, done.stderr)
            assert "/volumes/logs" in errors[0]
            assert "Read-only file system" in errors[0]
            assert "mount its disk for writing" in errors[0]
            tally.add_fault("read-only-start", "prepare")
        stack.up(clients=len(NAMES))
        stack.wait()
        add_deliveries(stack, tally, 1000)
        assert_all_delivered(stack.volumes, 1000, NAMES)


def test_a_disk_that_turns_read_only_is_named(
    folder: Path, engine: None, logs: Tmpfs, tally: Tally, capsys: pytest.CaptureFixture[str]
) -> None:
    """Clients restarted on a read-only disk print the folder and the fix; once it is writable, they continue.

    The clients are stopped for the change, since the kernel refuses it while a log is open for writing.
    """
    fix = "mount the folder for writing"
    # A client that cannot write waits for ten seconds before it tries again, so the rounds are long: half the rate.
    with Stack(folder, **{**SETTINGS, "RATE": RATE // 2}) as stack:
        stack.up(clients=len(NAMES))
        stack.receipted(10, "client-2")
        for _ in range(TIMES):
            before = len(log_lines(stack, "client", fix))
            # Compose's kill, unlike one from the host, disables the restart policy until the next start.
            stack.compose("kill", "client")
            logs.read_only(is_read_only=True)
            stack.start("client")
            poll_until(
                lambda known=before: len(log_lines(stack, "client", fix)) >= known + len(NAMES),  # type: ignore[misc]
                "both clients print the fix",
                20,
                0.3,
            )
            logs.read_only(is_read_only=False)
            recovery_s = wait_for_recovery(stack, RECORDS)
            add_faults(tally, "read-only", recovery_s)
            with capsys.disabled():
                print("read-only:", json.dumps(recovery_s))
        assert_run_is_whole(stack, tally, RECORDS, FINAL_RATE)
        lines = log_lines(stack, "client", fix)
        assert {True} == {line.partition("| ")[2].startswith("error: ") and "/volumes/logs" in line for line in lines}
