"""The data of the page's charts: a timeline, thinned out so that it can be sent every second. Pure."""

from __future__ import annotations

import msgspec

from services.collector.publish.sparkline import coarsen
from services.contract.timeline import Bar, ClientLane, Gap, Timeline, TimelineEvent, TimeSlot

MAX_BARS, MAX_GAPS, MAX_POINTS = 4_000, 1_000, 8_000
"""For all clients together: as many as a browser draws smoothly and a reader can distinguish."""
MAX_POINTS_PER_CLIENT = 60


class ChartLane(msgspec.Struct, frozen=True, kw_only=True):
    """The row of one client with fewer bars, evenly chosen.

    ``stride`` n means that every n-th block has a bar. ``gaps_left`` counts the gaps that are not in ``gaps``.
    ``worst`` divides the time of all slots into equal parts.
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


def chart_data(timeline: Timeline, max_bars: int = MAX_BARS) -> ChartData:
    """Return a timeline as it is drawn, with at most ``max_bars`` for all clients together."""
    clients = max(1, len(timeline.lanes))
    # At least two points, the least that make a line.
    points = min(MAX_POINTS_PER_CLIENT, max(2, MAX_POINTS // clients))
    lanes = [_lane(lane, max(1, max_bars // clients), max(1, MAX_GAPS // clients), points) for lane in timeline.lanes]
    return ChartData(
        run=timeline.run, start_us=timeline.start_us, end_us=timeline.end_us, step_us=timeline.step_us,
        slots=timeline.slots, lanes=lanes, marks=timeline.marks,
    )  # fmt: skip


def _lane(lane: ClientLane, max_bars: int, max_gaps: int, points: int) -> ChartLane:
    # A power of two, counted from the first block: while a run grows, the drawn bars stay until the step doubles.
    step = 1
    while len(lane.bars) > step * max_bars:
        step *= 2
    return ChartLane(
        client=lane.client, stride=lane.stride * step, bars=lane.bars[::step], gaps=lane.gaps[:max_gaps],
        gaps_left=max(0, len(lane.gaps) - max_gaps), worst=coarsen(lane.worst, points),
    )  # fmt: skip
