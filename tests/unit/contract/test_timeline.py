"""Tests of services/contract/timeline.py."""

from __future__ import annotations

from services.contract import timeline


def test_what_is_encoded_is_decoded() -> None:
    """A timeline survives its own JSON."""
    bar = timeline.Bar(session=1, block=1, start_us=1_000, duration_ns=5, first=1, last=10, count=9)
    gap = timeline.Gap(seqs=(4, 4), cause="sent_not_logged", from_us=1_001, to_us=None)
    slot = timeline.Slot(at_us=1_000, messages=9, bytes=90, latency=None, transit=(1, 2, 3), heat=[(20, 9)])
    made = timeline.Timeline(
        run="20261122T073000Z",
        start_us=1_000,
        end_us=2_000,
        step_us=250_000,
        slots=[slot],
        lanes=[timeline.Lane(client="client-1", stride=1, bars=[bar], gaps=[gap], worst=[3])],
        marks=[timeline.Mark(at_us=1_000, kind="start", detail="200 msg/s")],
    )

    assert made == timeline.decode(timeline.encode(made))
