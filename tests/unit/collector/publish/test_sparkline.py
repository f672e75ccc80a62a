"""Tests of services/collector/publish/sparkline.py."""

from hypothesis import given
from hypothesis import strategies as st

from services.collector.publish.sparkline import coarsen, highest_value, sparkline
from services.contract.timeline import ClientLane

worsts = st.lists(st.none() | st.integers(0, 10**12), max_size=700)


def _lane(worst: list[int | None]) -> ClientLane:
    return ClientLane(client="c", stride=1, bars=[], gaps=[], worst=worst)


def test_a_sparkline_has_one_scale() -> None:
    """Levels are proportional to the maximum, the smallest value is visible, and silence is blank."""
    assert "█▄▁ ▅" == sparkline([80, 40, 0, None, 41], 80)


def test_a_sparkline_of_zeros_is_flat() -> None:
    """If the maximum is 0, every value has the lowest level."""
    assert "▁▁" == sparkline([0, 0], 0)


def test_the_scale_is_the_maximum_of_all_clients() -> None:
    """The maximum covers all clients, and is 0 if none received anything."""
    assert 9 == highest_value([_lane([1, None]), _lane([9, 3])])
    assert 0 == highest_value([_lane([None])])


@given(worsts)
def test_a_sparkline_is_short_and_keeps_the_maximum(worst: list[int | None]) -> None:
    """A sparkline has at most 16 characters, contains the maximum, and is only blank if there is no value."""
    pieces = coarsen(worst)
    known = [value for value in worst if value is not None]

    assert min(16, len(worst)) == len(pieces) == len(sparkline(worst, max(known, default=0)))
    assert max(known, default=None) == max((piece for piece in pieces if piece is not None), default=None)
    assert bool(known) == (sparkline(worst, max(known, default=0)).strip() != "")
