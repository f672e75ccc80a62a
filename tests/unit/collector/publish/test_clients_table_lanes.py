"""Tests of services/collector/publish/clients_table.py."""

from hypothesis import given
from hypothesis import strategies as st

from services.collector.publish import clients_table
from services.contract.timeline import ClientLane

worsts = st.lists(st.none() | st.integers(0, 10**12), max_size=700)


def _lane(worst: list[int | None]) -> ClientLane:
    return ClientLane(client="c", stride=1, bars=[], gaps=[], worst=worst)


def test_a_sparkline_has_one_scale() -> None:
    """The worst of all is highest, half of it half as high, the least is seen, silence is blank."""
    assert "█▄▁ ▅" == clients_table.sparkline([80, 40, 0, None, 41], 80)


def test_a_sparkline_without_a_scale_is_flat() -> None:
    """Where all is 0 nothing is high."""
    assert "▁▁" == clients_table.sparkline([0, 0], 0)


def test_the_scale_is_the_worst_of_all() -> None:
    """One scale for all clients, 0 when none received anything."""
    assert 9 == clients_table.top([_lane([1, None]), _lane([9, 3])])
    assert 0 == clients_table.top([_lane([None])])


@given(worsts)
def test_a_sparkline_is_short_and_shows_every_worst(worst: list[int | None]) -> None:
    """Sixteen characters at most; the worst is in it, and it is blank only where nothing came."""
    pieces = clients_table.coarse(worst)
    known = [value for value in worst if value is not None]

    assert min(16, len(worst)) == len(pieces) == len(clients_table.sparkline(worst, max(known, default=0)))
    assert max(known, default=None) == max((piece for piece in pieces if piece is not None), default=None)
    assert bool(known) == (clients_table.sparkline(worst, max(known, default=0)).strip() != "")
