"""Tests of when each message's bytes arrived."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from services.runtime.clock import Clock
from services.runtime.websocket_io import ArrivalTimes

TEXT, BINARY, CONTINUED, CLOSE, PING = 1, 2, 0, 8, 9


class Frame(NamedTuple):
    """A frame as the WebSocket library parses it."""

    opcode: int
    fin: bool = True


class FakeClock(Clock):
    """A clock that stands until the test moves it."""

    now = 0

    def now_ns(self) -> int:
        """Return the time that the test has set."""
        return self.now


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock at 0."""
    return FakeClock()


def came(stamps: ArrivalTimes, clock: FakeClock, at: int, *frames: Frame) -> None:
    """Let bytes arrive at a time, and complete these frames."""
    clock.now = at
    stamps.bytes_came()
    for frame in frames:
        stamps.frame_came(frame)


def test_stamp_is_of_the_arrival(clock: FakeClock) -> None:
    """A message bears the time its bytes came, however long it waited to be taken."""
    stamps = ArrivalTimes(clock)
    came(stamps, clock, 10, Frame(TEXT))
    clock.now = 1_000
    expected = 10

    assert expected == stamps.take_ns()


def test_what_waits_is_known(clock: FakeClock) -> None:
    """A message waits from when it came until it is taken."""
    stamps = ArrivalTimes(clock)
    before = stamps.waiting
    came(stamps, clock, 10, Frame(TEXT))
    while_it_waits = stamps.waiting
    stamps.take_ns()

    assert [False, True, False] == [before, while_it_waits, stamps.waiting]


def test_messages_are_stamped_in_order(clock: FakeClock) -> None:
    """Messages that came together share a stamp; those that came later have their own."""
    stamps = ArrivalTimes(clock)
    came(stamps, clock, 10, Frame(TEXT), Frame(TEXT))
    came(stamps, clock, 20, Frame(TEXT))

    assert [stamps.take_ns() for _ in range(3)] == [10, 10, 20]


def test_a_message_in_parts_is_stamped_by_the_last(clock: FakeClock) -> None:
    """A message that came in several frames bears the time of the last bytes."""
    stamps = ArrivalTimes(clock)
    came(stamps, clock, 10, Frame(TEXT, fin=False))
    came(stamps, clock, 20, Frame(CONTINUED, fin=False))
    came(stamps, clock, 30, Frame(CONTINUED))
    came(stamps, clock, 40, Frame(TEXT))

    assert [stamps.take_ns() for _ in range(2)] == [30, 40]


def test_control_frames_are_no_messages(clock: FakeClock) -> None:
    """A ping between two messages, or within one, takes no stamp."""
    stamps = ArrivalTimes(clock)
    came(stamps, clock, 10, Frame(PING), Frame(TEXT))
    came(stamps, clock, 15, Frame(CLOSE), Frame(BINARY))
    came(stamps, clock, 20, Frame(TEXT, fin=False), Frame(PING))
    came(stamps, clock, 30, Frame(CONTINUED))

    assert [stamps.take_ns() for _ in range(3)] == [10, 15, 30]


def test_without_a_stamp_it_is_now(clock: FakeClock) -> None:
    """A message that nobody stamped bears the time at which it was taken."""
    clock.now = 50
    expected = 50

    assert expected == ArrivalTimes(clock).take_ns()
