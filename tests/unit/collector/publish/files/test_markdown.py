"""Tests of services/collector/publish/files/markdown.py."""

import re

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.collector.publish.files.markdown import escaped, markdown
from services.collector.publish.view_model import View, view
from services.collector.verdict.snapshot import Snapshot, snapshot
from services.collector.verdict.threshold_parser import parse
from services.contract.timeline import ClientLane, TimeSlot
from tests.builders.external_runs import evidence_of, log, message
from tests.builders.runs import RUN, Files, fold, good_run, log_source

GOOD = snapshot(fold(good_run()), final=True)


def _view(files: Files | None = None, limits: str = "", **changes: object) -> View:
    made = snapshot(fold(files or good_run()), parse(limits), final=True) if files or limits else GOOD
    return view(Snapshot(msgspec.structs.replace(made.summary, **changes), made.timeline), "files: here")


def _lines(shown: View) -> list[str]:
    return markdown(shown).decode().splitlines()


def test_the_verdict_is_the_title() -> None:
    """The title is followed by the headline, a section for each part, and the folders of the files."""
    lines = _lines(_view(limits="missing==0"))

    assert "# ✅ PASS" == lines[0]
    assert "**2 clients · 59.3 ms · 120 of 120 delivered · p99 1.0 ms**" == lines[2]
    assert ["Checks", "Thresholds", "Delivery", "Times", "Clients"] == [
        line[3:] for line in lines if line.startswith("## ")
    ]
    assert f"Run {RUN}, files: here" == lines[-1]


def test_checks_are_rows() -> None:
    """A check or threshold is a row of mark, name and detail."""
    lines = _lines(_view(limits="missing==0"))

    assert "| ✓ | complete | 120 of 120 delivered |" in lines
    assert "| ✓ | missing==0 | measured 0 |" in lines


def test_numbers_are_aligned_to_the_right() -> None:
    """The times have a column for each quantile, aligned to the right."""
    lines = _lines(_view())
    at = lines.index("|  | min | p50 | p90 | p95 | p99 | p99.9 | max |")

    assert "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |" == lines[at + 1]
    assert lines[at + 2].startswith("| latency from due time | 1.0 ms | ")


def test_a_failure_lists_its_reasons() -> None:
    """A failed run has a list of all reasons."""
    files = good_run()
    del files[log_source("client-1")][1]
    lines = _lines(_view(files))

    assert "# ❌ FAIL" == lines[0]
    assert any(line.startswith("* client-1: 10 messages missing") for line in lines)


def test_many_clients_are_counted() -> None:
    """Clients beyond fifty are counted; the CSV file has all of them."""
    client = GOOD.summary.clients[0]
    lines = _lines(_view(clients=[client] * 70))

    assert 50 == len([line for line in lines if line.startswith("| client-1 |")])
    assert "And 20 more in clients.csv." in lines


def test_silence_stays_blank() -> None:
    """Blanks within a sparkline are non-breaking, so HTML does not collapse them."""
    slots = [TimeSlot(at_us=at, messages=0, bytes=0, latency=None, transit=None, heat=[]) for at in range(4)]
    lanes = [ClientLane(client="client-1", stride=1, bars=[], gaps=[], worst=[4, None, None, 1])]
    timeline = msgspec.structs.replace(GOOD.timeline, lanes=lanes, slots=slots)

    assert "█\N{NO-BREAK SPACE}\N{NO-BREAK SPACE}▂" in markdown(view(Snapshot(GOOD.summary, timeline), "")).decode()


def test_markup_is_escaped() -> None:
    """Markup characters are escaped, and line breaks become blanks."""
    assert r"a\|b \~c\~ \<b\> \`d\` \*e\*" == escaped("a|b ~c~\n<b> `d` *e*")


@given(st.text(), st.lists(st.text(), min_size=2, max_size=3))
def test_no_text_breaks_a_table(detail: str, reasons: list[str]) -> None:
    """For any text every row has as many cells as the head."""
    made = GOOD.summary
    checks = [msgspec.structs.replace(check, detail=detail) for check in made.checks]
    text = markdown(_view(checks=checks, headline=detail, reasons=reasons)).decode()
    section = text.split("## Checks\n\n")[1].split("\n\n")[0]

    assert 2 + len(checks) == len(section.split("\n"))
    assert {4} == {len(re.findall(r"(?<!\\)\|", line.replace(r"\\", ""))) for line in section.split("\n")}


def test_a_value_that_was_not_measured_has_no_column() -> None:
    """A feed without numbers and times has no columns of dashes and no explanation of sparklines."""
    made = snapshot(evidence_of(log("client-1", [message(None, 0, late_ns=None)])), final=True)
    text = markdown(view(made, "files: here")).decode()

    assert "| client | block size | blocks | received | block p50 | silence |" in text
    assert "from start to end" not in text
    assert "| missing | not known |" in text
