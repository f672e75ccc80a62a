"""Tests of the clock offset, of unanswered pings, and of the ping exchange."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.client.clock_sync import _KEPT_SAMPLES, FIRST_PINGS, Estimate, OffsetEstimator, PingExchange, PingWatch
from services.contract import wire
from tests.unit.client.fakes import START_NS, START_US, StoppedClock, batch

delays = st.integers(0, 5_000_000)
exchanges = st.lists(st.tuples(delays, delays, delays), min_size=1, max_size=40)


def exchanged(true_us: int, found: list[tuple[int, int, int]], *, same_kernel: bool) -> OffsetEstimator:
    """Return the estimator after exchanges whose way out, work and way back take these microseconds."""
    offset, t1_us = OffsetEstimator(), 10**15
    offset.begin(same_kernel=same_kernel)
    for out_us, work_us, back_us in found:
        t2_us = t1_us + out_us + true_us
        offset.add_sample(t1_us, t2_us, t2_us + work_us, t1_us + out_us + work_us + back_us)
        t1_us += 10**6
    return offset


@given(st.integers(-(10**12), 10**12), exchanges)
def test_the_true_offset_is_within_the_error(true_us: int, found: list[tuple[int, int, int]]) -> None:
    """The true offset is within the error of the estimate for any, also unequal, delays on the two ways."""
    best = exchanged(true_us, found, same_kernel=False).estimate()

    assert abs(best.offset_us - true_us) <= best.error_us


@given(st.integers(-(10**9), 10**9), exchanges)
def test_the_quickest_exchange_counts(true_us: int, found: list[tuple[int, int, int]]) -> None:
    """The error is half of the shortest round trip among the last exchanges, rounded up."""
    shortest_us = min(out_us + back_us for out_us, _, back_us in found[-_KEPT_SAMPLES:])

    assert shortest_us // 2 + 1 == exchanged(true_us, found, same_kernel=False).estimate().error_us


@given(exchanges)
def test_one_kernel_has_one_clock(found: list[tuple[int, int, int]]) -> None:
    """Processes on one kernel have no offset and no error, for any delays of the exchanges."""
    assert Estimate(0, 0) == exchanged(0, found, same_kernel=True).estimate()


@given(st.integers(10_000, 10**12), st.sampled_from([1, -1]))
def test_a_clock_that_was_set_is_found_out(true_us: int, sign: int) -> None:
    """On one kernel an offset beyond its error is used: the clock was set between two starts."""
    best = exchanged(sign * true_us, [(100, 10, 100)], same_kernel=True).estimate()

    assert abs(best.offset_us - sign * true_us) <= best.error_us
    assert 101 == best.error_us


def test_the_error_before_any_exchange() -> None:
    """Before any exchange the error is a second, on one kernel none."""
    offset = OffsetEstimator()
    assert Estimate(0, 1_000_000) == offset.estimate()
    offset.begin(same_kernel=True)
    assert Estimate(0, 0) == offset.estimate()


def test_another_server_has_no_samples() -> None:
    """The samples of one server are forgotten when another begins."""
    offset = exchanged(500, [(1, 1, 1)], same_kernel=False)
    assert 1 == len(offset)
    offset.begin(same_kernel=False)

    assert (0, Estimate(0, 1_000_000)) == (len(offset), offset.estimate())


@given(st.integers(0, 10**9))
def test_a_step_of_our_own_clock_is_an_error(step_us: int) -> None:
    """The error is at least the time by which this process's clock was set."""
    assert max(step_us, 2) == exchanged(0, [(1, 0, 1)], same_kernel=False).estimate(step_us).error_us


def test_an_impossible_exchange_has_no_negative_error() -> None:
    """A server that claims more time for its answer than the whole exchange took gets no negative error."""
    offset = OffsetEstimator()
    offset.begin(same_kernel=False)
    offset.add_sample(0, 0, 1000, 10)

    assert 1 == offset.estimate().error_us


PING_US = 1_000_000
LATE_US = PING_US + 3_000_001
PONG = wire.Pong(t1_us=PING_US, t2_us=PING_US, t3_us=PING_US)


def same_clock() -> OffsetEstimator:
    """Return the offset of a server on this kernel."""
    offset = OffsetEstimator()
    offset.begin(same_kernel=True)
    return offset


