"""A limit on how often something may happen: so many times at once, and so many times per second in the long run."""

from __future__ import annotations


class TokenBucket:
    """A token bucket that begins full. Times are monotonic seconds, passed in."""

    __slots__ = ("_at", "_burst", "_left", "_per_second")

    def __init__(self, burst: int, per_second: float, now: float) -> None:
        """Allow ``burst`` events at once, and one more every ``1 / per_second`` seconds up to that number."""
        self._burst, self._per_second = burst, per_second
        self._left, self._at = float(burst), now

    def take(self, now: float) -> bool:
        """Count one event; return whether it is within the limit. One that is not takes nothing."""
        self._fill(now)
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def seconds(self, now: float) -> float:
        """Return after how many seconds the next event is within the limit; 0 when it is now."""
        self._fill(now)
        return max(1 - self._left, 0) / self._per_second

    def _fill(self, now: float) -> None:
        # A clock that seems to run backwards adds nothing and takes nothing away.
        passed = max(now - self._at, 0)
        self._left = min(self._left + passed * self._per_second, self._burst)
        self._at = max(now, self._at)
