"""When something is due to be said of a run on the terminal."""

from __future__ import annotations

from services.contract.summary import Summary

SPEAK_SECONDS = 1.0
SPEAK_RARELY_SECONDS = 10.0
SILENT_AFTER_SECONDS = 60.0
EARLY_SECONDS = 0.025
"""A line may be so early, a quarter of a poll, else every one would come a poll later than the one before."""


class Voice:
    """What is said of one run on the terminal, and when it was said last."""

    def __init__(self) -> None:
        self.has_spoken = False
        self._said_at: float | None = None
        self._state = ""

    def is_due(self, summary: Summary, now: float, quiet_for: float) -> bool:
        """Tell whether a line is due: every second while records flow, seldom while not, never when idle."""
        told = f"{summary.state} {summary.headline if summary.state in ('opened', 'waiting') else ''}"
        pause = SPEAK_SECONDS if summary.state == "running" and quiet_for < 5 else SPEAK_RARELY_SECONDS
        if quiet_for > SILENT_AFTER_SECONDS:
            return False
        if summary.state == "running" and not summary.totals.received and quiet_for < SPEAK_SECONDS:
            # It has just begun: a line without a number would put off the one with the first.
            return False
        if told == self._state and self._said_at is not None and now - self._said_at < pause - EARLY_SECONDS:
            return False
        self._state, self._said_at, self.has_spoken = told, now, True
        return True
