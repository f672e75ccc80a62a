"""How long to wait for a server that cannot be reached: between two attempts, and for its handshake. Bounded. Pure."""

from __future__ import annotations

import random

# Records wait while a client waits, so the longest pause is short.
MAX_SECONDS = 0.6
_FIRST_SECONDS = 0.2
# More doublings would change nothing, and an unbounded power overflows a float within half an hour.
_DOUBLINGS = 8
_FLOOR_JITTER_SECONDS = 2.0

# The kernel retransmits a lost packet after a second; half a second more is enough for the answer.
HANDSHAKE_SECONDS = 1.5
MAX_HANDSHAKE_SECONDS = 5.0
# This many handshakes in a row may have been lost on the network; if more fail, the server is slow.
_LOST_BEFORE_SLOW = 3


class Backoff:
    """Jittered exponential back-off, in which a delay that the server asked for takes precedence.

    Attributes:
        handshake_seconds: time limit of an opening handshake. Short at first, because an answer that was lost never
            arrives; longer after several timeouts, because a server to which a thousand clients connect is slow.
    """

    def __init__(self, max_seconds: float = MAX_SECONDS) -> None:
        self._most = max_seconds
        self._attempt = 0
        self._requested: float | None = None
        self._floor, self._is_firm = 0.0, False
        self._timeouts = 0
        self.handshake_seconds = HANDSHAKE_SECONDS

    def succeeded(self) -> None:
        """Start over: the server has been reached."""
        self._attempt, self._timeouts, self.handshake_seconds = 0, 0, HANDSHAKE_SECONDS

    def handshake_timed_out(self) -> None:
        """Allow longer handshakes after several that were not answered in time."""
        self._timeouts += 1
        if self._timeouts > _LOST_BEFORE_SLOW:
            self.handshake_seconds = min(self.handshake_seconds * 1.5, MAX_HANDSHAKE_SECONDS)

    def request(self, seconds: float) -> None:
        """Base the next delay on the time that the server asked for, but stay below the longest delay."""
        self._requested = seconds

    def use_longest(self) -> None:
        """Make the next delay about the longest: the server refused, and would soon refuse again."""
        self._attempt, self._is_firm = _DOUBLINGS, True

    def not_before(self, seconds: float) -> None:
        """Make the next delay at least this long, even beyond the longest delay: the server asked for it."""
        self._floor = seconds

    def next_seconds(self) -> float:
        """Return how long to wait now."""
        most = min(_FIRST_SECONDS * 2**self._attempt, self._most)
        self._attempt = min(self._attempt + 1, _DOUBLINGS)
        if self._requested is not None:
            most, self._requested = min(self._requested * 1.5, self._most), None
        # Random, because a thousand clients that come back at the same time would delay each other's handshakes.
        least, floor = most * (2 if self._is_firm else 1) / 3, self._floor
        self._floor, self._is_firm = 0.0, False
        # With jitter beyond the floor too, or all clients would come back at the same time.
        return max(random.uniform(least, most), random.uniform(floor, floor + min(floor / 10, _FLOOR_JITTER_SECONDS)))
