"""Measures the server's clock by ping exchanges (as NTP does), and detects a server that no longer answers pings."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from services.contract import wire
from services.runtime.clock import Clock

FIRST_PINGS = 4
"""Pings sent before a subscription: the first records need an offset too."""
UNANSWERED_SECONDS = 3.0
"""A ping without an answer for this long means that the server does not read what this client sends."""
# Older samples would hide a drift of the clocks.
_KEPT_SAMPLES = 16
# More than the error of an exchange: a clock that was set shows by far more, and processes on one kernel share it.
_SAME_KERNEL_SLACK_US = 1000
# Without any sample the error is unknown; a second is far above the latencies that are measured.
_UNKNOWN_ERROR_US = 1_000_000


class Estimate(NamedTuple):
    """Server's clock minus this process's clock, and the largest possible error of that, microseconds."""

    offset_us: int
    error_us: int


class OffsetEstimator:
    """Estimates the clock offset from ping exchanges: the exchange with the shortest round trip counts.

    Processes on one kernel share a clock, so their offset is 0 without error, unless an exchange proves otherwise:
    then the wall clock was set after one of them had started.
    """

    def __init__(self) -> None:
        self._samples: deque[tuple[int, int]] = deque(maxlen=_KEPT_SAMPLES)
        self._is_same_kernel = False

    def begin(self, *, same_kernel: bool) -> None:
        """Forget the samples: this may be another server."""
        self._samples.clear()
        self._is_same_kernel = same_kernel

    def add_sample(self, t1_us: int, t2_us: int, t3_us: int, t4_us: int) -> None:
        """Add an exchange: ping sent, ping arrived, answer sent, answer arrived; ``t2_us`` and ``t3_us`` there."""
        round_trip_us = max((t4_us - t1_us) - (t3_us - t2_us), 0)
        self._samples.append((round_trip_us, ((t2_us - t1_us) + (t3_us - t4_us)) // 2))

    def __len__(self) -> int:
        return len(self._samples)

    def estimate(self, step_us: int = 0) -> Estimate:
        """Return the best estimate; ``step_us`` is by how much this process's clock was set since it started."""
        if not self._samples:
            best = Estimate(0, 0 if self._is_same_kernel else _UNKNOWN_ERROR_US)
        else:
            # The shortest round trip waited least in queues, so it bounds the error best.
            round_trip_us, offset_us = min(self._samples)
            # Exact if both ways took equally long, otherwise wrong by half the round trip at most; 1 for rounding.
            error_us = round_trip_us // 2 + 1
            proves_otherwise = abs(offset_us) > error_us + _SAME_KERNEL_SLACK_US
            best = Estimate(offset_us, error_us) if proves_otherwise or not self._is_same_kernel else Estimate(0, 0)
        return Estimate(best.offset_us, max(best.error_us, step_us))


class PingWatch:
    """Watches one connection for a ping that the server has ignored although it sent something later.

    A frame that is delayed on its way does not count as late: its send time, on the server's clock, is compared.
    Before the first answer nothing is reported, since the server's clock is unknown, and it may answer no pings at all.
    """

    def __init__(self) -> None:
        self._unanswered_us: int | None = None
        self._answers_pings = False

    def ping_sent(self, now_us: int) -> None:
        """Record a ping by this process's clock; the oldest without an answer counts."""
        if self._answers_pings and self._unanswered_us is None:
            self._unanswered_us = now_us

    def add_frame(self, frame: wire.FromServer, offset: OffsetEstimator) -> bool:
        """Process a frame of the server; return True, once, if it was sent long after a ping without an answer."""
        match frame:
            case wire.Pong():
                self._answers_pings, self._unanswered_us = True, None
                return False
            case wire.Records(sent_us=sent_us) | wire.Idle(now_us=sent_us) if self._unanswered_us is not None:
                clock = offset.estimate()
                late_us = sent_us - clock.offset_us - clock.error_us - self._unanswered_us
                if late_us <= UNANSWERED_SECONDS * 1_000_000:
                    return False
                self._unanswered_us = None
                return True
            case _:
                return False


class PingExchange:
    """Makes and answers pings, over one connection after the other."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._offset, self._watch = clock, OffsetEstimator(), PingWatch()

    def connected(self) -> None:
        """Begin with a connection: pings sent over the one before will not be answered any more."""
        self._watch = PingWatch()

    def begin(self, *, same_kernel: bool) -> None:
        """Begin with a server, whose clock may be another one."""
        self._offset.begin(same_kernel=same_kernel)

    def first(self) -> list[wire.Ping]:
        """Return the pings to send before the subscription."""
        return [wire.Ping(t1_us=self._clock.now_us()) for _ in range(FIRST_PINGS)]

    def next(self) -> wire.Ping:
        """Return the next of the regular pings."""
        now_us = self._clock.now_us()
        self._watch.ping_sent(now_us)
        return wire.Ping(t1_us=now_us)

    def answer(self, ping: wire.Ping, received_ns: int) -> wire.Pong:
        """Return the answer to the server's own ping."""
        return wire.Pong(t1_us=ping.t1_us, t2_us=received_ns // 1000, t3_us=self._clock.now_us())

    def add_answer(self, pong: wire.Pong, received_ns: int) -> bool:
        """Add the answer to a ping; return whether it is the last of the first pings."""
        self._offset.add_sample(pong.t1_us, pong.t2_us, pong.t3_us, received_ns // 1000)
        return len(self._offset) == FIRST_PINGS

    def add_frame(self, frame: wire.FromServer) -> bool:
        """Process a frame of the server; return True, once, if it was sent long after a ping without an answer."""
        return self._watch.add_frame(frame, self._offset)

    def estimate(self) -> Estimate:
        """Return the present estimate of the clock offset."""
        return self._offset.estimate(self._clock.step_ns() // 1000)
