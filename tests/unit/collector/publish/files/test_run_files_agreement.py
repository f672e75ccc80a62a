"""Tests of services/collector/publish/files/run_files.py: the files of a run and the terminal agree."""

import csv
import io
import json
import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any
from xml.etree import ElementTree as ET

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.collector import formatting
from services.collector.publish.files import run_files
from services.collector.publish.files.markdown import escaped
from services.collector.publish.files.run_files import render_files
from services.collector.publish.terminal import summary_text
from services.collector.publish.view_model import view
from services.collector.verdict.snapshot import Snapshot, snapshot
from services.collector.verdict.threshold_parser import parse
from services.contract.summary import Quantiles
from tests.builders.runs import fold, good_run, log_source

LIMITS = parse("latency.p99<5ms, missing==0, rate>1")
GOOD = snapshot(fold(good_run()), LIMITS, final=True)
counts = st.integers(0, 10**12)
quantiles = st.lists(counts, min_size=7, max_size=7).map(
    lambda values: Quantiles(**dict(zip(Quantiles.__struct_fields__, sorted(values), strict=True)))
)


@pytest.fixture(scope="module", autouse=True)
def _no_report() -> Iterator[None]:
    """Leave out the HTML report, which takes 98 % of the time and is compared by tests of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_files, "report", lambda _: b"")
        yield


def failed() -> Snapshot:
    """Return a run in which a block is missing."""
    files = good_run()
    del files[log_source("client-1")][1]
    return snapshot(fold(files), LIMITS, final=True)


FAILED = failed()


@st.composite
def _snapshots(draw: st.DrawFn) -> Snapshot:
    """Return one of the two runs with any numbers in it."""
    drawn = draw(st.sampled_from([GOOD, FAILED]))
    names = ("received", "expected", "missing", "duplicates", "reordered", "corrupt", "residual", "blocks", "bytes")
    totals = msgspec.structs.replace(drawn.summary.totals, **{name: draw(counts) for name in names})
    clients = [
        msgspec.structs.replace(
            client,
            received=draw(counts),
            missing=draw(counts),
            blocks=draw(counts),
            latency_ns=draw(quantiles),
            block_duration_ns=draw(quantiles),
        )
        for client in drawn.summary.clients
    ]
    summary = msgspec.structs.replace(drawn.summary, totals=totals, latency_ns=draw(quantiles), clients=clients)
    return drawn._replace(summary=summary)


class Outputs:
    """All outputs of a run, each parsed when a test compares it."""

    def __init__(self, run: Snapshot) -> None:
        self._run, self._written = run, render_files(run)

    @cached_property
    def json(self) -> Any:
        """The summary."""
        return json.loads(self._written["summary.json"])

    @cached_property
    def terminal(self) -> list[str]:
        """The lines of the terminal."""
        return summary_text.render(view(self._run, "files: here")).splitlines()

    @cached_property
    def markdown(self) -> list[list[str]]:
        """The cells of every line of Markdown."""
        lines = self._written["summary.md"].decode().splitlines()
        return [[cell.strip(" |") for cell in line.split(" | ")] for line in lines]

    @cached_property
    def panel(self) -> ET.Element:
        """The document of JUnit."""
        return ET.fromstring(self._written["junit.xml"])

    @cached_property
    def csv(self) -> list[dict[str, str]]:
        """The rows of the table of clients."""
        return list(csv.DictReader(io.StringIO(self._written["clients.csv"].decode())))

    def line(self, begin: str) -> str:
        """Return the terminal's line with this beginning."""
        return next(line for line in self.terminal if line.strip().startswith(begin))

    def row(self, begin: str) -> list[str]:
        """Return the Markdown row with this first cell."""
        return next(row for row in self.markdown if row[0] == begin)


@given(_snapshots())
def test_the_totals_agree_to_the_last_digit(run: Snapshot) -> None:
    """Terminal and Markdown show the numbers of the JSON."""
    outputs = Outputs(run)
    totals = outputs.json["totals"]
    received = f"{totals['received']:,} of {totals['expected']:,} messages"

    assert outputs.line("received.").partition(": ")[2].startswith(received)
    assert received == outputs.row("received")[1]
    for label, name in {"missing": "missing", "duplicates": "duplicates", "residual": "residual"}.items():
        count = formatting.several(totals[name], "message")
        assert (count, count) == (outputs.line(f"{label}.").partition(": ")[2], outputs.row(label)[1])


@given(_snapshots())
def test_the_times_agree_to_the_last_digit(run: Snapshot) -> None:
    """Markdown has every quantile of the JSON; the terminal shows those that fit, in order."""
    outputs = Outputs(run)
    late = [formatting.duration(value) for value in outputs.json["latency_ns"].values()]
    shown = re.split(r"  +", outputs.line("latency from due time.").partition(":")[2].strip())
    rest = iter(late)

    assert late == outputs.row("latency from due time")[1:]
    assert len(shown) >= 4
    assert all(text in rest for text in shown)


@given(_snapshots())
def test_the_clients_agree_to_the_last_digit(run: Snapshot) -> None:
    """CSV has the numbers of the JSON, and terminal and Markdown show them formatted."""
    outputs = Outputs(run)
    for client, row in zip(outputs.json["clients"], outputs.csv, strict=True):
        p99, name = client["latency_ns"]["p99"], client["client"]
        texts = {f"{client['received']:,}", f"{client['missing']:,}", formatting.duration(p99)}

        assert (f"{client['received']}", f"{p99}") == (row["received"], row["latency_ns_p99"])
        assert texts <= set(outputs.row(name))
        assert texts <= set(re.split(r"  +", outputs.line(name)))


@given(_snapshots())
def test_the_check_results_agree(run: Snapshot) -> None:
    """Each check and threshold has the same result everywhere, and JUnit contains the terminal's summary."""
    outputs = Outputs(run)
    results = {case.attrib["name"]: case[0].tag if len(case) else None for case in outputs.panel.iter("testcase")}
    checks = {check["name"]: check for check in outputs.json["checks"]}
    checks |= {limit["expression"]: limit for limit in outputs.json["thresholds"]}

    assert ["verdict", *checks] == list(results)
    for name, check in checks.items():
        assert check["ok"] is (results[name] is None)
        assert re.fullmatch(
            rf" +{formatting.MARKS[check['ok']]} {re.escape(name)} +{check['detail']}",
            outputs.line(f"{formatting.MARKS[check['ok']]} {name} "),
        )
        assert [formatting.MARKS[check["ok"]], check["detail"]] == next(
            row[::2] for row in outputs.markdown if row[1:2] == [escaped(name)]
        )
    assert outputs.terminal[:-1] == (outputs.panel.findtext("testsuite/system-out") or "").splitlines()[:-1]


def test_the_summary_is_written_last() -> None:
    """If the summary of a closed run exists, so do its other files."""
    assert ["timeline.json", "report.html", "clients.csv", "junit.xml", "summary.md", "summary.json"] == list(
        render_files(GOOD)
    )


def test_the_files_may_be_moved() -> None:
    """No file contains the path of the volumes folder."""
    assert b"files: logs/20261122T073000Z/  summary/20261122T073000Z/report.html" in render_files(GOOD)["junit.xml"]
