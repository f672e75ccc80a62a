"""A rate limit that allows bursts."""

from __future__ import annotations


class TokenBucket:
    """A token bucket that starts full. The caller passes the time, in monotonic seconds."""

    __slots__ = ("_at", "_burst", "_left", "_per_second")

    def __init__(self, burst: int, per_second: float, now: float) -> None:
        """Allow ``burst`` events at once, and one more every ``1 / per_second`` seconds up to that number."""
        self._burst, self._per_second = burst, per_second
        self._left, self._at = float(burst), now

    def consume(self, now: float) -> bool:
        """Count an event and return True if it is within the limit; otherwise return False."""
        self._left, self._at = self._tokens(now), max(now, self._at)
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def seconds_until_next(self, now: float) -> float:
        """Return in how many seconds the next event is within the limit; 0 if it is now."""
        return max(1 - self._tokens(now), 0) / self._per_second

    def _tokens(self, now: float) -> float:
        # A time before the last one adds and removes nothing.
        elapsed = max(now - self._at, 0)
        return min(self._left + elapsed * self._per_second, self._burst)
