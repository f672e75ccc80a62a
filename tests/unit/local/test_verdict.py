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
    """Return runs that are known."""
    runs = InvocationRuns(lambda _: None)
    for name in names:
        runs.add(name)
    return runs


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, str]]:
    """Return the answers that waiting gives, in their order: for which run, the code, the last line."""
    given: list[tuple[str, int, str]] = []

    async def wait(_: dict[str, str], run: str) -> tuple[int, str]:
        expected, code, said = given.pop(0)
        assert expected == run
        return code, said

    monkeypatch.setattr(verdict, "_wait", wait)
    monkeypatch.setattr(verdict, "AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(verdict, "OPEN_SECONDS", 0.05)
    return given


@pytest.mark.parametrize(
    ("codes", "expected"), [([0, 0], 0), ([0, 99], 99), ([98, 99], 98), ([99, 0], 99), ([105], 105), ([98, 105], 98)]
)
async def test_the_first_code_that_is_not_zero_counts(
    answers: list[tuple[str, int, str]], codes: Iterable[int], expected: int
) -> None:
    """Each run is waited for in its turn; a wait that was given up ends it."""
    answers += [(f"run-{number}", code, "") for number, code in enumerate(codes)]

    assert expected == await verdict.verdicts({}, runs_of("run-0", "run-1"), 2, print)
    assert not answers


async def test_the_reason_for_giving_up_is_said(answers: list[tuple[str, int, str]]) -> None:
    """A verdict has been shown by the collector; why there is none has not."""
    said: list[str] = []
    answers += [("a", 105, "no progress"), ("b", 99, "summary")]

    assert [105, 99] == [await verdict.verdict({}, run, said.append) for run in ("a", "b")]
    assert ["no progress"] == said


async def test_a_command_that_fails_is_run_again(answers: list[tuple[str, int, str]]) -> None:
    """The end of the command that waits is no verdict on the run."""
    answers += [("a", -9, ""), ("a", 1, "Traceback"), ("a", 0, "")]

    assert 0 == await verdict.verdict({}, "a", print)


async def test_a_run_that_is_never_opened_is_not_waited_for_for_ever(answers: list[tuple[str, int, str]]) -> None:
    """Waiting ends with the code of a run that was aborted, and says so."""
    said: list[str] = []

    assert 105 == await verdict.verdicts({}, runs_of(), 1, said.append)
    assert "none has been opened" in said[0]


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
def test_a_verdict_that_a_stop_brings_about_counts(
    tmp_path: Path, found: list[str | None], count: int, code: int
) -> None:
    """Where all runs are closed the verdict has been shown, and is the exit code; else the invocation was aborted."""
    names = [f"20261122T07300{number}Z" for number in range(len(found))]
    for name, one in zip(names, found, strict=True):
        closed(tmp_path, name, one)

    assert code == verdict.stopped(tmp_path, runs_of(*names), count)
    assert 105 == verdict.stopped(tmp_path, runs_of("20261122T080000Z"), 1)
