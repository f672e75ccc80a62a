"""When the next line of progress of a run is due. Pure."""

from __future__ import annotations

from services.contract.summary import Summary

LINE_SECONDS = 1.0
"""Time between two lines while records flow."""
SLOW_LINE_SECONDS = 10.0
"""The same in any other state, or when nothing new was read for `SLOW_AFTER_SECONDS`."""
SLOW_AFTER_SECONDS = 5.0
SILENT_AFTER_SECONDS = 60.0
"""After this long without anything new, no more lines are printed."""
EARLY_SECONDS = 0.025
"""A line may come a quarter of a poll early, or else every line would come one poll later than intended."""


class ProgressTimer:
    """Decides when progress of one run is printed.

    Attributes:
        has_printed: whether a line was due already.
    """

    def __init__(self) -> None:
        self.has_printed = False
        self._due_at: float | None = None
        self._state = ""

    def claim_line(self, summary: Summary, now: float, quiet_for: float) -> bool:
        """Return whether to print a line now; if so, the interval until the next one begins.

        Args:
            summary: the run as it is now.
            now: monotonic seconds.
            quiet_for: seconds since something new was read.
        """
        if quiet_for > SILENT_AFTER_SECONDS:
            return False
        is_running = summary.state == "running"
        if is_running and not summary.totals.received and quiet_for < LINE_SECONDS:
            # The run has just started: a line without numbers would delay the first one with numbers.
            return False
        state = f"{summary.state} {summary.headline if summary.state in ('opened', 'waiting') else ''}"
        pause = LINE_SECONDS if is_running and quiet_for < SLOW_AFTER_SECONDS else SLOW_LINE_SECONDS
        # A new state is printed at once.
        if state == self._state and self._due_at is not None and now - self._due_at < pause - EARLY_SECONDS:
            return False
        self._state, self._due_at, self.has_printed = state, now, True
        return True
