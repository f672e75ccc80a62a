"""Tests of services/contract/timeline.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contract import timeline


def test_what_is_encoded_is_decoded() -> None:
    """A timeline is decoded to the value that was encoded."""
    bar = timeline.Bar(session=1, block=1, start_us=1_000, duration_ns=5, first=1, last=10, count=9)
    gap = timeline.Gap(seqs=(4, 4), cause="sent_not_logged", from_us=1_001, to_us=None)
    slot = timeline.TimeSlot(at_us=1_000, messages=9, bytes=90, latency=None, transit=(1, 2, 3), heat=[(20, 9)])
    made = timeline.Timeline(
        run="20261122T073000Z",
        start_us=1_000,
        end_us=2_000,
        step_us=250_000,
        slots=[slot],
        lanes=[timeline.ClientLane(client="client-1", stride=1, bars=[bar], gaps=[gap], worst=[3])],
        marks=[timeline.TimelineEvent(at_us=1_000, kind="start", detail="200 msg/s")],
    )

    assert made == timeline.decode(timeline.encode(made))


@pytest.mark.parametrize(
    ("duration_ns", "row"), [(-7, 0), (0, 0), (1, 0), (2, 2), (3, 3), (4, 4), (1_414_213, 40), (1_500_000, 41)]
)
def test_a_duration_has_its_row(duration_ns: int, row: int) -> None:
    """A row of the heat map extends by a factor of the square root of two."""
    assert row == timeline.heat_row(duration_ns)


@given(st.integers(1, 2**63))
def test_a_row_holds_its_durations(duration_ns: int) -> None:
    """Two rows are exactly a doubling."""
    row = timeline.heat_row(duration_ns)

    assert 2**row <= duration_ns**2 < 2 ** (row + 1)
    assert row + timeline.ROWS_PER_OCTAVE == timeline.heat_row(2 * duration_ns)
