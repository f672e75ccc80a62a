"""Tests of services/collector/publish/terminal/summary_text.py."""

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.collector.publish.terminal import summary_text
from services.collector.publish.terminal.text_layout import MIN_WIDTH
from services.collector.publish.view_model import View, view
from services.collector.verdict.snapshot import Snapshot, snapshot
from services.collector.verdict.threshold_parser import parse
from services.contract.summary import Causes, ClientSummary, Quantiles, Threshold, Totals
from services.contract.timeline import ClientLane, Timeline, TimeSlot
from tests.builders.runs import RUN, Files, fold, good_run, log_source

GOOD = snapshot(fold(good_run()), final=True)


def _view(files: Files | None = None, limits: str = "") -> View:
    return view(snapshot(fold(files or good_run()), parse(limits), final=True), "files: here")


def _changed(**changes: object) -> View:
    return view(Snapshot(msgspec.structs.replace(GOOD.summary, **changes), GOOD.timeline), "files: here")


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]+m", "", text)


def test_the_summary_begins_with_the_verdict() -> None:
    """The text has the verdict first, a title for each section, and the files last."""
    lines = summary_text.render(_view(limits="latency.p99<5ms")).splitlines()

    assert "  PASS   2 clients · 59.3 ms · 120 of 120 delivered · p99 1.0 ms" == lines[1]
    assert ["CHECKS", "THRESHOLDS", "DELIVERY", "TIMES", "CLIENTS"] == [
        line.split()[1] for line in lines if line.startswith("  █ ")
    ]
    assert "  files: here" == lines[-1]


def test_a_threshold_has_its_rule_and_the_measured_value() -> None:
    """Rule and measured value are on one line."""
    lines = summary_text.render(_view(limits="latency.p99<5ms, missing>0")).splitlines()

    assert "    ✓ latency.p99<5ms     measured 1.0 ms" in lines
    assert "    ✗ missing>0           measured 0" in lines


def test_all_colons_line_up() -> None:
    """Every leader has at least three dots and ends in the same column."""
    lines = summary_text.render(_changed(missing_by_cause=Causes(foreign=3))).splitlines()
    led = [line for line in lines if re.match(r" +[^.:]+\.\.\.+:", line)]

    assert 13 == len(led)
    assert {31} == {line.index(":") for line in led}


def test_colours_do_not_change_the_text() -> None:
    """A coloured summary has the same text, with verdict, marks and values in their tones."""
    files = good_run()
    del files[log_source("client-1")][1]
    coloured = summary_text.render(_view(files), colour=True)

    assert summary_text.render(_view(files)) == _plain(coloured)
    assert "\x1b[1;31mFAIL\x1b[0m" in coloured
    assert "\x1b[32m✓ \x1b[0m" in coloured
    assert "\x1b[31m10 messages\x1b[0m" in coloured
    assert "\x1b" not in summary_text.render(_view(files))


def test_a_failure_lists_its_reasons() -> None:
    """The main reason of a FAIL is in the headline, and all reasons follow below, wrapped."""
    files = good_run()
    del files[log_source("client-1")][1]
    lines = summary_text.render(_view(files)).splitlines()

    assert lines[1].startswith("  FAIL   client-1: 10 messages missing, 1–10 (receipted, not logged)")
    assert "  █ REASONS" in lines
    assert max(map(len, lines)) <= 100


def test_an_open_run_has_no_checks() -> None:
    """An open run has its state in place of the verdict."""
    made = snapshot(fold(good_run()), final=False)
    text = summary_text.render(view(made, "files: here"))

    assert text.startswith("\n  ENDED   ")
    assert "CHECKS" not in text


def test_long_lists_are_cut() -> None:
    """Reasons and clients beyond a limit are counted instead of listed."""
    client = GOOD.summary.clients[0]
    text = summary_text.render(_changed(reasons=["why"] * 50, clients=[client] * 500))

    assert "and 38 more in summary.json" in text
    assert "and 440 more in clients.csv" in text


def test_a_run_without_records_has_a_summary() -> None:
    """Without clients and records the summary has no empty tables."""
    text = summary_text.render(_changed(clients=[], totals=Totals(), **_unmeasured()))

    assert "received...................: 0 of 0 messages" in text
    assert "TIMES" not in text
    assert "CLIENTS" not in text


