"""The exchange of pings with the server: how far its clock is from this one, and whether it hears this client."""

from __future__ import annotations

from services.client.answers import Answers
from services.client.clock_sync import Estimate, Offset
from services.contract import wire
from services.runtime.clock import Clock

FIRST_PINGS = 4
"""So many are sent before a subscription, for its first records need an offset too."""


class Pings:
    """Asks and answers, over one connection after the other."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._offset, self._answers = clock, Offset(), Answers()

    def connected(self) -> None:
        """Begin with a connection: what was asked over the one before is answered no more."""
        self._answers = Answers()

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
