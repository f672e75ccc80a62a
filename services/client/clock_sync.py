"""How far the server's clock is from this one, and how surely: four timestamps, the quickest exchange counts."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from services.contract import wire
from services.runtime.clock import Clock

_KEPT = 16
_SAME_KERNEL_SLACK_US = 1000


class Estimate(NamedTuple):
    """Server's clock minus this one's, and the most that this can be wrong, microseconds."""

    offset_us: int
    error_us: int


class OffsetEstimator:
    """Estimates the clock offset from ping exchanges.

    Processes on one kernel share a clock, so their offset is 0 without error, unless the exchange proves
    otherwise: then somebody set the clock of one of them between the two starts.
    """

    def __init__(self) -> None:
        self._samples: deque[tuple[int, int]] = deque(maxlen=_KEPT)
        self._same_kernel = False

    def begin(self, *, same_kernel: bool) -> None:
        """Forget the samples: this may be another server."""
        self._samples.clear()
        self._same_kernel = same_kernel

    def sample(self, t1_us: int, t2_us: int, t3_us: int, t4_us: int) -> None:
        """Take in one exchange: asked, arrived there, answered there, arrived here."""
        round_trip_us = max((t4_us - t1_us) - (t3_us - t2_us), 0)
        self._samples.append((round_trip_us, ((t2_us - t1_us) + (t3_us - t4_us)) // 2))

    def __len__(self) -> int:
        return len(self._samples)

    def estimate(self, step_us: int = 0) -> Estimate:
        """Return the best estimate; ``step_us`` is by how much this process's clock was set since it started."""
        if not self._samples:
            best = Estimate(0, 0 if self._same_kernel else 1_000_000)
        else:
            round_trip_us, offset_us = min(self._samples)
            error_us = round_trip_us // 2 + 1
            proves_otherwise = abs(offset_us) > error_us + _SAME_KERNEL_SLACK_US
            best = Estimate(offset_us, error_us) if proves_otherwise or not self._same_kernel else Estimate(0, 0)
        return Estimate(best.offset_us, max(best.error_us, step_us))


UNHEARD_SECONDS = 3.0


class PingWatch:
    """Watches one connection for pings that the server, who speaks, has passed over.

    What waits on the way to this client does not count: what the server said is held against when *it* said it.
    A server that has never answered is none that answers, and its clock is not known.
    """

    def __init__(self) -> None:
        self._asked_us: int | None = None
        self._answers = False

    def asked(self, now_us: int) -> None:
        """Note a ping, by this client's clock; the oldest without an answer counts."""
        if self._answers and self._asked_us is None:
            self._asked_us = now_us

    def passed_over(self, frame: wire.FromServer, offset: OffsetEstimator) -> bool:
        """Take in a frame; tell, once, whether the server said it long after a ping that it has not answered."""
        match frame:
            case wire.Pong():
                self._answers, self._asked_us = True, None
                return False
            case wire.Records(sent_us=said_us) | wire.Idle(now_us=said_us) if self._asked_us is not None:
                clock = offset.estimate()
                late_us = said_us - clock.offset_us - clock.error_us - self._asked_us
                if late_us <= UNHEARD_SECONDS * 1_000_000:
                    return False
                self._asked_us = None
                return True
            case _:
                return False


FIRST_PINGS = 4
"""So many are sent before a subscription, for its first records need an offset too."""


class PingExchange:
    """Asks and answers, over one connection after the other."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._offset, self._answers = clock, OffsetEstimator(), PingWatch()

    def connected(self) -> None:
        """Begin with a connection: what was asked over the one before is answered no more."""
        self._answers = PingWatch()

    def begin(self, *, same_kernel: bool) -> None:
        """Begin with a server, whose clock may be another one."""
        self._offset.begin(same_kernel=same_kernel)

    def first(self) -> list[wire.Ping]:
        """Return what to ask at first."""
        return [wire.Ping(t1_us=self._clock.now_us()) for _ in range(FIRST_PINGS)]

    def next(self) -> wire.Ping:
        """Return what to ask from time to time."""
        now_us = self._clock.now_us()
        self._answers.asked(now_us)
        return wire.Ping(t1_us=now_us)

    def answer(self, ping: wire.Ping, received_ns: int) -> wire.Pong:
        """Return the answer to the server's own question."""
        return wire.Pong(t1_us=ping.t1_us, t2_us=received_ns // 1000, t3_us=self._clock.now_us())

    def sample(self, pong: wire.Pong, received_ns: int) -> bool:
        """Take in an answer; tell whether it is the last of the first ones."""
        self._offset.sample(pong.t1_us, pong.t2_us, pong.t3_us, received_ns // 1000)
        return len(self._offset) == FIRST_PINGS

    def passed_over(self, frame: wire.FromServer) -> bool:
        """Take in a frame; tell, once, whether the server said it long after a ping that it has not answered."""
        return self._answers.passed_over(frame, self._offset)

    def estimate(self) -> Estimate:
        """Return how far the server's clock is, as well as is known."""
        return self._offset.estimate(self._clock.step_ns() // 1000)
