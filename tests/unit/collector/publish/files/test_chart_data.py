"""Tests of services/collector/publish/files/chart_data.py."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.collector.publish.files.chart_data import MOST_BARS, MOST_POINTS_OF_ONE, drawing
from services.contract.timeline import Gap
from tests.builders.snapshots import SLOTS, example, timeline

FEW = example(1).timeline


def test_little_is_drawn_as_it_is() -> None:
    """Of a short run with one client every block and every gap is there."""
    (lane,) = drawing(FEW).lanes

    assert (FEW.lanes[0].bars, 1, 0) == (lane.bars, lane.stride, lane.gaps_left)
    assert FEW.slots == drawing(FEW).slots


@given(st.integers(1, 40), st.integers(1, 500))
def test_bars_are_bounded_and_evenly_chosen(clients: int, most: int) -> None:
    """All lanes together keep within the limit, or at one block each, which are every n-th."""
    made = timeline([f"client-{number}" for number in range(clients)])
    lanes = drawing(made, most).lanes

    assert sum(len(lane.bars) for lane in lanes) <= max(most, clients)
    assert all(before.bars[:: after.stride] == after.bars for before, after in zip(made.lanes, lanes, strict=True))


def test_the_longest_latency_survives() -> None:
    """Where several slots become one point, it is the worst of them."""
    peak = [*[1] * 100, 9_000_000_000, *[1] * (SLOTS - 101)]
    made = msgspec.structs.replace(FEW, lanes=[msgspec.structs.replace(FEW.lanes[0], worst=peak)])
    (lane,) = drawing(made).lanes

    assert MOST_POINTS_OF_ONE == len(lane.worst)
    assert 9_000_000_000 == max(point for point in lane.worst if point is not None)


def test_gaps_that_are_left_out_are_counted() -> None:
    """No gap disappears without a word."""
    gaps = [Gap(seqs=(seq, seq), cause="", from_us=None, to_us=None) for seq in range(1, 101)]
    made = timeline([f"client-{number}" for number in range(100)])
    made = msgspec.structs.replace(made, lanes=[msgspec.structs.replace(lane, gaps=gaps) for lane in made.lanes])

    assert {(10, 90)} == {(len(lane.gaps), lane.gaps_left) for lane in drawing(made).lanes}


def test_200_clients_are_small_enough_to_be_sent_every_second() -> None:
    """However many clients there are, the charts take less than half a megabyte."""
    made = drawing(example(200).timeline)

    assert MOST_BARS >= sum(len(lane.bars) for lane in made.lanes)
    assert 500_000 > len(msgspec.json.encode(made))
