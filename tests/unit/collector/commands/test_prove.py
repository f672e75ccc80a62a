"""Tests of services/collector/commands/prove.py."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.collector.__main__ import main
from services.collector.commands import verify
from services.collector.commands.mutations import Mutation
from services.collector.commands.prove import DAMAGES, DamageResult, prove
from services.collector.commands.run_loader import load_evidence
from services.collector.verdict import consistency
from tests.builders.external_runs import log, numbered_messages
from tests.builders.runs import RUN, good_run, ledger_source, write


@pytest.fixture
def volumes(tmp_path: Path) -> Path:
    """The folder of a good run: two clients, 60 records, blocks of 10."""
    folder = tmp_path / "volumes"
    write(good_run(), folder)
    return folder


def proved(volumes: Path, seed: int = 1, keep: Path | None = None) -> list[DamageResult]:
    """Return the result of every damage."""
    return list(prove(volumes, load_evidence(volumes, RUN), seed, keep))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers())
def test_wherever_it_is_damaged_it_is_caught(volumes: Path, seed: int) -> None:
    """Twelve damages at any places are caught, each with its place."""
    assert 12 == len(DAMAGES)
    assert [] == [one for one in proved(volumes, seed) if not one.caught or one.verdict == "PASS"]


def test_a_verdict_is_the_one_that_verify_gives(volumes: Path, tmp_path: Path) -> None:
    """`verify` judges every kept copy with the same verdict and sentence."""
    for one in proved(volumes, keep=tmp_path / "proof"):
        made = next(verify.check(tmp_path / "proof" / f"{one.number:02d}")).summary

        assert one.verdict == made.verdict
        assert one.sentence in [*map(consistency.fault_sentence, made.faults), *made.reasons]


def test_nothing_is_changed(volumes: Path) -> None:
    """The files of the run are unchanged."""
    before = {path: path.read_bytes() for path in volumes.rglob("*.jsonl")}
    proved(volumes)

    assert before == {path: path.read_bytes() for path in volumes.rglob("*.jsonl")}


def test_what_is_not_possible_is_stated_and_counts_for_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With one client eleven damages are possible, and all are caught."""
    opened = good_run()
    files = {source: lines for source, lines in opened.items() if source.client == "client-1"}
    files[ledger_source()] = _without_client_2(opened[ledger_source()])
    write(files, tmp_path)

    assert 0 == main(["prove", str(tmp_path)])
    out = capsys.readouterr().out
    assert "  -  8  a line of another client in its place: not possible, no other client has logged a block\n" in out
    assert out.endswith("\n  11 of 11 damages caught\n")


def _without_client_2(_: list[bytes]) -> list[bytes]:
    from tests.builders.runs import end, good_ledger, good_sessions  # noqa: PLC0415

    writer = good_ledger([one for one in good_sessions() if one.client == "client-1"])
    writer.put(end(60))
    return writer.lines


def test_each_damage_is_shown_with_its_catch(volumes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The text has the place, the verdict and the sentence that names the place."""
    assert 0 == main(["prove", str(volumes), "--seed", "5"])
    lines = capsys.readouterr().out.splitlines()

    assert f"run {RUN}   PASS   2 clients · 59.3 ms · 120 of 120 delivered · p99 1.0 ms" == lines[0]
    at = next(
        number for number, line in enumerate(lines) if line.startswith("  ✓  2  a bit flipped in a block's header")
    )
    assert "client-1/0001-0002.jsonl:3, bit 0 of byte 169" == lines[at].partition("header")[2].strip()
    assert "        FAIL     client-1/0001-0002.jsonl:3: crc says xa7d05620, " == lines[at + 1][:65]
    assert "        INVALID  the ledger has no end: " == lines[-3][:40]
    assert "  12 of 12 damages caught" == lines[-1]


def test_json_is_a_line_for_each(volumes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --json each damage is a line of JSON, and nothing else is printed."""
    assert 0 == main(["prove", str(volumes), "--json"])
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert [(number, name) for number, name in enumerate(DAMAGES, 1)] == [
        (one["number"], one["damage"]) for one in found
    ]
    assert {True} == {one["caught"] for one in found}


def test_what_is_not_caught_fails(
    volumes: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A damage that no sentence names is printed as not caught and gives exit code 99."""
    monkeypatch.setitem(DAMAGES, "a line removed", lambda run: Mutation("nowhere", {}, ("nowhere",)))

    assert 99 == main(["prove", str(volumes)])
    out = capsys.readouterr().out
    assert "  ✗  3  a line removed                                   nowhere\n        PASS     " in out
    assert out.endswith("  11 of 12 damages caught\n")


def test_a_lines_number_is_not_a_part_of_another(volumes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sentence about line 12 does not name line 1."""
    monkeypatch.setitem(DAMAGES, "a line removed", lambda run: Mutation("x", {ledger_source(): []}, ("residual -6",)))

    assert False is proved(volumes)[2].caught


def test_a_run_that_does_not_pass_is_refused(volumes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run that does not pass is refused, with its verdict and the reason."""
    (volumes / ledger_source().path).unlink()

    assert 104 == main(["prove", str(volumes)])
    assert f"error: run {RUN} is INVALID as it is, so a damage would not show: " in capsys.readouterr().err


def test_only_an_empty_folder_is_filled(volumes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Copies are written only to an empty or new folder that can be written to."""
    assert 104 == main(["prove", str(volumes), "--keep", str(volumes)])
    assert (
        f"error: --keep {volumes}: the folder is not empty; nothing is ever written over\n" == capsys.readouterr().err
    )

    assert 104 == main(["prove", str(volumes), "--keep", str(volumes / ledger_source().path)])
    assert "error: cannot write to " in capsys.readouterr().err


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    """A folder without a run is an error."""
    (tmp_path / "logs").mkdir()

    assert 104 == main(["prove", str(tmp_path)])


def test_a_run_without_a_ledger_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run of an external feed is refused in one line."""
    write(log("client-1", numbered_messages([1, 2, 3])), tmp_path)

    assert 104 == main(["prove", str(tmp_path)])
    assert f"error: run {RUN} is of an external feed: it has no ledger, and prove damages ledger and logs\n" == (
        capsys.readouterr().err
    )