def _unmeasured() -> dict[str, Quantiles]:
    return dict.fromkeys(("latency_ns", "transit_ns", "spread_ns", "block_duration_ns"), Quantiles())


def test_the_sparklines_are_explained() -> None:
    """A line below the clients explains the highest character."""
    slots = [TimeSlot(at_us=at, messages=1, bytes=1, latency=None, transit=None, heat=[]) for at in range(2)]
    lanes = [ClientLane(client="client-1", stride=1, bars=[], gaps=[], worst=[1_000_000, 2_000_000])]
    timeline = Timeline(run=RUN, start_us=0, end_us=2, step_us=1, slots=slots, lanes=lanes, marks=[])
    lines = summary_text.render(view(Snapshot(GOOD.summary, timeline), "")).splitlines()

    assert [line for line in lines if "client-1" in line and line.endswith("▄█")]
    assert any("█ is 2.0 ms for every client, blank is silence" in line for line in lines)


counts = st.integers(0, 10**12)
quantiles = st.lists(counts, min_size=7, max_size=7).map(
    lambda found: Quantiles(**dict(zip(Quantiles.__struct_fields__, sorted(found), strict=True)))
)


@st.composite
def _clients(draw: st.DrawFn) -> ClientSummary:
    client = GOOD.summary.clients[0]
    names = st.from_regex(r"[a-z0-9][a-z0-9._~-]{0,62}", fullmatch=True)
    numbers = dict.fromkeys(("received", "missing", "duplicates", "blocks", "reordered"), counts)
    changes = {"client": draw(names), **{name: draw(number) for name, number in numbers.items()}}
    return msgspec.structs.replace(
        client,
        block_size=draw(st.none() | counts),
        latency_ns=draw(quantiles | st.just(Quantiles())),
        block_duration_ns=draw(quantiles),
        **changes,
    )


@given(st.lists(_clients(), max_size=5), st.text(), st.lists(st.text(min_size=1)), quantiles, st.data())
@pytest.mark.filterwarnings("error")
def test_no_line_is_longer_than_a_terminal(
    clients: list[ClientSummary], headline: str, reasons: list[str], durations: Quantiles, data: st.DataObject
) -> None:
    """No line exceeds the columns of a terminal, at most 100, for any names and numbers."""
    totals = Totals(**{name: data.draw(counts) for name in ("received", "missing", "residual", "blocks", "bytes")})
    limits = [Threshold(expression="x" * data.draw(st.integers(1, 150)), ok=True, measured=1, detail=headline)]
    changed = _changed(
        clients=clients, headline=headline, reasons=reasons, totals=totals, latency_ns=durations, thresholds=limits
    )
    width = data.draw(st.integers(MIN_WIDTH, 120))
    lines = summary_text.render(changed, width=width).split("\n")

    assert max(map(len, lines)) <= min(width, 100)


def test_a_value_wider_than_a_narrow_terminal_goes_on_below() -> None:
    """At 60 columns a number of eleven digits and the number it is compared with are whole, on two lines."""
    totals = msgspec.structs.replace(GOOD.summary.totals, received=10_000_000_000)
    lines = summary_text.render(_changed(totals=totals), width=60).split("\n")
    place = next(number for number, line in enumerate(lines) if "received" in line)

    assert 60 >= max(map(len, lines))
    assert "10,000,000,000 of 120 messages" in f"{lines[place].split(': ')[1]} {lines[place + 1].strip()}"


def test_a_narrow_terminal_keeps_numbers_whole() -> None:
    """At 80 and at 60 columns a number keeps its unit, and verdict, checks and clients are there."""
    for width in (80, 60):
        text = summary_text.render(view(GOOD, "files in /somewhere: logs/RUN/  summary/RUN/report.html"), width=width)

        for found in ("PASS", "120 of 120 messages", "kB/s", "books closed", "p50", "p99", "client-2"):
            assert found in text
        assert re.search(r"[0-9] msg/s", text)
        assert re.search(r"[0-9] kB/s", text)
        assert max(map(len, text.splitlines())) <= width
