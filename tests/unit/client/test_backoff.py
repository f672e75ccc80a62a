"""Tests of services/client/backoff.py."""

from __future__ import annotations

import pytest

from services.client.backoff import MOST_PATIENCE_SECONDS, MOST_SECONDS, PATIENCE_SECONDS, Backoff


@pytest.mark.parametrize("wish", [None, 0.0, 0.5, 10.0])
def test_is_bounded(wish: float | None) -> None:
    """However long the server is away, and whatever it advised, the next attempt comes within a second."""
    backoff = Backoff()
    if wish is not None:
        backoff.wish(wish)
    delays = [backoff.next_seconds() for _ in range(5000)]

    assert 0 <= min(delays)
    assert max(delays) <= MOST_SECONDS == 0.6
    assert wish is not None or delays[0] <= 0.2


def test_grows_and_begins_again() -> None:
    """Waits grow while the server is away, and are short again once it was reached."""
    backoff = Backoff()
    delays = [backoff.next_seconds() for _ in range(20)]

    assert delays[0] <= 0.2
    assert delays[-1] >= MOST_SECONDS / 3 > 0.19

    backoff.succeeded()

    assert backoff.next_seconds() <= 0.2


def test_differs_between_clients() -> None:
    """Clients that lost the server together do not come back together."""
    assert 1 < len({Backoff().next_seconds() for _ in range(100)})


def test_patience_grows_with_silence() -> None:
    """A few handshakes may be lost; further ones are waited for longer, up to a bound, until the server is reached."""
    backoff, granted = Backoff(), []
    for _ in range(10):
        granted.append(backoff.patience_seconds)
        backoff.unanswered()

    assert [PATIENCE_SECONDS] * 4 == granted[:4]
    assert granted[4] > PATIENCE_SECONDS
    assert MOST_PATIENCE_SECONDS == granted[-1]
    assert granted == sorted(granted)

    backoff.succeeded()

    assert PATIENCE_SECONDS == backoff.patience_seconds


def test_a_least_wait_counts_once() -> None:
    """A wait that this client imposes on itself is kept once, whatever the server asks for."""
    backoff = Backoff()
    backoff.at_least(30)
    backoff.wish(0.1)

    assert 30 == backoff.next_seconds()
    assert backoff.next_seconds() <= MOST_SECONDS
