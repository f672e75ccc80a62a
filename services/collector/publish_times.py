"""When the next summary of a run and the next look at what was read of it are due. Pure; times are arguments.

Both take a share of a processor: what counts is the processor time that the last one used. On a busy machine the same
work lasts many times as long, and a share of the time that passed would let the published numbers stand still.
"""

from __future__ import annotations

PUBLISH_SECONDS = 0.2
"""A block is in the summary this long after its newline, and 0.1 s for a poll: if the machine has room."""
PUBLISH_SHARE = 10
"""Making summaries takes at most one part in so many of a processor."""
EARLY_SECONDS = 0.025
"""A quarter of a poll: else every summary would come a poll later than the one before."""
LATE_SECONDS = 0.5
"""When something new has waited this long to be published, the collector no longer rests in the course of its work."""
RECHECK_SECONDS = 2.0
"""How often what was read of an open run is compared with what is there."""
RECHECK_SHARE, IDLE_RECHECK_SHARE = 10, 100
"""Comparing takes at most one part in so many of a processor, less where nothing comes any more."""


class PublishTimes:
    """What is due of one run. ``now`` is monotonic seconds, ``used`` seconds of processor time."""

    def __init__(self, now: float) -> None:
        """Begin with a run of which nothing is published: that is news already."""
        self._publish_at = self._recheck_at = self._rechecked = 0.0
        self._waiting_since: float | None = now

    def news(self, now: float) -> None:
        """Note that something was read that is not published yet."""
        if self._waiting_since is None:
            self._waiting_since = now

    def must_publish(self, now: float) -> bool:
        """Tell whether there is something new and its summary is due."""
        return self._waiting_since is not None and now >= self._publish_at

    def published(self, now: float, used: float) -> None:
        """Note that a summary of all that was read has been published, and what making it used."""
        self._waiting_since = None
        self._publish_at = now + max(PUBLISH_SECONDS - EARLY_SECONDS, PUBLISH_SHARE * used)

    def is_late(self, now: float) -> bool:
        """Tell whether something new has waited too long, although its summary is due."""
        since = self._waiting_since
        return since is not None and now >= self._publish_at and now - since > LATE_SECONDS

    def must_recheck(self, now: float) -> bool:
        """Tell whether the comparison is due, or was begun and not finished."""
        return now >= self._recheck_at

    def rechecked(self, now: float, used: float, *, done: bool, idle: bool) -> None:
        """Note that so much processor time was used to compare, and whether all was compared.

        Args:
            now: when.
            used: since the last call.
            done: everything has been compared, so the next comparison begins from the start.
            idle: nothing has come for long.
        """
        self._rechecked += used
        if done:
            share = IDLE_RECHECK_SHARE if idle else RECHECK_SHARE
            self._recheck_at = now + max(RECHECK_SECONDS, share * self._rechecked)
            self._rechecked = 0.0
