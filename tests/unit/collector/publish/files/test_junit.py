"""Tests of services/collector/publish/files/junit.py."""

import re
from xml.etree import ElementTree as ET

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.collector.publish.files.junit import junit
from services.collector.publish.terminal import summary_text
from services.collector.publish.view_model import View, view
from services.collector.verdict.snapshot import Snapshot, snapshot
from services.collector.verdict.threshold_parser import parse
from services.contract.summary import Check
from tests.builders.runs import Files, fold, good_run, ledger_source, log_source

GOOD = snapshot(fold(good_run()), final=True)


def _view(files: Files | None = None, limits: str = "", **changes: object) -> View:
    made = snapshot(fold(files or good_run()), parse(limits), final=True) if files or limits else GOOD
    return view(Snapshot(msgspec.structs.replace(made.summary, **changes), made.timeline), "files: here")


def _cases(shown: View) -> dict[str, tuple[str, str | None, str | None]]:
    """Return the result of each case by its name: element, message and text."""
    found = {}
    for case in ET.fromstring(junit(shown)).iter("testcase"):
        result = list(case)
        found[case.attrib["name"]] = (
            (result[0].tag, result[0].get("message"), result[0].text) if result else ("", None, None)
        )
    return found


def test_there_is_a_case_for_each_check_and_threshold() -> None:
    """The verdict is the first case, checks and thresholds follow in order; a passed run has no failures."""
    shown = _view(limits="missing==0, latency.p99<5ms")
    cases = _cases(shown)

    assert ["verdict", *(check.name for check in shown.checks), "missing==0", "latency.p99<5ms"] == list(cases)
    assert {("", None, None)} == set(cases.values())


def test_a_fact_against_the_run_is_a_failure() -> None:
    """A failed check is a failure with its detail, and the verdict has headline and reasons."""
    files = good_run()
    del files[log_source("client-1")][1]
    shown = _view(files, "missing==0")
    cases = _cases(shown)

    assert ("failure", shown.headline, "\n".join(shown.reasons)) == cases["verdict"]
    assert ("failure", "10 missing; 110 of 120 delivered") == cases["complete"][:2]
    assert ("failure", "measured 10") == cases["missing==0"][:2]
    assert "" == cases["in order"][0]


def test_a_doubt_about_the_measurement_is_an_error() -> None:
    """An INVALID run is an error, and so is the check that causes it."""
    files = good_run()
    del files[ledger_source()][-1]
    cases = _cases(_view(files))

    assert ("error", "error") == (cases["verdict"][0], cases["books closed"][0])


def test_a_check_without_result_is_skipped() -> None:
    """A check without a result neither passes nor fails."""
    shown = _view(checks=[Check(name="clocks", ok=None, detail="not measured")])

    assert ("skipped", "not measured") == _cases(shown)["clocks"][:2]


def test_the_suite_counts_its_cases() -> None:
    """The suite has all attributes and elements of the JUnit schema, in its order and formats."""
    files = good_run()
    del files[log_source("client-1")][1]
    root = ET.fromstring(junit(_view(files, "missing==0")))
    suite = root[0]

    assert ("testsuites", ["testsuite"]) == (root.tag, [child.tag for child in root])
    assert {
        "id": "0", "package": "streamgauge", "name": "streamgauge run 20261122T073000Z", "hostname": "localhost",
        "timestamp": "2026-11-22T07:30:00", "tests": "12", "failures": "3", "errors": "1", "skipped": "0",
        "time": "0.059",
    } == suite.attrib  # fmt: skip
    assert ["properties", *["testcase"] * 12, "system-out", "system-err"] == [child.tag for child in suite]


def test_the_output_is_the_terminal_summary() -> None:
    """system-out contains the summary as the terminal shows it."""
    shown = _view()

    assert summary_text.render(shown) == ET.fromstring(junit(shown)).findtext("testsuite/system-out")


@given(st.text(), st.lists(st.text(), min_size=1))
@pytest.mark.parametrize("verdict", ["PASS", "FAIL", "INVALID"])
def test_any_text_can_be_read_back(verdict: str, headline: str, reasons: list[str]) -> None:
    """Special characters are escaped, and characters that XML forbids are replaced."""
    text = junit(_view(verdict=verdict, headline=headline, reasons=reasons))
    case = ET.fromstring(text)[0][1]

    assert not re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]", text)
    if verdict != "PASS" and re.fullmatch(r"[ -~]*", headline):
        assert headline == case[0].get("message")
