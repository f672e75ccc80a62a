"""What the page draws its charts from: a timeline made small enough to be sent every second. Pure."""

from __future__ import annotations

import msgspec

from services.collector.publish.clients_table import coarse
from services.contract.timeline import Bar, ClientLane, Gap, Timeline, TimelineEvent, TimeSlot

MOST_BARS, MOST_GAPS, MOST_POINTS = 4_000, 1_000, 8_000
"""Of all clients together: so much a browser draws without a stutter, and nobody can tell more apart."""
MOST_POINTS_OF_ONE = 60


class ChartLane(msgspec.Struct, frozen=True, kw_only=True):
    """A lane of the timeline with fewer bars, evenly chosen; ``gaps_left`` are not among ``gaps``.

    ``stride`` n means that about every n-th block is there; ``worst`` is in equal parts of the slots.
    """

    client: str
    stride: int
    bars: list[Bar]
    gaps: list[Gap]
    gaps_left: int
    worst: list[int | None]


class ChartData(msgspec.Struct, frozen=True, kw_only=True):
    """A timeline as it is drawn."""

    run: str
    start_us: int | None
    end_us: int | None
    step_us: int
    slots: list[TimeSlot]
    lanes: list[ChartLane]
    marks: list[TimelineEvent]


def drawing(timeline: Timeline, most_bars: int = MOST_BARS) -> ChartData:
    """Return what is drawn of a timeline, with at most so many bars in all lanes together."""
    share = max(1, len(timeline.lanes))
    points = min(MOST_POINTS_OF_ONE, max(2, MOST_POINTS // share))
    lanes = [_lane(lane, max(1, most_bars // share), max(1, MOST_GAPS // share), points) for lane in timeline.lanes]
    return ChartData(
        run=timeline.run, start_us=timeline.start_us, end_us=timeline.end_us, step_us=timeline.step_us,
        slots=timeline.slots, lanes=lanes, marks=timeline.marks,
    )  # fmt: skip


def _lane(lane: ClientLane, bars: int, gaps: int, points: int) -> ChartLane:
    # From the first on: as a run grows, what is drawn stays where it is until the step doubles.
    step = 1
    while len(lane.bars) > step * bars:
        step *= 2
    return ChartLane(
        client=lane.client, stride=lane.stride * step, bars=lane.bars[::step],
        gaps=lane.gaps[:gaps], gaps_left=max(0, len(lane.gaps) - gaps), worst=coarse(lane.worst, points),
    )  # fmt: skip
