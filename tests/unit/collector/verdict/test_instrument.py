"""Tests of services/collector/verdict/instrument.py, and of the verdicts of runs whose clients did not read."""

from __future__ import annotations

import pytest

from services.collector.verdict.instrument import share_clause
from services.collector.verdict.summary import reconcile
from services.collector.verdict.threshold_parser import parse
from services.contract import blocklog
from services.contract.scalars import utc_text
from services.contract.summary import Check, InstrumentShare, Summary
from tests.builders import external_runs
from tests.builders.runs import START_US, Session, blocks_of, end, good_ledger, judged, ledger_source, log_files

MS = 1_000_000


@pytest.mark.parametrize(
    ("share", "p99", "clause"),
    [
        (100_000, 1 * MS, ""),
        (100_001, 1 * MS, ", of it 0.1 ms the instrument's"),
        (3 * MS, 1 * MS, ", of it 1.0 ms the instrument's"),
        (None, 1 * MS, ""),
        (1 * MS, None, ""),
    ],
)
def test_a_share_of_more_than_a_tenth_is_named(share: int | None, p99: int | None, clause: str) -> None:
    """A share is named from a tenth of the latency on, and never as more than the latency."""
    assert clause == share_clause(InstrumentShare(p99=share), p99)


def stalled_run(stall_us: int, limits: str = "") -> Summary:
    """Return the summary of a run of 59 ms whose first client did not read for some time."""
    stall = blocklog.Stall(utc_text(START_US + 1000), utc_text(START_US + 1000 + stall_us))
    session = Session("client-1", 1, 1, 0, blocks_of(1, 60, 10), changes={2: {"stalls": [stall] if stall_us else []}})
    writer = good_ledger([session])
    writer.put(end(60))
    return judged({ledger_source(): writer.lines, **log_files(session)}, parse(limits))


def check(made: Summary) -> Check:
    """Return the check of the instrument."""
    return next(check for check in made.checks if check.name == "instrument on time")


def test_a_short_time_without_reading_is_named() -> None:
    """A time without reading is in the summary of client and run and in the check, and does not fail the run."""
    made = stalled_run(2000)

    assert ("PASS", True) == (made.verdict, check(made).ok)
    assert (2 * MS, 2 * MS) == (made.instrument_ns.stalled, made.clients[0].instrument_ns.stall_max)
    assert "client-1 did not read for 2.0 ms while its disk was behind" in check(made).detail
    assert "latency p99 1.0 ms, of it 1.0 ms the instrument's" in check(made).detail


def test_a_long_time_without_reading_invalidates_the_run() -> None:
    """A run is INVALID if a client did not read for more than 5 % of it."""
    made = stalled_run(3500)

    assert ("INVALID", False) == (made.verdict, check(made).ok)
    assert ["client-1 did not read for 3.5 ms of 59.0 ms: its disk was behind"] == made.reasons


@pytest.mark.parametrize(
    ("stall_us", "limits", "verdict"),
    [
        (0, "latency.p99<0.5ms", "FAIL"),
        (2000, "latency.p99<0.5ms", "INVALID"),
        (2000, "latency{client:*}.max<0.5ms", "INVALID"),
        (100, "latency.p99<0.5ms", "FAIL"),
        (2000, "latency.p99>5ms", "FAIL"),
        (2000, "received>100", "FAIL"),
        (2000, "latency.p99<5ms", "PASS"),
    ],
)
def test_a_limit_that_the_instrument_broke_is_a_doubt(stall_us: int, limits: str, verdict: str) -> None:
    """A broken limit is a doubt only if the time without reading may have broken it."""
    made = stalled_run(stall_us, limits)

    assert verdict == made.verdict
    assert ("did not read" in made.headline) == (verdict == "INVALID")


def test_the_headline_of_an_external_feed_names_the_share() -> None:
    """The headline of an external feed names a large share beside the latency."""
    ends = {"loop_lag_p99_ns": 200_000, "loop_lag_max_ns": 900_000}
    made = judged(external_runs.log("client-1", external_runs.numbered_messages(range(1, 21)), seq="$.seq", ends=ends))

    assert (200_000, 900_000, None) == (made.instrument_ns.p99, made.instrument_ns.max, made.instrument_ns.clock_error)
    assert "latency p99 1.0 ms, of it 0.2 ms the instrument's" in check(made).detail
    assert "p99 1.0 ms from the sender's time, of it 0.2 ms the instrument's" in made.headline


def test_a_limit_of_one_client_is_not_excused_by_another() -> None:
    """A limit that one client broke is a failure, although another one did not read for a time."""
    stall = blocklog.Stall(utc_text(START_US + 10_000), utc_text(START_US + 12_000))
    every = external_runs.numbered_messages(range(1, 21))
    quick = external_runs.log("client-1", every, seq="$.seq")
    slow = external_runs.log("client-2", every, seq="$.seq", counts={"stalls": [stall]})
    limits = parse("latency{client:client-1}.max<0.5ms")

    assert "FAIL" == reconcile(external_runs.evidence_of(quick, slow), limits, final=True).verdict
    of_other = parse("latency{client:client-2}.max<0.5ms")
    assert "INVALID" == reconcile(external_runs.evidence_of(quick, slow), of_other, final=True).verdict
