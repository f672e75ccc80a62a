"""What the timeline of a run is drawn from: its events, its time slots, and the blocks of its clients. Pure data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.contract.timeline import Bar, TimelineEvent, TimeSlot


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
