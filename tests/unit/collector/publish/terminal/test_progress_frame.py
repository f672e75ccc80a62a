"""Tests of services/collector/publish/terminal/progress.py."""

import re

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.collector.publish.terminal.progress import progress_frame
from services.collector.publish.terminal.text_layout import StyledSpan
from services.collector.publish.view_model import View, view
from services.collector.verdict.snapshot import Snapshot, snapshot
from tests.builders.runs import fold, good_run, ledger_source

OPEN = snapshot(fold({**good_run(), ledger_source(): good_run()[ledger_source()][:-1]}), final=False)


def _view(**changes: object) -> View:
    return view(Snapshot(msgspec.structs.replace(OPEN.summary, **changes), OPEN.timeline), "files: here")


def _text(lines: list[list[StyledSpan]]) -> list[str]:
    return ["".join(text for text, _ in line).rstrip() for line in lines]


def test_a_frame_starts_with_the_progress() -> None:
    """The first line has state, time, bar, percentage and count; a further line has the numbers."""
    half = msgspec.structs.replace(OPEN.summary.totals, received=60)
    lines = _text(progress_frame(_view(totals=half), 100, 40, 7.9, 1000.4))

    assert f"  RUNNING   00:07   {'━' * 18}{'─' * 18}   50.0 %   60 of 120" == lines[0]
    assert lines[2].startswith("  rate 1,000 msg/s   latency p99 1.0 ms   missing 0   blocks 12   clients 2")


def test_the_bar_leaves_room_for_the_count() -> None:
    """On a narrow terminal the bar is shorter, as short at the beginning as at the end, and the count is whole."""
    for received in (1, 12_345, 30_000):
        totals = msgspec.structs.replace(OPEN.summary.totals, received=received, expected=30_000)
        line = _text(progress_frame(_view(totals=totals, total=15_000), 80, 40, 7.9))[0]

        assert line.endswith(f"{received:,} of 30,000")
        assert 32 == len(re.findall("[━─]", line))


def test_without_a_recent_rate_the_average_is_shown() -> None:
    """Without a given rate the frame shows the summary's rate since the start."""
    assert _text(progress_frame(_view(), 100, 40))[2].startswith("  rate 2,024 msg/s ")


def test_the_clients_are_listed_below() -> None:
    """As many clients as fit are listed, at most twenty; the others are counted."""
    crowd = _view(clients=OPEN.summary.clients[:1] * 50)

    assert "  client-1" == _text(progress_frame(_view(), 100, 40))[5][:10]
    assert (26, "  and 30 more") == (len(progress_frame(crowd, 100, 60)), _text(progress_frame(crowd, 100, 60))[-1])
    assert "  and 47 more" == _text(progress_frame(crowd, 100, 10))[-1]


def test_a_waiting_run_counts_its_clients() -> None:
    """Before the start the frame has no bar."""
    waiting = snapshot(fold({ledger_source(): good_run()[ledger_source()][:1]}), final=False)

    assert "  WAITING   0 of 2 clients" == _text(progress_frame(view(waiting, ""), 100, 40))[0]


@given(st.integers(1, 300), st.integers(1, 100), st.integers(0, 60))
def test_a_frame_fits_its_terminal(width: int, height: int, clients: int) -> None:
    """A frame fits a terminal of any size, with any number of clients."""
    lines = _text(progress_frame(_view(clients=OPEN.summary.clients[:1] * clients), width, height, 3600, 10**9))

    assert len(lines) <= max(1, height - 1)
    assert max(map(len, lines)) <= min(width, 100)
