"""Tests of the spread between the clients of an external feed."""

from __future__ import annotations

import random

import pytest

from services.collector.evidence import sampling
from services.collector.evidence.comparison.client_groups import Groups
from services.collector.evidence.sampling import ExternalSpreadSample
from tests.builders.external_runs import numbered_messages


def moments(messages: list[object], late_us: int) -> dict[str, int]:
    """Return timestamps later than ``received_at`` by these times."""
    return {one.received_at: place * 10_000 + late_us for place, one in enumerate(messages)}  # type: ignore[attr-defined]


def test_the_same_record_is_known_by_what_it_says() -> None:
    """The spread is measured for equal records, with or without numbers."""
    spread, messages = ExternalSpreadSample(), numbered_messages([None, 5])
    for client, late_us in (("client-1", 0), ("client-2", 700), ("client-3", 300)):
        spread.add(client, messages[:1], moments(list(messages), late_us))

    assert (1, 700_000) == ((found := spread.histogram()).count, found.max)


def test_a_record_that_came_twice_shows_nothing() -> None:
    """A record that one client received twice has no spread."""
    spread, messages = ExternalSpreadSample(), numbered_messages([5])
    for client in ("client-1", "client-2", "client-2"):
        spread.add(client, messages, moments(list(messages), 0))

    assert 0 == spread.histogram().count


def test_the_same_records_are_kept_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sample is bounded, and its selection depends only on the records."""
    monkeypatch.setattr(sampling, "MOST_SHARED", 20)
    found = []
    for seed in range(3):
        spread = ExternalSpreadSample()
        parts = [(client, [one]) for client in ("client-1", "client-2") for one in numbered_messages(range(200))]
        random.Random(seed).shuffle(parts)
        for client, part in parts:
            spread.add(client, part, {part[0].received_at: (part[0].seq or 0) * (1 if client == "client-1" else 2)})
        found.append(spread.histogram())

    assert 20 == found[0].count
    assert 1 == len({(one.min, one.max, one.percentile(50)) for one in found})


def test_equal_records_of_clients_that_are_apart_are_not_one_record() -> None:
    """Equal records of clients in different groups have no spread."""
    spread, messages = ExternalSpreadSample(), [*numbered_messages([5]), *numbered_messages([5], key="a")]
    for client, late_us in (("client-1", 0), ("client-2", 700), ("client-3", 900)):
        spread.add(client, messages, moments(list(messages), late_us))
    found = spread.histogram(Groups({None: {"client-1": 0, "client-2": 1, "client-3": 0}}))

    assert [900_000, 900_000] == [found.min, found.max]
    assert 2 == found.count
    assert 1 == spread.histogram(Groups({None: {}, "a": {"client-1": 0, "client-2": 1, "client-3": 2}})).count
