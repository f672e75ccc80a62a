"""The verdict as JUnit XML, which the test panels of CI systems read: one case for each check and threshold.

A case that failed is a fact against the run, one with an error says that the run cannot be trusted. The first case is
the verdict itself, with all its reasons: there are runs in which every check holds and nothing was measured.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from xml.etree import ElementTree as ET

from services.collector import formatting
from services.collector.publish.terminal import summary_text
from services.collector.publish.view_model import CheckRow, View
from services.collector.verdict.checks import INVALIDATING

NAME = "streamgauge"

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML document may hold, escaped or not; a log that was damaged may."""


def junit(view: View) -> bytes:
    """Return a run that was judged as a JUnit document."""
    cases = [_verdict(view)]
    cases += [
        _case("checks", answer, _blamed(answer, "error" if answer.name in INVALIDATING else "failure"))
        for answer in view.checks
    ]
    cases += [_case("thresholds", answer, _blamed(answer, "failure")) for answer in view.thresholds]
    root = ET.Element("testsuites")
    suite = ET.SubElement(root, "testsuite", _head(view, cases))
    ET.SubElement(suite, "properties")
    suite.extend(cases)
    ET.SubElement(suite, "system-out").text = _clean(summary_text.final(view))
    ET.SubElement(suite, "system-err")
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'.encode()


def _head(view: View, cases: list[ET.Element]) -> dict[str, str]:
    counts = {tag: sum(case.find(tag) is not None for case in cases) for tag in ("failure", "error", "skipped")}
    opened = view.run
    return {
        "id": "0",
        "package": NAME,
        "name": f"{NAME} run {view.run}",
        # The document's own format: without a time zone.
        "timestamp": f"{opened[:4]}-{opened[4:6]}-{opened[6:11]}:{opened[11:13]}:{opened[13:15]}",
        "hostname": "localhost",
        "tests": f"{len(cases)}",
        "failures": f"{counts['failure']}",
        "errors": f"{counts['error']}",
        "skipped": f"{counts['skipped']}",
        "time": formatting.plain_seconds(view.duration_ns),
    }


def _verdict(view: View) -> ET.Element:
    blamed = {"FAIL": "failure", "INVALID": "error"}.get(view.verdict or "")
    answer = CheckRow(ok=view.verdict == "PASS", name="verdict", detail=view.headline)
    return _case("run", answer, blamed, view.reasons)


def _blamed(answer: CheckRow, blamed: str) -> str | None:
    return {True: None, False: blamed, None: "skipped"}[answer.ok]


def _case(group: str, answer: CheckRow, blamed: str | None, reasons: Iterable[str] = ()) -> ET.Element:
    case = ET.Element("testcase", {"classname": f"{NAME}.{group}", "name": _clean(answer.name), "time": "0"})
    if blamed is not None:
        found = ET.SubElement(case, blamed, {"message": _clean(answer.detail), "type": f"{group} {answer.name}"})
        found.text = _clean("\n".join(reasons) or answer.detail)
    return case


def _clean(text: str) -> str:
    return _NO_XML.sub("\N{REPLACEMENT CHARACTER}", text)
