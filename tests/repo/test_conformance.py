"""The conformance kit equals the output of its generator, and its expected summaries those of the collector."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from services.collector.__main__ import main
from tests.conformance import generator
from tests.conformance.generator import Case
from tests.repo.markdown import rows
from tests.repo.repository import text

AGAIN = "run: python -m tests.conformance"
ALL = dict(generator.cases())
every_case = pytest.mark.parametrize(("name", "case"), list(ALL.items()), ids=list(ALL))


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start from the defaults, independent of this machine's environment."""
    monkeypatch.delenv("THRESHOLDS", raising=False)


GOOD_FEEDS = ("feed-complete", "feed-unnumbered", "feed-restarted", "feed-of-ranges")
"""Cases of an external feed of which nothing is missing or wrong."""


def lines_of(name: str) -> list[str]:
    """Return the expected summaries of a case, a line for each run."""
    return (generator.VOLUMES / name / generator.EXPECTED).read_text(encoding="utf-8").splitlines(keepends=True)


def test_the_kit_is_what_its_script_makes(tmp_path: Path) -> None:
    """Files, expected summaries and tables of the page equal the generator's output, and there are no further files."""
    generator.write_anew(tmp_path)
    made = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    kept = [path for path in generator.VOLUMES.rglob("*") if path.is_file()]

    assert made == {path.relative_to(generator.KIT): path.read_bytes() for path in [*kept, generator.PAGE]}, AGAIN


@every_case
def test_verify_states_what_is_expected(name: str, case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints the expected bytes, and its exit code is that of the worst verdict."""
    found = lines_of(name)
    codes = {"PASS": 0, "INVALID": 98, "FAIL": 99}
    worst = max(codes[json.loads(line)["verdict"]] for line in found)

    assert worst == main(["verify", str(generator.VOLUMES / name), "--json"])
    assert "".join(found) == capsys.readouterr().out


@every_case
def test_report_is_the_same(name: str, case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The summary beside the report of a run is the expected one."""
    *_, newest = lines_of(name)
    main(["report", str(generator.VOLUMES / name), "--json", "--out", str(tmp_path)])

    assert newest == capsys.readouterr().out
    assert json.loads(newest) == json.loads((tmp_path / "summary.json").read_bytes())


@every_case
def test_what_is_expected_obeys_the_schema(name: str, case: Case) -> None:
    """Every summary of the kit is valid by docs/summary.schema.json."""
    validator = Draft202012Validator(json.loads(text("docs/summary.schema.json")))

    for line in lines_of(name):
        validator.validate(json.loads(line))


@every_case
def test_good_cases_pass_and_others_do_not(name: str, case: Case) -> None:
    """A case without a loss passes; a damaged case does not, and has a reason."""
    verdicts = {json.loads(line)["verdict"] for line in lines_of(name)}
    is_good = case in generator.TABLES["good"] or name in GOOD_FEEDS

    assert is_good is (verdicts == {"PASS"})
    assert is_good or all(json.loads(line)["reasons"] for line in lines_of(name))


def test_every_case_is_distinguished() -> None:
    """No two cases hold the same files, and each has its row on the page."""
    held = {tuple(sorted((path, b"".join(lines)) for path, lines in case().items())) for case in ALL.values()}
    named = [row[0].split("`")[1] for row in rows(text("docs/conformance/README.md")) if "](volumes/" in row[0]]

    assert len(ALL) == len(held)
    assert [*ALL] == named


@pytest.mark.parametrize("path", sorted((generator.KIT / "javascript").glob("*.js")), ids=lambda path: path.name)
def test_an_example_is_read_at_a_glance(path: Path) -> None:
    """An example has 80 lines at most, and needs Node.js, `ws` and the files beside it."""
    found = path.read_text(encoding="utf-8")
    needed = re.findall(r"require\(([^)]+)\)", found)

    assert len(found.splitlines()) <= 80
    assert max(map(len, found.splitlines())) <= 120
    assert all(re.fullmatch(r'"(ws|node:\w+|\./\w+\.js)"', name) for name in needed)
    assert all((path.parent / name.strip('"')).is_file() for name in needed if name.startswith('"./'))


def test_the_kit_stays_small() -> None:
    """A case is small enough to read: at most 20 KB, and all cases together less than 600 kB."""
    sizes = {
        name: sum(path.stat().st_size for path in (generator.VOLUMES / name).rglob("*") if path.is_file())
        for name in ALL
    }

    assert not [name for name, size in sizes.items() if size > 20_000]
    assert sum(sizes.values()) < 600_000
