"""The timeline of a run: the run's course over time, and how the timeline is drawn from it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.collector.results.client_result import ClientResult
from services.collector.results.run_result import RunResult
from services.contract.sequence_text import span_text
from services.contract.timeline import MOST_GAPS, MOST_MARKS, Bar, ClientLane, Gap, Timeline, TimelineEvent, TimeSlot

OPERATORS = frozenset({"start", "rate", "pause", "resume", "drop", "end"})
"""Kinds of events that come from the server or its operator; where events are too many, those of clients are thinned
first."""


@dataclass(frozen=True, kw_only=True)
class ClientCourse:
    """One client over time.

    Attributes:
        stride: of every ``stride`` blocks one is kept.
        blocks: those that are kept, by session and number.
        worst: the longest latency of every time slot, transit without a schedule; None where nothing was received.
    """

    stride: int
    blocks: Sequence[Bar]
    worst: Sequence[int | None]


@dataclass(frozen=True, kw_only=True)
class RunMarks:
    """What the ledger of a run says about times; epoch microseconds, None for not known.

    Attributes:
        start_us: when the first record was due, and ``end_us`` when the run ended.
        events: of the run, in the order of time.
    """

    start_us: int | None = None
    end_us: int | None = None
    events: Sequence[TimelineEvent] = ()


@dataclass(frozen=True, kw_only=True)
class TimeCourse:
    """A run over time.

    Attributes:
        start_us: when the first record was due, by the ledger; epoch microseconds, None for not known.
        end_us: when the run ended, by the ledger.
        step_us: the width of a slot.
        slots: all slots from the first timestamp to the last.
        clients: by name, of at most `MOST_LANES` clients those that miss most.
        events: of the run, in the order of time.
    """

    start_us: int | None
    end_us: int | None
    step_us: int
    slots: Sequence[TimeSlot]
    clients: Mapping[str, ClientCourse]
    events: Sequence[TimelineEvent]


def event_order(event: TimelineEvent) -> tuple[int, str, str, str]:
    """Return the key by which events are sorted: time first."""
    # Times may be equal; the rest of the key keeps the order independent of the order of reading.
    return event.at_us, event.kind, event.client or "", event.detail


def draw(result: RunResult, course: TimeCourse) -> Timeline:
    """Return the timeline of a run.

    Args:
        result: of the run.
        course: the same run over time.
    """
    firsts = (client.first_us for client in result.clients if client.first_us is not None)
    lasts = (client.last_us for client in result.clients if client.last_us is not None)
    return Timeline(
        run=result.run,
        # Without a ledger, as for an external feed, only the messages show when the run began and ended.
        start_us=course.start_us if course.start_us is not None else min(firsts, default=None),
        end_us=course.end_us if course.end_us is not None else max(lasts, default=None),
        step_us=course.step_us,
        slots=list(course.slots),
        lanes=[
            _lane(client, course.clients[client.client]) for client in result.clients if client.client in course.clients
        ],
        marks=thinned(course.events),
    )


def thinned(events: Sequence[TimelineEvent], most: int = MOST_MARKS) -> list[TimelineEvent]:
    """Return events in the order of time; of too many, evenly chosen ones."""
    if len(events) <= most:
        return list(events)
    first = evenly([event for event in events if event.kind in OPERATORS], most)
    others = [event for event in events if event.kind not in OPERATORS]
    return sorted([*first, *evenly(others, most - len(first))], key=event_order)


def evenly(events: Sequence[TimelineEvent], most: int) -> list[TimelineEvent]:
    """Return at most ``most`` events, evenly chosen."""
    count = min(most, len(events))
    return [events[index * len(events) // count] for index in range(count)]


def _lane(client: ClientResult, course: ClientCourse) -> ClientLane:
    return ClientLane(
        client=client.client,
        stride=course.stride,
        bars=list(course.blocks),
        gaps=_gaps(client),
        worst=list(course.worst),
    )


def _gaps(client: ClientResult) -> list[Gap]:
    pieces = [(first, last, cause) for cause, seqs in client.lost.items() for first, last in seqs]
    # The widest ones matter most; they are drawn in the order of the feed.
    pieces.sort(key=lambda piece: (piece[0] - piece[1], piece[0]))
    return [_gap(client, *piece) for piece in sorted(pieces[:MOST_GAPS])]


def _gap(client: ClientResult, first: int, last: int, cause: str) -> Gap:
    from_us, to_us = client.around(first)
    return Gap(seqs=span_text((first, last)), cause=cause, from_us=from_us, to_us=to_us)
