"""Tests of the times in which a client did not read itself."""

from __future__ import annotations

from typing import Any

import pytest

from services.collector.results.builders.own_stops import WINDOW_US, OwnStops
from services.contract.blocklog import ExternalMessage, Stall
from services.contract.scalars import utc_text
from tests.builders.external_runs import evidence_of, log, message
from tests.builders.runs import START_US


def stops(records: list[ExternalMessage], **ends: Any) -> OwnStops:
    """Return the stops of a client with these records and fields of its end line."""
    return OwnStops(evidence_of(log("client-1", records, ends=ends, size=3)).logs["client-1"])


def each(first: int, last: int) -> list[ExternalMessage]:
    """Return ten records a second between two times in hundredths of a second."""
    return [message(place, place) for place in range(first, last, 10)]


def after(seconds: float) -> int:
    """Return a time so many seconds after the start."""
    return START_US + round(seconds * 1e6)


def test_a_time_without_reading_counts_if_the_absence_came_soon_after() -> None:
    """A stall for the disk is a stop if it ended within ten seconds before an absence."""
    stalled = stops(each(0, 900), stalls=[Stall(utc_text(after(1)), utc_text(after(3)))])
    window_s = WINDOW_US / 1e6

    found = [stalled.before(after(at_s)).us for at_s in (0.9, 2, 3.1, 3.1 + window_s)]

    assert [0, 1_000_001, 2_000_000, 0] == found
    assert "because its disk was behind" == stalled.before(after(3.1)).why


@pytest.mark.parametrize("lag_s", [4.0, 4.2])
def test_a_process_that_stood_still_explains_an_absence_after_it(lag_s: float) -> None:
    """A lag is a stop if no record came for as long, right before the absence or up to ten seconds before."""
    frozen = stops([*each(0, 300), *each(700, 900)], loop_lag_max_ns=round(lag_s * 1e9))

    assert [0, lag_s] == [frozen.before(after(at_s)).us / 1e6 for at_s in (2.9, 7.1)]
    assert "because its process stood still" == frozen.before(after(8)).why
    assert 0 == frozen.before(after(18)).us


def test_a_process_that_stood_still_explains_a_close_at_its_end() -> None:
    """A lag is a stop also if the connection had ended when the process went on, and brought nothing more."""
    frozen = stops(each(0, 300), loop_lag_max_ns=4_000_000_000)

    assert [0, 4.0] == [frozen.before(after(at_s)).us / 1e6 for at_s in (4, 7)]


def test_a_lag_elsewhere_explains_no_absence() -> None:
    """A lag for which records came all the time, or a short one, explains nothing."""
    steady, short = stops(each(0, 900), loop_lag_max_ns=4_000_000_000), stops(each(0, 300), loop_lag_max_ns=900_000_000)

    assert (0, 0) == (steady.before(after(9)).us, short.before(after(4)).us)
