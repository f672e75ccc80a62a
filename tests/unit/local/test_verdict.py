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
from tests.builders.runs import fold, good_run


def runs_of(*names: str) -> InvocationRuns:
    """Return an invocation's runs."""
    runs = InvocationRuns(lambda _: None)
    for name in names:
        runs.add(name)
    return runs


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, str]]:
    """Return the list of results of the wait command, in order: run, exit code, last line."""
    given: list[tuple[str, int, str]] = []

    async def wait(_: dict[str, str], run: str) -> tuple[int, str]:
        expected, code, line = given.pop(0)
        assert expected == run
        return code, line

    monkeypatch.setattr(verdict, "_run_wait_command", wait)
    monkeypatch.setattr(verdict, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(verdict, "OPEN_SECONDS", 0.05)
    return given


@pytest.mark.parametrize(
    ("codes", "expected"), [([0, 0], 0), ([0, 99], 99), ([98, 99], 98), ([99, 0], 99), ([105], 105), ([98, 105], 98)]
)
async def test_the_first_code_that_is_not_zero_counts(
    results: list[tuple[str, int, str]], codes: Iterable[int], expected: int
) -> None:
    """The runs are waited for in order, until all have a verdict or waiting for one is aborted."""
    results += [(f"run-{number}", code, "") for number, code in enumerate(codes)]

    assert expected == await verdict.wait_for_verdicts({}, runs_of("run-0", "run-1"), 2, print)
    assert not results


async def test_the_reason_for_giving_up_is_printed(results: list[tuple[str, int, str]]) -> None:
    """The reason why there is no verdict is printed; a verdict itself is printed by the collector."""
    printed: list[str] = []
    results += [("a", 105, "no progress"), ("b", 99, "summary")]

    assert [105, 99] == [await verdict.wait_for_verdict({}, run, printed.append) for run in ("a", "b")]
    assert ["no progress"] == printed


async def test_a_command_that_fails_is_run_again(results: list[tuple[str, int, str]]) -> None:
    """A wait command that crashed or was killed is run again."""
    results += [("a", -9, ""), ("a", 1, "Traceback"), ("a", 0, "")]

    assert 0 == await verdict.wait_for_verdict({}, "a", print)


async def test_a_run_that_is_never_opened_aborts(results: list[tuple[str, int, str]]) -> None:
    """Waiting for a run that is not opened ends with exit code 105 and a message."""
    printed: list[str] = []

    assert 105 == await verdict.wait_for_verdicts({}, runs_of(), 1, printed.append)
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
    assert 105 == verdict.exit_code_when_stopped(tmp_path, runs_of("20261122T080000Z"), 1)
