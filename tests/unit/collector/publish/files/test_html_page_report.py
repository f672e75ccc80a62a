"""Tests of the report of a run, the page as one file with its data."""

import json
import re
from typing import Any

import msgspec
import pytest

from services.collector.publish.files.html_page import report
from services.collector.publish.view_model import view
from services.collector.verdict.snapshot import Snapshot, empty
from tests.builders.runs import RUN, good_run, judged
from tests.builders.snapshots import example, named

HOSTILE = "</script><script>alert(1)</script><!--"


def data_of(made: bytes) -> dict[str, Any]:
    """Return the data of a report."""
    found = re.search(rb'<script type="application/json" id="data">(.*?)</script>', made)
    assert found
    decoded: dict[str, Any] = json.loads(found[1])
    return decoded


def test_a_report_holds_the_view() -> None:
    """The data of a report has the view unchanged."""
    made = example()

    assert msgspec.to_builtins(view(made, "")) == data_of(report(made))["view"]
    assert made.summary.made_at == data_of(report(made))["made_at"]


def test_a_report_is_one_file() -> None:
    """A report loads nothing from elsewhere and has no parts that need a server."""
    text = report(example()).decode()
    # Whether Plotly's script loads anything is tested in a browser.
    ours = text[: text.index("plotly.js v")] + text[text.rindex("</script>") :]

    assert not re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=\"(?!data:)", ours)
    for live in ("EventSource", "/control", "/messages", 'id="dot"', "/metrics"):
        assert live not in ours


@pytest.mark.parametrize(
    "made", [Snapshot(judged(good_run(20)), empty(RUN)), Snapshot(judged({}), empty(RUN))], ids=["short", "empty"]
)
def test_every_run_has_a_report(made: Snapshot) -> None:
    """A run of one second and a run without records have reports."""
    assert made.summary.headline == data_of(report(made))["view"]["headline"]


def test_the_same_run_gives_the_same_bytes() -> None:
    """A report does not depend on when or where it was made."""
    assert report(example()) == report(example())


def test_no_name_becomes_markup() -> None:
    """A client name that contains tags cannot end an element."""
    plain, hostile = report(example()), report(named(example(), HOSTILE))

    assert plain.count(b"<script") == hostile.count(b"<script")
    assert plain.count(b"<!--") == hostile.count(b"<!--")
    assert HOSTILE in {row[0]["text"] for row in data_of(hostile)["view"]["clients"]["rows"]}
