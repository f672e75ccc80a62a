"""Tests of services/collector/results/time_course.py."""

from __future__ import annotations

from services.collector.results.time_course import event_order
from services.contract.timeline import TimelineEvent


def test_events_are_sorted_by_time_then_kind_then_client() -> None:
    """Events are sorted by time, kind and client, in any order of reading."""
    later, first, second, start = (
        TimelineEvent(at_us=2, kind="pause"),
        TimelineEvent(at_us=2, kind="join", client="client-1"),
        TimelineEvent(at_us=2, kind="join", client="client-2"),
        TimelineEvent(at_us=1, kind="start", detail="100/s"),
    )

    assert [start, first, second, later] == sorted([later, second, first, start], key=event_order)
