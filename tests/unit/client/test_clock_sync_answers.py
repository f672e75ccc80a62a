"""Tests of `services.client.clock_sync`."""

from __future__ import annotations

import pytest

from services.client.clock_sync import OffsetEstimator, PingWatch
from services.contract import wire
from tests.unit.client.fakes import batch

ASKED_US = 1_000_000
LATE_US = ASKED_US + 3_000_001
PONG = wire.Pong(t1_us=ASKED_US, t2_us=ASKED_US, t3_us=ASKED_US)


def same_clock() -> OffsetEstimator:
    """Return the offset of a server on this kernel."""
    offset = OffsetEstimator()
    offset.begin(same_kernel=True)
    return offset


def idle(now_us: int) -> wire.Idle:
    """Return what a server says that has nothing to say."""
    return wire.Idle(next=1, now_us=now_us)


def answering() -> PingWatch:
    """Return the watch of a connection whose server has answered once."""
    answers = PingWatch()
    assert not answers.passed_over(PONG, same_clock())
    return answers


@pytest.mark.parametrize("late", [idle(LATE_US), batch(1, 1, sent_us=LATE_US)[0]])
def test_a_ping_that_was_passed_over_is_told_once(late: wire.Idle | wire.Records) -> None:
    """A server that speaks 3 s after a ping and has not answered it does not hear; that is said once."""
    answers = answering()
    answers.asked(ASKED_US)
    answers.asked(ASKED_US + 1_000_000)

    assert not answers.passed_over(idle(LATE_US - 1), same_clock())
    assert answers.passed_over(late, same_clock())
    assert not answers.passed_over(late, same_clock())


def test_an_answer_clears_it() -> None:
    """A pong, however late it arrives, is before what the server said later."""
    answers = answering()
    answers.asked(ASKED_US)

    assert not answers.passed_over(PONG, same_clock())
    assert not answers.passed_over(idle(LATE_US), same_clock())


def test_the_server_speaks_by_its_own_clock() -> None:
    """The clocks' offset is taken out, and what it can be wrong is granted."""
    answers, offset = answering(), OffsetEstimator()
    offset.sample(0, 7_000, 7_000, 0)
    answers.asked(ASKED_US)

    assert not answers.passed_over(idle(LATE_US + 7_000), offset)
    assert answers.passed_over(idle(LATE_US + 7_001), offset)


def test_a_server_that_never_answered_is_not_held_to_it() -> None:
    """Without a pong nothing is known of the server's clock, nor that it answers at all."""
    answers = PingWatch()
    answers.asked(ASKED_US)

    assert not answers.passed_over(idle(LATE_US), same_clock())
