"""Tests of the choice of clients that are asked to move to another server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.server.streaming.rebalancing import (
    LEAST_EXCESS,
    MOST_WAITING_ROUNDS,
    SETTLED_SECONDS,
    SHARE,
    WAITING_SECONDS,
    Rebalancer,
)


def clients(count: int) -> dict[str, int]:
    """Return clients whose fences rise with their numbers."""
    return {f"client-{number}": number for number in range(1, count + 1)}


def moved(rebalancer: Rebalancer, count: int, elsewhere: int, seconds: int, servers: int = 2) -> list[int]:
    """Return how many clients are moved in each second of a run in which none of them comes to rest elsewhere."""
    return [
        len(rebalancer.choose(float(second), clients(count), elsewhere, servers, is_waiting=False))
        for second in range(seconds)
    ]


def test_a_lasting_imbalance_is_removed_slowly() -> None:
    """During a run one percent of the clients is asked to move in each second, after the imbalance has lasted."""
    counts = moved(Rebalancer(), 400, 0, 20)

    assert [0] * 10 == counts[: int(SETTLED_SECONDS)]
    assert {4} == set(counts[10:])


def test_while_a_run_waits_all_move_at_once() -> None:
    """A run that waits has the excess moved at once, those that subscribed last, and only a few times."""
    rebalancer, rounds = Rebalancer(), []
    for step in range(20):
        names = rebalancer.choose(step * (WAITING_SECONDS + 0.1), clients(7), 2, 3, is_waiting=True)
        rounds += [names] if names else []

    assert [["client-7", "client-6", "client-5", "client-4"]] * MOST_WAITING_ROUNDS == rounds


@pytest.mark.parametrize(
    ("own", "elsewhere", "servers"),
    [(1000, 0, 1), (100, 100, 2), (110, 100, 2), (2 * LEAST_EXCESS - 1, 0, 2), (0, 500, 3), (6, 0, 3)],
)
def test_a_fair_share_stays(own: int, elsewhere: int, servers: int) -> None:
    """A single server, one with about its share, and one with a few clients too many move none during a run."""
    assert {0} == set(moved(Rebalancer(), own, elsewhere, 60, servers))


@given(st.integers(1, 300), st.integers(0, 300), st.integers(1, 8), st.booleans())
def test_no_server_falls_below_its_share(own: int, elsewhere: int, servers: int, is_waiting: bool) -> None:
    """However the clients are divided, no server gives away so many that it has less than its share."""
    rebalancer, left = Rebalancer(), own
    for step in range(60):
        left -= len(
            rebalancer.choose(2.0 * step, clients(left), elsewhere + own - left, servers, is_waiting=is_waiting)
        )

    assert left >= min(own, (own + elsewhere) / servers)
    if own <= SHARE * (own + elsewhere) / servers:
        assert left == own
