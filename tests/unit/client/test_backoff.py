"""Tests of services/client/backoff.py."""

from __future__ import annotations

import pytest

from services.client.backoff import MOST_SECONDS, Backoff


@pytest.mark.parametrize("wish", [None, 0.0, 0.5, 10.0])
def test_is_bounded(wish: float | None) -> None:
    """However long the server is away, and whatever it advised, the next attempt comes within two seconds."""
    backoff = Backoff()
    if wish is not None:
        backoff.wish(wish)
    delays = [backoff.next_seconds() for _ in range(5000)]

    assert 0 <= min(delays)
    assert max(delays) <= MOST_SECONDS == 2.0
    assert wish is not None or delays[0] <= 0.2


def test_grows_and_begins_again() -> None:
    """Waits grow while the server is away, and are short again once it was reached."""
    backoff = Backoff()
    delays = [backoff.next_seconds() for _ in range(20)]

    assert delays[0] <= 0.2 < MOST_SECONDS / 3 <= delays[-1]

    backoff.succeeded()

    assert backoff.next_seconds() <= 0.2


def test_differs_between_clients() -> None:
    """Clients that lost the server together do not come back together."""
    assert 1 < len({Backoff().next_seconds() for _ in range(100)})
