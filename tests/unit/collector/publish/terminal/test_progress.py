"""Tests of services/collector/publish/terminal/progress.py."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.collector.publish.terminal.progress import elapsed_text, progress_line
from services.collector.verdict.summary import reconcile
from services.contract.summary import Quantiles, Summary, Totals
from tests.builders.runs import fold, good_run, ledger_source

OPEN = reconcile(fold({**good_run(), ledger_source(): good_run()[ledger_source()][:-1]}), final=False)


def _at(received: int, total: int, p99: int, clients: int = 2) -> Summary:
    return msgspec.structs.replace(
        OPEN,
        total=total,
        clients=OPEN.clients[:1] * clients,
        totals=Totals(received=received, missing=received // 3),
        latency_ns=Quantiles(p99=p99, max=p99),
    )


def test_a_progress_line_has_the_most_important_numbers() -> None:
    """A line has time, state, clients, delivered part, rate, latency and loss, each with its unit."""
    assert "00:07  running  2 clients  120 of 120  100.0 %    1,000 msg/s  p99   1.0 ms  missing 0" == progress_line(
        OPEN, 7.9, 1000.4
    )


def test_an_unknown_total_is_left_out() -> None:
    """Without an expected number the line has the received one alone."""
    made = msgspec.structs.replace(OPEN, books="one-sided", totals=Totals(received=3, expected=None))

    assert "      3 received" in progress_line(made, 5, 2)
    assert " of " not in progress_line(made, 5, 2)


def test_a_waiting_run_counts_its_clients() -> None:
    """Before the start the line shows how many clients are there."""
    made = reconcile(fold({ledger_source(): good_run()[ledger_source()][:1]}), final=False)

    assert "waiting   0 of 2 clients" == progress_line(made, None, None)


def test_columns_keep_their_places() -> None:
    """Columns stay at the same position while the numbers grow."""
    early, late = _at(7, 30_000, 80_000), _at(59_999, 30_000, 999_900_000)
    lines = [progress_line(early, 1, 3), progress_line(late, 59, 99_999)]

    assert lines[0].index("p99") == lines[1].index("p99")
    assert lines[0].index(" of ") == lines[1].index(" of ")
    assert lines[0].index("missing") == lines[1].index("missing")


def test_an_unknown_rate_is_a_dash() -> None:
    """At first the rate is not known, and a dash takes its place."""
    assert "            -  p99" in progress_line(OPEN, 0, None)


@given(
    st.integers(0, 10**12),
    st.integers(0, 10**12),
    st.integers(0, 10**13),
    st.integers(0, 300),
    st.floats(0, 10**9),
    st.floats(0, 10**6),
)
def test_a_line_fits_a_terminal(
    received: int, total: int, p99: int, clients: int, rate: float, elapsed_s: float
) -> None:
    """A line has at most 100 columns for any numbers, and always rate and latency."""
    line = progress_line(_at(received, total, p99, clients), elapsed_s, rate)

    assert len(line) <= 100
    assert " msg/s  p99 " in line


@pytest.mark.parametrize(("elapsed", "text"), [(None, "00:00"), (-1, "00:00"), (67, "01:07"), (3723.9, "1:02:03")])
def test_elapsed_time_is_formatted(elapsed: float | None, text: str) -> None:
    """Hours are only shown if there are any."""
    assert text == elapsed_text(elapsed)
