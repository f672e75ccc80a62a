"""When the next summary of a run is due, and the next comparison of its files with the lines that were read. Pure."""

from __future__ import annotations

from services.collector.cpu_yield import POLICY, CpuPolicy


class PublishTimes:
    """The due times of one run. ``now`` is monotonic seconds, ``used`` seconds of processor time."""

    def __init__(self, now: float, policy: CpuPolicy = POLICY) -> None:
        """Begin with a run that was never published: a first summary is due at once."""
        self._policy = policy
        self._publish_at = self._recheck_at = self._recheck_used = 0.0
        self._changed_at: float | None = now

    def note_change(self, now: float) -> None:
        """Note that something was read that is not published yet."""
        # The oldest change counts: a later one must not make the numbers look recent.
        if self._changed_at is None:
            self._changed_at = now

    def must_publish(self, now: float) -> bool:
        """Return whether something changed and the next summary is due."""
        return self._changed_at is not None and now >= self._publish_at

    def note_published(self, now: float, used: float) -> None:
        """Note that everything read so far has been published, and the processor time which that used."""
        self._changed_at = None
        self._publish_at = now + self._policy.summaries.pause(used)

    def is_late(self, now: float) -> bool:
        """Return whether a change has waited too long, although its summary is due."""
        changed_at = self._changed_at
        return changed_at is not None and now >= self._publish_at and now - changed_at > self._policy.late_seconds

    def must_recheck(self, now: float) -> bool:
        """Return whether a comparison is due, or was begun and not finished."""
        return now >= self._recheck_at

    def note_recheck(self, now: float, used: float, *, is_done: bool, is_idle: bool) -> None:
        """Note a slice of a comparison.

        Args:
            now: the time at its end.
            used: the processor time of this slice.
            is_done: everything has been compared, so the next comparison starts from the beginning.
            is_idle: nothing was added to the run for a long time.
        """
        # All slices of one comparison count together, or else one of gigabytes would use more than its share.
        self._recheck_used += used
        if is_done:
            budget = self._policy.idle_rechecks if is_idle else self._policy.rechecks
            self._recheck_at = now + budget.pause(self._recheck_used)
            self._recheck_used = 0.0