def idle(now_us: int) -> wire.Idle:
    """Return the frame that an idle server sends."""
    return wire.Idle(next=1, now_us=now_us)


def answered_watch() -> PingWatch:
    """Return the watch of a connection whose server has answered a ping."""
    watch = PingWatch()
    assert not watch.add_frame(PONG, same_clock())
    return watch


@pytest.mark.parametrize("late", [idle(LATE_US), batch(1, 1, sent_us=LATE_US)[0]])
def test_an_ignored_ping_is_reported_once(late: wire.Idle | wire.Records) -> None:
    """A frame sent more than 3 s after an unanswered ping is reported, once."""
    watch = answered_watch()
    watch.ping_sent(PING_US)
    watch.ping_sent(PING_US + 1_000_000)

    assert not watch.add_frame(idle(LATE_US - 1), same_clock())
    assert watch.add_frame(late, same_clock())
    assert not watch.add_frame(late, same_clock())


def test_an_answer_clears_the_ping() -> None:
    """After a pong, even a late one, later frames are not reported."""
    watch = answered_watch()
    watch.ping_sent(PING_US)

    assert not watch.add_frame(PONG, same_clock())
    assert not watch.add_frame(idle(LATE_US), same_clock())


def test_send_times_are_corrected_by_the_offset() -> None:
    """The clock offset is subtracted from a send time, with an allowance for its error."""
    watch, offset = answered_watch(), OffsetEstimator()
    offset.add_sample(0, 7_000, 7_000, 0)
    watch.ping_sent(PING_US)

    assert not watch.add_frame(idle(LATE_US + 7_000), offset)
    assert watch.add_frame(idle(LATE_US + 7_001), offset)


def test_a_server_that_never_answered_is_not_reported() -> None:
    """Before the first pong no ping is reported: the server may answer none."""
    watch = PingWatch()
    watch.ping_sent(PING_US)

    assert not watch.add_frame(idle(LATE_US), same_clock())


AHEAD_US = 5_000_000


def pong(ping: wire.Ping, took_us: int = 0) -> wire.Pong:
    """Return the answer of a server whose clock is ahead."""
    return wire.Pong(t1_us=ping.t1_us, t2_us=START_US + AHEAD_US, t3_us=START_US + AHEAD_US + took_us)


def test_the_last_of_the_first_answers_is_reported() -> None:
    """Only the answer that completes the first pings is reported as the last of them."""
    pings = PingExchange(StoppedClock())
    pings.begin(same_kernel=False)
    reported = [pings.add_answer(pong(ping), START_NS) for ping in [*pings.first(), pings.next()]]

    assert [False] * (FIRST_PINGS - 1) + [True, False] == reported
    assert Estimate(AHEAD_US, 1) == pings.estimate()


def test_another_server_has_another_clock() -> None:
    """The answers of one server are forgotten when another begins."""
    pings = PingExchange(StoppedClock())
    pings.add_answer(pong(pings.next()), START_NS)
    pings.begin(same_kernel=True)

    assert Estimate(0, 0) == pings.estimate()


def test_a_clock_that_was_set_is_doubted() -> None:
    """The time by which this host's clock was set is part of the error."""
    clock = StoppedClock()
    pings = PingExchange(clock)
    pings.begin(same_kernel=True)
    clock.set_by_ns = 7_000_000

    assert Estimate(0, 7_000) == pings.estimate()


def test_a_ping_of_the_server_is_answered() -> None:
    """The answer has the arrival time of the server's ping, and its own send time."""
    clock = StoppedClock(START_US + 3)

    assert wire.Pong(t1_us=7, t2_us=START_US, t3_us=START_US + 3) == PingExchange(clock).answer(
        wire.Ping(t1_us=7), START_NS
    )


def test_a_new_connection_has_no_unanswered_pings() -> None:
    """An unanswered ping counts for the connection that it was sent over, and for no later one."""
    late = wire.Idle(next=1, now_us=START_US + 60_000_000)
    reported = []
    for again in (False, True):
        pings = PingExchange(StoppedClock())
        pings.begin(same_kernel=True)
        answered = wire.Pong(t1_us=START_US, t2_us=START_US, t3_us=START_US)
        assert not pings.add_frame(answered)
        pings.next()
        if again:
            pings.connected()
        reported.append(pings.add_frame(late))

    assert [True, False] == reported
