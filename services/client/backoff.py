"""How long to wait before connecting again: longer each time, never the same for two clients, never long."""

from __future__ import annotations

import random

MOST_SECONDS = 2.0
_FIRST_SECONDS = 0.2
_DOUBLINGS = 8
"""More of them would change nothing, and a power without bound outgrows a float within half an hour."""


class Backoff:
    """Jittered exponential back-off; what the server asked for comes first."""

    def __init__(self, most_seconds: float = MOST_SECONDS) -> None:
        self._most = most_seconds
        self._attempt = 0
        self._wish: float | None = None

    def succeeded(self) -> None:
        """Begin again: the server has been reached."""
        self._attempt = 0

    def wish(self, seconds: float) -> None:
        """Take note of when the server wants the next attempt; it counts once."""
        self._wish = seconds

    def next_seconds(self) -> float:
        """Return how long to wait now."""
        most = min(_FIRST_SECONDS * 2**self._attempt, self._most)
        self._attempt = min(self._attempt + 1, _DOUBLINGS)
        if self._wish is not None:
            most, self._wish = min(self._wish * 1.5, self._most), None
        return random.uniform(most / 3, most)
