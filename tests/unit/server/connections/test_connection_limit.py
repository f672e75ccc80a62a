"""Tests of how many connections the server holds."""

from __future__ import annotations

import resource

import pytest

from services.server.connections.connection_limit import RESERVED, SPARE, ConnectionLimit, max_connections


def test_places_are_taken_and_given_back() -> None:
    """There is no place beyond the most, and one again when one is given back."""
    places = ConnectionLimit(lambda: 2)

    assert [True, True, False] == [places.acquire() for _ in range(3)]
    assert places.is_nearly_reached
    places.release()
    assert [True, False] == [places.acquire() for _ in range(2)]


@pytest.mark.parametrize(
    ("soft", "most"), [(256, 256 - RESERVED), (20_000, 20_000 - RESERVED), (40, 32), (resource.RLIM_INFINITY, 10**6)]
)
def test_connections_leave_descriptors_to_others(soft: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The most is what the limit of open files leaves beside what the server itself needs."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, soft))

    assert most == max_connections()


def test_the_last_places_are_spare() -> None:
    """Places are crowded from the first of the spare ones on."""
    places = ConnectionLimit(lambda: SPARE + 1)

    assert [False, True] == [places.acquire() and places.is_nearly_reached for _ in range(2)]
