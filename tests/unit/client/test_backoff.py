"""Tests of services/client/backoff.py."""

from __future__ import annotations

import pytest

from services.client.backoff import HANDSHAKE_SECONDS, MAX_HANDSHAKE_SECONDS, MAX_SECONDS, Backoff


@pytest.mark.parametrize("wish", [None, 0.0, 0.5, 10.0])
def test_is_bounded(wish: float | None) -> None:
    """The next attempt follows within a second, after any number of failures and any delay that the server asks for."""
    backoff = Backoff()
    if wish is not None:
        backoff.request(wish)
    delays = [backoff.next_seconds() for _ in range(5000)]

    assert 0 <= min(delays)
    assert max(delays) <= MAX_SECONDS == 0.6
    assert wish is not None or delays[0] <= 0.2


def test_grows_and_begins_again() -> None:
    """Delays grow while the server cannot be reached, and are short again after it was reached."""
    backoff = Backoff()
    delays = [backoff.next_seconds() for _ in range(20)]

    assert delays[0] <= 0.2
    assert delays[-1] >= MAX_SECONDS / 3 > 0.19

    backoff.succeeded()

    assert backoff.next_seconds() <= 0.2


def test_differs_between_clients() -> None:
    """Clients that lost their connections at the same time retry at different times."""
    assert 1 < len({Backoff().next_seconds() for _ in range(100)})


def test_patience_grows_with_silence() -> None:
    """A few handshakes may be lost; further ones are waited for longer, up to a bound, until the server is reached."""
    backoff, granted = Backoff(), []
    for _ in range(10):
        granted.append(backoff.handshake_seconds)
        backoff.handshake_timed_out()

    assert [HANDSHAKE_SECONDS] * 4 == granted[:4]
    assert granted[4] > HANDSHAKE_SECONDS
    assert MAX_HANDSHAKE_SECONDS == granted[-1]
    assert granted == sorted(granted)

    backoff.succeeded()

    assert HANDSHAKE_SECONDS == backoff.handshake_seconds


def test_a_firm_refusal_is_waited_out() -> None:
    """After a firm refusal one delay is about the longest one; later delays are not."""
    backoff, delays = Backoff(15), []
    for _ in range(200):
        backoff.use_longest()
        delays.append(backoff.next_seconds())

    assert 10 <= min(delays)
    assert max(delays) <= 15

    backoff.succeeded()

    assert backoff.next_seconds() <= 0.2


def test_what_the_server_asks_for_is_kept() -> None:
    """One delay lasts at least as long as the server asks, even beyond the longest delay; later delays do not."""
    backoff, delays = Backoff(15), []
    for _ in range(200):
        backoff.not_before(20)
        delays.append(backoff.next_seconds())
    backoff.succeeded()

    assert 20 <= min(delays)
    assert max(delays) <= 22
    assert backoff.next_seconds() <= 0.2


def test_a_short_time_that_the_server_asks_for_does_not_hurry() -> None:
    """If the server always asks for a delay of 0, the delays grow nevertheless."""
    backoff = Backoff(15)
    delays = []
    for _ in range(20):
        backoff.not_before(0)
        delays.append(backoff.next_seconds())

    assert delays[-1] >= 5
