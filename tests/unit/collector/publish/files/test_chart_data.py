"""Tests of services/collector/publish/files/chart_data.py."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.collector.publish.files.chart_data import MAX_BARS, MAX_POINTS_PER_CLIENT, chart_data
from services.contract.timeline import Gap
from tests.builders.snapshots import SLOTS, example, timeline

FEW = example(1).timeline


def test_a_short_run_is_not_thinned_out() -> None:
    """The chart data of a short run with one client has every block and every gap."""
    (lane,) = chart_data(FEW).lanes

    assert (FEW.lanes[0].bars, 1, 0) == (lane.bars, lane.stride, lane.gaps_left)
    assert FEW.slots == chart_data(FEW).slots


@given(st.integers(1, 40), st.integers(1, 500))
def test_bars_are_bounded_and_evenly_chosen(clients: int, most: int) -> None:
    """All clients together stay within the limit, or have one bar each, and bars are every n-th block."""
    made = timeline([f"client-{number}" for number in range(clients)])
    lanes = chart_data(made, most).lanes

    assert sum(len(lane.bars) for lane in lanes) <= max(most, clients)
    assert all(before.bars[:: after.stride] == after.bars for before, after in zip(made.lanes, lanes, strict=True))


def test_the_longest_latency_survives() -> None:
    """A point that stands for several slots has the maximum of them."""
    peak = [*[1] * 100, 9_000_000_000, *[1] * (SLOTS - 101)]
    made = msgspec.structs.replace(FEW, lanes=[msgspec.structs.replace(FEW.lanes[0], worst=peak)])
    (lane,) = chart_data(made).lanes

    assert MAX_POINTS_PER_CLIENT == len(lane.worst)
    assert 9_000_000_000 == max(point for point in lane.worst if point is not None)


def test_omitted_gaps_are_counted() -> None:
    """Gaps beyond the limit are counted."""
    gaps = [Gap(seqs=(seq, seq), cause="", from_us=None, to_us=None) for seq in range(1, 101)]
    made = timeline([f"client-{number}" for number in range(100)])
    made = msgspec.structs.replace(made, lanes=[msgspec.structs.replace(lane, gaps=gaps) for lane in made.lanes])

    assert {(10, 90)} == {(len(lane.gaps), lane.gaps_left) for lane in chart_data(made).lanes}


def test_200_clients_are_small_enough_to_be_sent_every_second() -> None:
    """The chart data of 200 clients takes less than half a megabyte."""
    made = chart_data(example(200).timeline)

    assert MAX_BARS >= sum(len(lane.bars) for lane in made.lanes)
    assert 500_000 > len(msgspec.json.encode(made))
