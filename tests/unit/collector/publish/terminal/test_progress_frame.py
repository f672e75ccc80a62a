"""Tests of services/collector/publish/terminal/progress.py."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.collector.publish.terminal.progress import frame
from services.collector.publish.terminal.text_table import StyledSpan
from services.collector.publish.view_model import View, view
from services.collector.verdict.snapshot import Snapshot, snapshot
from tests.builders.runs import fold, good_run, ledger_source

OPEN = snapshot(fold({**good_run(), ledger_source(): good_run()[ledger_source()][:-1]}), final=False)


def _view(**changes: object) -> View:
    return view(Snapshot(msgspec.structs.replace(OPEN.summary, **changes), OPEN.timeline), "files: here")


def _text(lines: list[list[StyledSpan]]) -> list[str]:
    return ["".join(text for text, _ in line).rstrip() for line in lines]


def test_a_frame_leads_with_how_far_the_run_is() -> None:
    """State, time, a bar, the share and the count; then the numbers in one line."""
    half = msgspec.structs.replace(OPEN.summary.totals, received=60)
    lines = _text(frame(_view(totals=half), 100, 40, 7.9, 1000.4))

    assert f"  RUNNING   00:07   {'━' * 18}{'─' * 18}   50.0 %   60 of 120" == lines[0]
    assert lines[2].startswith("  rate 1,000 msg/s   latency p99 1.0 ms   missing 0   blocks 12   clients 2")


def test_without_a_rate_of_late_that_since_the_start_is_shown() -> None:
    """Who only sees the summary knows no other."""
    assert _text(frame(_view(), 100, 40))[2].startswith("  rate 2,024 msg/s ")


def test_the_clients_stand_below() -> None:
    """As many as there is room for, twenty at most; the others are counted."""
    crowd = _view(clients=OPEN.summary.clients[:1] * 50)

    assert "  client-1" == _text(frame(_view(), 100, 40))[5][:10]
    assert (26, "  and 30 more") == (len(frame(crowd, 100, 60)), _text(frame(crowd, 100, 60))[-1])
    assert "  and 47 more" == _text(frame(crowd, 100, 10))[-1]


def test_a_waiting_run_counts_its_clients() -> None:
    """Before the start there is no bar."""
    waiting = snapshot(fold({ledger_source(): good_run()[ledger_source()][:1]}), final=False)

    assert "  WAITING   0 of 2 clients" == _text(frame(view(waiting, ""), 100, 40))[0]


@given(st.integers(1, 300), st.integers(1, 100), st.integers(0, 60))
def test_a_frame_fits_its_terminal(width: int, height: int, clients: int) -> None:
    """However small it is, and however many clients there are."""
    lines = _text(frame(_view(clients=OPEN.summary.clients[:1] * clients), width, height, 3600, 10**9))

    assert len(lines) <= max(1, height - 1)
    assert max(map(len, lines)) <= min(width, 100)
