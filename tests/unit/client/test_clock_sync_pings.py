"""Tests of the exchange of pings."""

from __future__ import annotations

from services.client.clock_sync import FIRST_PINGS, Estimate, PingExchange
from services.contract import wire
from tests.unit.client.fakes import START_NS, START_US, StoppedClock

AHEAD_US = 5_000_000


def pong(ping: wire.Ping, took_us: int = 0) -> wire.Pong:
    """Return the answer of a server whose clock is ahead."""
    return wire.Pong(t1_us=ping.t1_us, t2_us=START_US + AHEAD_US, t3_us=START_US + AHEAD_US + took_us)


def test_the_last_of_the_first_answers_is_told() -> None:
    """Once all of the first pings are answered the offset is known well enough; later answers tell nothing."""
    pings = PingExchange(StoppedClock())
    pings.begin(same_kernel=False)
    told = [pings.sample(pong(ping), START_NS) for ping in [*pings.first(), pings.next()]]

    assert [False] * (FIRST_PINGS - 1) + [True, False] == told
    assert Estimate(AHEAD_US, 1) == pings.estimate()


def test_another_server_has_another_clock() -> None:
    """What one server's answers said is forgotten when another one is met."""
    pings = PingExchange(StoppedClock())
    pings.sample(pong(pings.next()), START_NS)
    pings.begin(same_kernel=True)

    assert Estimate(0, 0) == pings.estimate()


def test_a_clock_that_was_set_is_doubted() -> None:
    """By how much this machine's clock was set is part of the error."""
    clock = StoppedClock()
    pings = PingExchange(clock)
    pings.begin(same_kernel=True)
    clock.set_by_ns = 7_000_000

    assert Estimate(0, 7_000) == pings.estimate()


def test_the_server_is_answered() -> None:
    """The server learns when its question came, and when it was answered."""
    clock = StoppedClock(START_US + 3)

    assert wire.Pong(t1_us=7, t2_us=START_US, t3_us=START_US + 3) == PingExchange(clock).answer(
        wire.Ping(t1_us=7), START_NS
    )


def test_a_new_connection_owes_no_answers() -> None:
    """A ping that nobody answered is held against the connection that it was sent over, and no later one."""
    late = wire.Idle(next=1, now_us=START_US + 60_000_000)
    told = []
    for again in (False, True):
        pings = PingExchange(StoppedClock())
        pings.begin(same_kernel=True)
        answered = wire.Pong(t1_us=START_US, t2_us=START_US, t3_us=START_US)
        assert not pings.passed_over(answered)
        pings.next()
        if again:
            pings.connected()
        told.append(pings.passed_over(late))

    assert [True, False] == told
