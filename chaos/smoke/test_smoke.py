"""A minute of fault injection: a few faults in real containers, and a few power cuts."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from chaos.containers import plan
from chaos.containers.campaign import run_all
from chaos.containers.report import table, totals
from chaos.powercut.campaign import assert_nothing_lost, record_result, run_campaign
from chaos.scale import __main__ as scale_program
from chaos.scale.part import Part, PartOutcome
from chaos.scale.parts import PARTS
from chaos.tally import Tally


@pytest.mark.containers
@pytest.mark.slow
def test_nothing_is_lost_under_a_little_fire(folder: Path, engine: None, seed: int, tally: Tally) -> None:
    """Ten faults are injected into a stack of three clients, and every record is logged exactly once."""
    began = time.monotonic()
    (outcome,) = run_all(plan.smoke(seed), folder, seed, tally)
    print(f"{table(tally)}\n{totals(tally, [outcome], seed, time.monotonic() - began)}")
    outcome.assert_all_delivered()
    assert 10 == len(tally.faults)


@pytest.mark.slow
def test_receipts_survive_a_few_power_cuts(
    tmp_path: Path, seed: int, tally: Tally, capsys: pytest.CaptureFixture[str]
) -> None:
    """After thirty power cuts of real client processes no receipted record is missing, and the run passes."""
    began = time.monotonic()
    result = run_campaign(tmp_path, seed, "block", 30, total=2000)
    record_result(result, tally, began, capsys)
    assert_nothing_lost(result)
    assert 30 <= len(tally.faults)


@pytest.mark.slow
@pytest.mark.parametrize("part", [part for part in PARTS if part.is_short], ids=lambda part: part.letter)
def test_servers_that_share_a_run_survive_one_of_them(part: Part, tmp_path: Path) -> None:
    """Runs with several servers pass with one schedule and one receipt for each block, although one is killed."""
    outcome = part.play(tmp_path)

    assert [] == outcome.problems
    assert any(line.startswith("PASS ") for line in outcome.lines)


@pytest.mark.parametrize(
    ("arguments", "code", "printed"),
    [([], 1, ["(x) one", "(y) two", "wrong: y"]), (["x"], 0, ["(x) one", "all as expected"])],
)
def test_parts_are_tried_in_their_order(
    arguments: list[str],
    code: int,
    printed: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without arguments all parts are tried, and the exit code is 1 if one of them is wrong."""

    def fail(_: Path) -> PartOutcome:
        return PartOutcome(["FAIL  a headline"], ["the verdict"])

    parts = (Part("x", "one", True, lambda _: PartOutcome(["PASS  a headline"])), Part("y", "two", True, fail))
    monkeypatch.setattr(scale_program, "PARTS", parts)

    assert code == scale_program.main(arguments)
    shown = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("    ")]
    assert printed == shown


@pytest.mark.parametrize(("in_ci", "code"), [("", 0), ("true", 1)])
def test_a_part_that_cannot_be_tried_is_named(
    in_ci: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A part for which the machine lacks something is not played and not called right; in CI it is wrong."""
    monkeypatch.setenv("CI", in_ci)
    parts = (Part("x", "one", False, lambda _: PartOutcome(problems=["played"]), lambda: "no engine answers"),)
    monkeypatch.setattr(scale_program, "PARTS", parts)

    assert code == scale_program.main([])
    assert ["(x) one", "    NOT TRIED: no engine answers", "not tried: x"] == capsys.readouterr().out.splitlines()
