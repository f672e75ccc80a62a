"""Tests of services/collector/publish/terminal.py."""

import msgspec
import pytest

from services.collector.publish import terminal
from services.collector.reconcile.expression import parse
from services.collector.reconcile.summarise import reconcile
from services.contract.summary import Fault
from tests.unit.collector.books_factory import fold, good_run, judged, ledger_source, log_source

OPEN = {**good_run(), ledger_source(): good_run()[ledger_source()][:-1]}


def test_a_progress_line_tells_what_matters() -> None:
    """Time, state, clients, share, rate, latency and loss, each with its unit."""
    made = reconcile(fold(OPEN), final=False)

    assert (
        "00:07  running   2 clients   120 of 120 (100.0 %)   1,000 msg/s   p99 1.0 ms   missing 0"
        == terminal.progress(made, 7.9, 1000.4)
    )


def test_a_waiting_run_counts_its_clients() -> None:
    """Before the start there is nothing else to tell."""
    made = reconcile(fold({ledger_source(): OPEN[ledger_source()][:1]}), final=False)

    assert "waiting   0 of 2 clients" == terminal.progress(made, None, None)


@pytest.mark.parametrize(("elapsed", "text"), [(None, "00:00"), (-1, "00:00"), (67, "01:07"), (3723.9, "1:02:03")])
def test_elapsed_time_is_short(elapsed: float | None, text: str) -> None:
    """Hours stand only when there are any."""
    assert text == terminal.clock(elapsed)


def test_the_summary_begins_with_the_verdict_and_is_narrow() -> None:
    """The verdict comes first, every section is there, no line is longer than 100 columns, no colour unasked."""
    text = terminal.final(judged(good_run(), parse("latency.p99<5ms")), "files: here")
    lines = text.splitlines()

    assert "  PASS   2 clients · 59.3 ms · 120 of 120 delivered · p99 1.0 ms" == lines[1]
    assert {"  CHECKS", "  THRESHOLDS", "  DELIVERY"} <= set(lines)
    assert "    ✓ latency.p99<5ms       measured 1.0 ms" in lines
    assert max(map(len, lines)) <= 100
    assert "\x1b" not in text
    assert "files: here" in lines[-1]


def test_colour_is_given_to_the_verdict_alone() -> None:
    """A terminal gets the verdict in colour and otherwise the same text."""
    made = judged(good_run())

    assert terminal.final(made, "x") == terminal.final(made, "x", colour=True).replace("\x1b[1;32m", "").replace(
        "\x1b[0m", ""
    )


def test_a_failure_tells_its_reasons() -> None:
    """What a FAIL is about stands first, all reasons below, wrapped."""
    files = good_run()
    del files[log_source("client-1")][1]
    text = terminal.final(judged(files), "x")

    assert text.splitlines()[1].startswith("  FAIL   client-1: 10 messages missing, 1–10 (receipted, not logged)")
    assert "  REASONS" in text.splitlines()
    assert max(map(len, text.splitlines())) <= 100


def test_long_lists_are_cut() -> None:
    """Many reasons and many clients are counted instead of filling the terminal."""
    made = judged(good_run())
    client = made.clients[0]
    crowded = msgspec.structs.replace(made, reasons=["why"] * 50, clients=[client] * 500)
    text = terminal.final(crowded, "x")

    assert "and 38 more in summary.json" in text
    assert "and 440 more in summary.json" in text


def test_a_fault_is_one_line() -> None:
    """File and line, kind, client, seqs, detail."""
    fault = Fault(file="f", line=3, kind="k", client=None, missing=(1, 2), detail="d")

    assert "f:3  k  -  seq 1-2  d" == terminal.fault_line(fault)
