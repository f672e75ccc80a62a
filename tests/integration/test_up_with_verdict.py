"""``docker compose --profile verdict up --exit-code-from verdict`` is a whole CI job: it ends with the verdict."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.integration.stack import UP_SECONDS, Stack
from tests.poll import poll_until
from tests.readers import is_sealed

pytestmark = [pytest.mark.containers, pytest.mark.slow]

UP = ("--profile", "verdict", "up", "--exit-code-from", "verdict")


def up(stack: Stack, clients: int, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run the whole job."""
    stack.settings |= settings
    return stack.compose(*UP, "--scale", f"client={clients}", check=False, timeout=UP_SECONDS)


def lines_of(service: str, output: str) -> list[str]:
    """Return what one container has printed."""
    lines = output.replace("\x1b[2K", "").splitlines()
    return [line.partition("|")[2].strip() for line in lines if re.match(rf"{service}-1\s*\|", line)]


def test_the_exit_code_is_the_verdict(folder: Path, engine: None) -> None:
    """PASS ends with 0 and FAIL with 99, on the same volumes, with one verdict each and every log sealed."""
    with Stack(folder, RECORDS=400, RATE=400) as stack:
        for code, verdict, limits in ((0, "PASS", ""), (99, "FAIL", "received==2000")):
            done = up(stack, 2, THRESHOLDS=limits)
            assert code == done.returncode, done.stdout
            assert lines_of("verdict", done.stdout)[-1].startswith(f"{verdict}  {stack.volumes.newest()}  ")
            assert 1 == sum(line.startswith(verdict) for line in lines_of("collector", done.stdout))
            assert ["client-1", "client-2"] == stack.volumes.clients()
            assert all(is_sealed(path) for name in stack.volumes.clients() for path in stack.volumes.files(name))
        assert 2 == len(stack.volumes.runs())


def test_a_doubt_has_its_own_code(folder: Path, engine: None) -> None:
    """A run whose ledger is damaged while it is played is INVALID, and the job ends with 98."""
    with Stack(folder, RECORDS=2000, RATE=200) as stack:
        with stack.in_foreground(*UP, "--scale", "client=1") as terminal:
            poll_until(lambda: "msg/s" in terminal.text, "the run goes", UP_SECONDS)
            (ledger,) = stack.volumes.ledger_files()
            with ledger.open("ab") as file:
                file.write(b'{"crc":"x00000000","prev":"x00000000","v":1,"kind":"sent"}\n')
            assert 98 == terminal.wait(120)
        assert ["INVALID"] == [line.split()[0] for line in lines_of("verdict", terminal.text) if "INVALID" in line]


def test_all_runs_are_waited_for(folder: Path, engine: None) -> None:
    """With ``RUNS=2`` the job ends after the second run."""
    with Stack(folder, RECORDS=200, RATE=400, RUNS=2) as stack:
        done = up(stack, 1)
        assert 0 == done.returncode, done.stdout
        assert stack.volumes.runs() == [line.split()[1] for line in lines_of("verdict", done.stdout) if "PASS" in line]
        assert 2 == len(stack.volumes.runs())


def test_ctrl_c_is_no_pass(folder: Path, engine: None) -> None:
    """Ctrl-C before the verdict stops everything in order, and the job does not succeed."""
    with Stack(folder, RECORDS=100_000, RATE=200) as stack:
        with stack.in_foreground(*UP, "--scale", "client=2") as terminal:
            poll_until(lambda: "msg/s" in terminal.text, "the run goes", UP_SECONDS)
            assert 0 != terminal.ctrl_c()
        assert all(is_sealed(path) for name in ("client-1", "client-2") for path in stack.volumes.files(name))
        found = stack.volumes.verdict()
        assert found is None or found.verdict != "PASS"


def test_a_failed_preparation_ends_the_job(folder: Path, engine: None) -> None:
    """Folders that cannot be prepared end the job with the one line of `prepare`, and no service starts."""
    (folder / "logs").write_text("a file")
    with Stack(folder, RECORDS=200) as stack:
        done = up(stack, 1)
        assert 0 != done.returncode
        assert "not a folder" in done.stdout + done.stderr
        assert not [line for line in lines_of("server", done.stdout) if "run opened" in line]
