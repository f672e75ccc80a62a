"""Tests of the limit of connections."""

from __future__ import annotations

import resource

import pytest

from services.server.connections.connection_limit import RESERVED, SPARE, ConnectionLimit, max_connections


def test_the_limit_holds() -> None:
    """No connection is counted beyond the limit; one is again after another was released."""
    places = ConnectionLimit(lambda: 2)

    assert [True, True, False] == [places.acquire() for _ in range(3)]
    assert places.is_nearly_reached
    places.release()
    assert [True, False] == [places.acquire() for _ in range(2)]


@pytest.mark.parametrize(
    ("soft", "most"), [(256, 256 - RESERVED), (20_000, 20_000 - RESERVED), (40, 32), (resource.RLIM_INFINITY, 10**6)]
)
def test_the_limit_leaves_descriptors_free(soft: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is that of open files less the descriptors that the server itself needs."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, soft))

    assert most == max_connections()


def test_the_last_places_are_spare() -> None:
    """The limit is nearly reached once only spare places are left."""
    places = ConnectionLimit(lambda: SPARE + 1)

    assert [False, True] == [places.acquire() and places.is_nearly_reached for _ in range(2)]
