"""The verdict as JUnit XML, which the test panels of CI systems read: a test case for each check and threshold.

A failed check is a ``failure`` if it is a fact against the run, and an ``error`` if the measurement cannot be trusted.
The first case is the verdict itself, with all its reasons: a run in which nothing was measured fails no check. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from xml.etree import ElementTree as ET

from services.collector import formatting
from services.collector.publish.table import Table
from services.collector.publish.terminal import summary_text
from services.collector.publish.view_model import CheckRow, View
from services.collector.verdict.checks import INVALIDATING
from services.runtime.output import printable

NAME = "streamgauge"

_NOT_XML = re.compile("[\ufffe\uffff]")
"""Characters that no XML document may contain, besides those that `printable` escapes; a damaged log may."""


def junit(view: View) -> bytes:
    """Return a run that has a verdict as a JUnit document."""
    cases = [_verdict_case(view)]
    cases += [
        _case("checks", check, _result(check, "error" if check.name in INVALIDATING else "failure"))
        for check in view.checks
    ]
    cases += [_case("thresholds", threshold, _result(threshold, "failure")) for threshold in view.thresholds]
    root = ET.Element("testsuites")
    suite = ET.SubElement(root, "testsuite", _suite_attributes(view, cases))
    # JUnit's schema requires this element here, also if it is empty, and system-out and system-err at the end.
    _add_properties(ET.SubElement(suite, "properties"), view)
    suite.extend(cases)
    ET.SubElement(suite, "system-out").text = _valid(summary_text.render(view))
    ET.SubElement(suite, "system-err")
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'.encode()


def _add_properties(properties: ET.Element, view: View) -> None:
    """Add the connections to an external feed, one property each, and one for each client."""
    table = view.connections
    if not isinstance(table, Table):
        return
    labels = [column.label for column in table.columns[2:]]
    for client, number, *cells in table.rows:
        said = [f"{label} {cell.text}" for label, cell in zip(labels, cells, strict=True) if cell.text]
        is_sum = number.text.endswith("in all")
        kind = "connections" if is_sum else "connection" if number.text else ""
        name = " ".join(filter(None, (client.text, kind, "" if is_sum else number.text)))
        value = ", ".join([cell.text for cell in (number, *cells) if cell.text] if is_sum else said)
        ET.SubElement(properties, "property", {"name": _valid(name), "value": _valid(value)})


def _suite_attributes(view: View, cases: list[ET.Element]) -> dict[str, str]:
    counts = {tag: sum(case.find(tag) is not None for case in cases) for tag in ("failure", "error", "skipped")}
    opened = view.run
    return {
        "id": "0",
        "package": NAME,
        "name": f"{NAME} run {view.run}",
        # JUnit's schema wants a time without a zone.
        "timestamp": f"{opened[:4]}-{opened[4:6]}-{opened[6:11]}:{opened[11:13]}:{opened[13:15]}",
        "hostname": "localhost",
        "tests": f"{len(cases)}",
        "failures": f"{counts['failure']}",
        "errors": f"{counts['error']}",
        "skipped": f"{counts['skipped']}",
        "time": formatting.plain_seconds(view.duration_ns),
    }


def _verdict_case(view: View) -> ET.Element:
    result = {"FAIL": "failure", "INVALID": "error"}.get(view.verdict or "")
    verdict = CheckRow(ok=view.verdict == "PASS", name="verdict", detail=view.headline)
    return _case("run", verdict, result, view.reasons)


def _result(check: CheckRow, result_if_failed: str) -> str | None:
    """Return the element that a test case gets, None if the check passed."""
    return {True: None, False: result_if_failed, None: "skipped"}[check.ok]


def _case(group: str, check: CheckRow, result: str | None, reasons: Iterable[str] = ()) -> ET.Element:
    case = ET.Element("testcase", {"classname": f"{NAME}.{group}", "name": _valid(check.name), "time": "0"})
    if result is not None:
        element = ET.SubElement(case, result, {"message": _valid(check.detail), "type": f"{group} {check.name}"})
        element.text = _valid("\n".join(reasons) or check.detail)
    return case


def _valid(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", printable.lines(text))
