"""How long to wait for a server that cannot be reached: between two attempts, and for its answer to one. Bounded."""

from __future__ import annotations

import random

MOST_SECONDS = 0.6
_FIRST_SECONDS = 0.2
_DOUBLINGS = 8
"""More of them would change nothing, and a power without bound outgrows a float within half an hour."""

_FLOOR_JITTER_SECONDS = 2.0

PATIENCE_SECONDS = 1.5
MOST_PATIENCE_SECONDS = 5.0
_LOST_BEFORE_SLOW = 3
"""So many handshakes in a row may have been lost on their way; more, and the server is slow."""


class Backoff:
    """Jittered exponential back-off; what the server asked for comes first.

    Attributes:
        patience_seconds: what an opening handshake may take. Short, for an answer that was lost never comes; longer
            when several did not come, for a server that a thousand clients seek at once needs its time.
    """

    def __init__(self, most_seconds: float = MOST_SECONDS) -> None:
        self._most = most_seconds
        self._attempt = 0
        self._wish: float | None = None
        self._floor, self._firm = 0.0, False
        self._unanswered = 0
        self.patience_seconds = PATIENCE_SECONDS

    def succeeded(self) -> None:
        """Begin again: the server has been reached."""
        self._attempt, self._unanswered, self.patience_seconds = 0, 0, PATIENCE_SECONDS

    def unanswered(self) -> None:
        """Note that a handshake was not answered in time."""
        self._unanswered += 1
        if self._unanswered > _LOST_BEFORE_SLOW:
            self.patience_seconds = min(self.patience_seconds * 1.5, MOST_PATIENCE_SECONDS)

    def wish(self, seconds: float) -> None:
        """Take note of when the server wants the next attempt; it counts once."""
        self._wish = seconds

    def longest(self) -> None:
        """Wait about the longest time next: the server refused, and would refuse another attempt soon as well."""
        self._attempt, self._firm = _DOUBLINGS, True

    def not_before(self, seconds: float) -> None:
        """Wait at least so long next, also beyond the longest time: the server asks for it. It counts once."""
        self._floor = seconds

    def next_seconds(self) -> float:
        """Return how long to wait now."""
        most = min(_FIRST_SECONDS * 2**self._attempt, self._most)
        self._attempt = min(self._attempt + 1, _DOUBLINGS)
        if self._wish is not None:
            most, self._wish = min(self._wish * 1.5, self._most), None
        least, floor = most * (2 if self._firm else 1) / 3, self._floor
        self._floor, self._firm = 0.0, False
        # Never all at once when the time is over that the server asked for.
        return max(random.uniform(least, most), random.uniform(floor, floor + min(floor / 10, _FLOOR_JITTER_SECONDS)))
