"""Tests of services/local/verdict.py."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

from services.collector.verdict.snapshot import snapshot
from services.contract import summary
from services.local import verdict
from services.local.invocation_runs import InvocationRuns
from services.local.verdict import WaitPolicy
from tests.builders.runs import fold, good_run


def runs_of(*names: str) -> InvocationRuns:
    """Return an invocation's runs."""
    runs = InvocationRuns(lambda _: None)
    for name in names:
        runs.add(name)
    return runs


class WaitCommand:
    """Stands in for the wait command: returns the given results in order."""

    def __init__(self, *results: tuple[str, int, str]) -> None:
        self.results = list(results)
        """Run, exit code and last line of each call to come."""

    async def __call__(self, _: dict[str, str], run: str) -> tuple[int, str]:
        """Return the next result, which must be that of this run."""
        expected, code, line = self.results.pop(0)
        assert expected == run
        return code, line


POLICY = WaitPolicy(open_seconds=0.05, retry_seconds=0.0)


@pytest.mark.parametrize(
    ("codes", "expected"), [([0, 0], 0), ([0, 99], 99), ([98, 99], 98), ([99, 0], 99), ([105], 105), ([98, 105], 98)]
)
async def test_the_first_code_that_is_not_zero_counts(codes: Iterable[int], expected: int) -> None:
    """The runs are waited for in order, until all have a verdict or waiting for one is aborted."""
    command = WaitCommand(*((f"run-{number}", code, "") for number, code in enumerate(codes)))
    runs = runs_of("run-0", "run-1")

    assert expected == await verdict.wait_for_verdicts({}, runs, 2, print, POLICY, command)
    assert not command.results


async def test_the_reason_for_giving_up_is_printed() -> None:
    """The reason why there is no verdict is printed; a verdict itself is printed by the collector."""
    printed: list[str] = []
    command = WaitCommand(("a", 105, "no progress"), ("b", 99, "summary"))
    codes = [await verdict.wait_for_verdict({}, run, printed.append, POLICY, command) for run in ("a", "b")]

    assert [105, 99] == codes
    assert ["no progress"] == printed


async def test_a_command_that_fails_is_run_again() -> None:
    """A wait command that crashed or was killed is run again."""
    command = WaitCommand(("a", -9, ""), ("a", 1, "Traceback"), ("a", 0, ""))

    assert 0 == await verdict.wait_for_verdict({}, "a", print, POLICY, command)


async def test_a_run_that_is_never_opened_aborts() -> None:
    """Waiting for a run that is not opened ends with exit code 105 and a message."""
    printed: list[str] = []

    assert 105 == await verdict.wait_for_verdicts({}, runs_of(), 1, printed.append, POLICY)
    assert "none has been opened" in printed[0]


def closed(volumes: Path, run: str, verdict: str | None) -> None:
    """Store the summary of a run, closed with a verdict or still running."""
    made = snapshot(fold(good_run()), final=True).summary
    changed = msgspec.structs.replace(made, run=run, verdict=verdict, state="closed" if verdict else "running")
    (volumes / "summary" / run).mkdir(parents=True)
    (volumes / "summary" / run / "summary.json").write_bytes(summary.encode(changed))


@pytest.mark.parametrize(
    ("found", "count", "code"),
    [
        (["PASS"], 1, 0),
        (["FAIL"], 1, 99),
        (["PASS", "INVALID", "FAIL"], 3, 98),
        ([None], 1, 105),
        (["PASS", None], 2, 105),
        (["PASS"], 2, 105),
        (["PASS"], 0, 105),
        ([], 1, 105),
    ],
    ids=str,
)
def test_exit_code_of_a_stopped_invocation(tmp_path: Path, found: list[str | None], count: int, code: int) -> None:
    """The exit code is that of the verdicts if all runs are closed, and 105 otherwise."""
    names = [f"20261122T07300{number}Z" for number in range(len(found))]
    for name, one in zip(names, found, strict=True):
        closed(tmp_path, name, one)

    assert code == verdict.exit_code_when_stopped(tmp_path, runs_of(*names), count)
    (tmp_path / "summary" / "20261122T080000Z").mkdir(parents=True)
    (tmp_path / "summary" / "20261122T080000Z" / "summary.json").write_bytes(b'{"run":"\xff"}')
    assert 105 == verdict.exit_code_when_stopped(tmp_path, runs_of("20261122T080000Z"), 1)
