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


FEEDS: dict[str, tuple[str, tuple[int | None, ...]]] = {
    "feed-complete": ("PASS", (12, 12, 0, 0, 0)),
    "feed-gap-and-duplicate": ("FAIL", (12, 11, 1, 1, 0)),
    "feed-unnumbered": ("PASS", (None, 6, None, None, None)),
    "feed-restarted": ("PASS", (6, 6, 0, 0, 0)),
    "feed-of-ranges": ("PASS", (4, 4, 0, 0, 0)),
    "feed-gap-in-links": ("FAIL", (None, 4, None, 0, 0)),
    "feed-not-by-one": ("INVALID", (None, 6, None, None, None)),
    "feed-wrapped": ("FAIL", (5, 4, 1, 0, 0)),
    "feed-connected": ("PASS", (6, 6, 0, 0, 0)),
    "feed-restarted-client": ("PASS", (6, 6, 0, 0, 0)),
    "feed-client-stopped": ("PASS", (10, 10, 0, 0, 0)),
    "feed-connections-unknown": ("INVALID", (6, 6, 0, 0, 0)),
    "feed-contents-differ": ("INVALID", (None, 15, None, None, None)),
    "feed-contents-bridge-a-reconnect": ("PASS", (None, 16, None, None, None)),
    "feed-cut-off": ("FAIL", (3, 3, 0, 0, 0)),
    "feed-fallen-silent": ("INVALID", (6, 6, 0, 0, 0)),
    "feed-silent-as-said": ("PASS", (6, 6, 0, 0, 0)),
    "feed-ended-as-said": ("PASS", (6, 6, 0, 0, 0)),
    "feed-refused": ("INVALID", (None, 0, None, None, None)),
    "feed-greeting-unanswered": ("INVALID", (None, 0, None, None, None)),
    "feed-close-not-logged": ("INVALID", (6, 6, 0, 0, 0)),
    "feed-client-lost": ("FAIL", (12, 12, 0, 0, 0)),
    "feed-client-never-came": ("FAIL", (6, 6, 0, 0, 0)),
    "feed-session-removed": ("INVALID", (6, 6, 0, 0, 0)),
    "feed-own-numbers": ("PASS", (15, 15, 0, 0, 0)),
    "feed-one-other-record": ("FAIL", (12, 12, 0, 0, 0)),
    "feed-of-steps": ("FAIL", (8, 6, 2, 0, 0)),
    "feed-gap-in-ranges": ("FAIL", (None, 4, None, 0, 0)),
    "feed-signs-of-life": ("PASS", (4, 4, 0, 0, 0)),
    "feed-begun-again": ("INVALID", (6, 6, 0, 0, 0)),
    "feed-beginning-lost": ("FAIL", (11, 8, 3, 0, 0)),
    "feed-jump": ("INVALID", (6, 6, 0, 0, 0)),
    "feed-wrapped-as-said": ("PASS", (6, 6, 0, 0, 0)),
    "feed-wrapped-and-behind": ("INVALID", (15, 15, 0, 0, 0)),
    "feed-lists": ("PASS", (6, 6, 0, 0, 0)),
    "feed-of-keys": ("FAIL", (7, 6, 1, 0, 0)),
    "feed-long-keys": ("PASS", (6, 6, 0, 0, 0)),
    "feed-key-nowhere": ("INVALID", (None, 6, None, None, None)),
    "feed-key-gone": ("INVALID", (13, 13, 0, 0, 0)),
    "feed-keys-of-one-client": ("INVALID", (36, 36, 0, 0, 0)),
    "feed-several-sequences": ("INVALID", (None, 12, None, None, None)),
    "feed-passed-over": ("FAIL", (7, 6, 1, 0, 0)),
    "feed-unreadable": ("INVALID", (6, 5, 0, 0, 0)),
    "feed-not-strict": ("PASS", (6, 6, 0, 0, 0)),
    "feed-without-number": ("PASS", (5, 5, 0, 0, 0)),
    "feed-clock-ahead": ("PASS", (6, 6, 0, 0, 0)),
    "feed-time-nowhere": ("PASS", (6, 6, 0, 0, 0)),
    "feed-of-64-bits": ("FAIL", (7, 6, 1, 0, 0)),
    "feed-repeated": ("FAIL", (5, 5, 0, 2, 0)),
    "feed-repeated-as-said": ("PASS", (5, 5, 0, 0, 0)),
    "feed-out-of-order": ("FAIL", (6, 6, 0, 0, 1)),
    "feed-disk-behind": ("INVALID", (6, 6, 0, 0, 0)),
}
"""Verdict and numbers of expected, received, missing, repeated and late records of the cases of an external feed.

Each was held against the description of its case.
"""


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
    is_good = case in generator.TABLES["good"] or FEEDS.get(name, ("",))[0] == "PASS"

    assert is_good is (verdicts == {"PASS"})
    assert is_good or all(json.loads(line)["reasons"] for line in lines_of(name))


@pytest.mark.parametrize(
    "case", [case for title, some in generator.TABLES.items() if "foreign" in title for case in some]
)
def test_a_case_of_an_external_feed_has_the_figures_that_its_description_says(case: Case) -> None:
    """Verdict and counts of each case are those that its description demands."""
    (line,) = lines_of(generator.name_of(case))
    reported = json.loads(line)
    counts = ("expected", "received", "missing", "duplicates", "reordered")

    assert FEEDS[generator.name_of(case)] == (reported["verdict"], tuple(reported["totals"][name] for name in counts))


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
    """A case is small enough to read: at most 20 KB, and all cases together less than 1 MB."""
    sizes = {
        name: sum(path.stat().st_size for path in (generator.VOLUMES / name).rglob("*") if path.is_file())
        for name in ALL
    }

    assert not [name for name, size in sizes.items() if size > 20_000]
    assert sum(sizes.values()) < 1_000_000
