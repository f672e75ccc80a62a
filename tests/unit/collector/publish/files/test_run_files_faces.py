"""Tests of services/collector/publish/files/run_files.py: the faces of a run agree to the last digit."""

import csv
import io
import json
import re
from xml.etree import ElementTree as ET

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.collector import formatting
from services.collector.publish.files.markdown import escaped
from services.collector.publish.files.run_files import faces
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
    lambda found: Quantiles(**dict(zip(Quantiles.__struct_fields__, sorted(found), strict=True)))
)


def failed() -> Snapshot:
    """Return a run of which a block is missing."""
    files = good_run()
    del files[log_source("client-1")][1]
    return snapshot(fold(files), LIMITS, final=True)


FAILED = failed()


@st.composite
def _snapshots(draw: st.DrawFn) -> Snapshot:
    """Return one of the two runs with any numbers in it."""
    made = draw(st.sampled_from([GOOD, FAILED]))
    names = ("received", "expected", "missing", "duplicates", "reordered", "corrupt", "residual", "blocks", "bytes")
    totals = msgspec.structs.replace(made.summary.totals, **{name: draw(counts) for name in names})
    clients = [
        msgspec.structs.replace(
            client,
            received=draw(counts),
            missing=draw(counts),
            blocks=draw(counts),
            latency_ns=draw(quantiles),
            block_duration_ns=draw(quantiles),
        )
        for client in made.summary.clients
    ]
    summary = msgspec.structs.replace(made.summary, totals=totals, latency_ns=draw(quantiles), clients=clients)
    return made._replace(summary=summary)


class Told:
    """What each face of a run says, ready to be compared."""

    def __init__(self, made: Snapshot) -> None:
        written = faces(made)
        self.json = json.loads(written["summary.json"])
        self.terminal = summary_text.final(view(made, "files: here")).splitlines()
        self.markdown = [
            [cell.strip(" |") for cell in line.split(" | ")] for line in written["summary.md"].decode().splitlines()
        ]
        self.panel = ET.fromstring(written["junit.xml"])
        self.sheet = list(csv.DictReader(io.StringIO(written["clients.csv"].decode())))

    def line(self, begin: str) -> str:
        """Return the terminal's line that begins so."""
        return next(line for line in self.terminal if line.strip().startswith(begin))

    def row(self, begin: str) -> list[str]:
        """Return the row of the Markdown that begins so."""
        return next(row for row in self.markdown if row[0] == begin)


@given(_snapshots())
def test_the_totals_agree_to_the_last_digit(made: Snapshot) -> None:
    """Terminal and Markdown say in words what the JSON says in numbers."""
    told = Told(made)
    totals = told.json["totals"]
    received = f"{totals['received']:,} of {totals['expected']:,} messages"

    assert told.line("received.").partition(": ")[2].startswith(received)
    assert received == told.row("received")[1]
    for label, name in {"missing": "missing", "duplicates": "duplicates", "residual": "residual"}.items():
        count = formatting.several(totals[name], "message")
        assert (count, count) == (told.line(f"{label}.").partition(": ")[2], told.row(label)[1])


@given(_snapshots())
def test_the_times_agree_to_the_last_digit(made: Snapshot) -> None:
    """Every quantile of the JSON is in the Markdown; the terminal shows those that it has room for, in their order."""
    told = Told(made)
    late = [formatting.duration(value) for value in told.json["latency_ns"].values()]
    shown = re.split(r"  +", told.line("latency from due time.").partition(":")[2].strip())
    rest = iter(late)

    assert late == told.row("latency from due time")[1:]
    assert len(shown) >= 4
    assert all(text in rest for text in shown)


@given(_snapshots())
def test_the_clients_agree_to_the_last_digit(made: Snapshot) -> None:
    """The sheet has the numbers of the JSON, terminal and Markdown have them in words."""
    told = Told(made)
    for client, row in zip(told.json["clients"], told.sheet, strict=True):
        p99, name = client["latency_ns"]["p99"], client["client"]
        texts = {f"{client['received']:,}", f"{client['missing']:,}", formatting.duration(p99)}

        assert (f"{client['received']}", f"{p99}") == (row["received"], row["latency_ns_p99"])
        assert texts <= set(told.row(name))
        assert texts <= set(re.split(r"  +", told.line(name)))


@given(_snapshots())
def test_the_answers_agree(made: Snapshot) -> None:
    """Each check and threshold is answered alike, and the panel of a CI system shows the terminal's summary."""
    told = Told(made)
    blamed = {case.attrib["name"]: case[0].tag if len(case) else None for case in told.panel.iter("testcase")}
    answers = {check["name"]: check for check in told.json["checks"]}
    answers |= {limit["expression"]: limit for limit in told.json["thresholds"]}

    assert ["verdict", *answers] == list(blamed)
    for name, answer in answers.items():
        assert answer["ok"] is (blamed[name] is None)
        assert re.fullmatch(
            rf" +{formatting.MARKS[answer['ok']]} {re.escape(name)} +{answer['detail']}",
            told.line(f"{formatting.MARKS[answer['ok']]} {name} "),
        )
        assert [formatting.MARKS[answer["ok"]], answer["detail"]] == next(
            row[::2] for row in told.markdown if row[1:2] == [escaped(name)]
        )
    assert told.terminal[:-1] == (told.panel.findtext("testsuite/system-out") or "").splitlines()[:-1]


def test_the_summary_is_written_last() -> None:
    """Who finds the summary of a closed run finds all its files."""
    assert ["timeline.json", "report.html", "clients.csv", "junit.xml", "summary.md", "summary.json"] == list(
        faces(GOOD)
    )


def test_the_files_may_be_moved() -> None:
    """None of them says where the volumes folder was when it was made."""
    assert b"files: logs/20261122T073000Z/  summary/20261122T073000Z/report.html" in faces(GOOD)["junit.xml"]
