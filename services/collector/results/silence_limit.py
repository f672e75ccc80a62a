"""How long a client of an external feed may go without a record before the feed counts as silent.

Only records count: pings, heartbeats and frames that `FEED_IGNORE` passes over are not logged, and of a feed with
numbers a message without one is no record. The interval across a new connection, a new session or damage in the log is
not the feed's rhythm.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from services.collector import formatting
from services.collector.evidence.external_evidence import ExternalIndexRow
from services.collector.evidence.numbers.arrival_times import ArrivalTimesOfBlock

FLOOR_US = 5_000_000
"""A feed may be silent for this long, however fast its rhythm."""
FACTOR = 3
"""… and for this multiple of its longest earlier interval."""
LEAST_INTERVALS = 3
"""With fewer intervals the rhythm is not known."""
STEADY_FLOOR_US, STEADY_FACTOR = 2_000_000, 10
"""A steady feed may be silent for this long only, and for this multiple of its longest earlier interval: a feed that
stopped in a short run must not pass because of the floor above."""
STEADY_INTERVALS, STEADY_US = 50, 2_000_000
"""It is steady with so many intervals in so long a time; a burst at the beginning is not."""
KEY_FACTOR, KEY_INTERVALS, KEY_US, KEY_SHARE = 10, 20, 2_000_000, 5
"""One sequence of several has stopped if it is silent for more than this multiple of its longest interval, had at least
so many intervals, for at least so long, and is silent for at most so many times as long: a burst has no rhythm."""


class StoppedSequence(NamedTuple):
    """A sequence that has stopped while others go on: its key, for how long, and its longest earlier interval."""

    key: str | None
    quiet_us: int
    longest_us: int

    @property
    def limit_us(self) -> int:
        """The longest silence that its rhythm explains, in microseconds."""
        return max(FLOOR_US, KEY_FACTOR * self.longest_us)


class FeedRhythm(NamedTuple):
    """The arrivals of records at one client: the last one, the number of intervals and the longest of them.

    ``unnumbered`` is how many messages without a number came after the last record that has one, ``active_us`` the time
    from the first arrival to the last one.
    """

    last_us: int | None
    intervals: int
    longest_us: int
    unnumbered: int = 0
    active_us: int = 0

    @property
    def is_known(self) -> bool:
        """Whether there were enough intervals."""
        return self.intervals >= LEAST_INTERVALS

    @property
    def limit_us(self) -> int:
        """The longest silence that the rhythm explains, in microseconds."""
        floor_us, factor = self._limits
        return max(floor_us, factor * self.longest_us)

    @property
    def _limits(self) -> tuple[int, int]:
        """The floor of the limit in microseconds, and the multiple of the longest interval."""
        is_steady = self.intervals >= STEADY_INTERVALS and self.active_us >= STEADY_US
        if is_steady and STEADY_FACTOR * self.longest_us <= FLOOR_US:
            return STEADY_FLOOR_US, STEADY_FACTOR
        return FLOOR_US, FACTOR

    def is_silent(self, quiet_us: int, allowed_s: float | None) -> bool:
        """Return whether nothing was received for too long, or for a time that may be too long.

        Args:
            quiet_us: the time since the last record, in microseconds.
            allowed_s: the operator's limit in seconds, None for that of the rhythm.
        """
        if allowed_s is not None:
            return quiet_us > allowed_s * 1e6
        # An unknown rhythm is a doubt: the reason then asks the operator to set FEED_SILENCE.
        return not self.is_known or quiet_us > self.limit_us

    @property
    def limit_text(self) -> str:
        """Where the limit comes from, in words."""
        floor_us, factor = self._limits
        return (
            f"the larger of {formatting.duration(floor_us * 1000)} and {factor} times the longest earlier interval"
            f" between records, {formatting.duration(self.longest_us * 1000)}"
        )


def rhythm(rows: Iterable[ExternalIndexRow]) -> FeedRhythm:
    """Return the rhythm of one client.

    Args:
        rows: of its blocks, in the order in which it received them.
    """
    first_us: int | None = None
    last_us: int | None = None
    intervals, longest_us, unnumbered = 0, 0, 0
    previous: ArrivalTimesOfBlock | None = None
    before: ExternalIndexRow | None = None
    for row in rows:
        if before is not None and not _is_continued(before, row):
            previous = None
        before, arrivals = row, row.arrivals
        unnumbered = row.unnumbered if arrivals is not None else unnumbered + row.unnumbered
        if arrivals is None:
            # Without the times of a block neither the interval before it nor the one after it is known. A block whose
            # messages have no number lies within an interval.
            previous = previous if row.ended_us else None
            continue
        # Records that one read returned have one arrival time: between them there is no interval.
        intervals += arrivals.arrival_count - 1
        longest_us = max(longest_us, arrivals.longest_us)
        if previous is not None:
            between_us = arrivals.first_us - previous.last_us
            # As between two records, there is no interval between two blocks with one arrival time.
            intervals += between_us > 0
            longest_us = max(longest_us, between_us)
        first_us = arrivals.first_us if first_us is None else min(first_us, arrivals.first_us)
        last_us = arrivals.last_us if last_us is None else max(last_us, arrivals.last_us)
        previous = arrivals
    active_us = 0 if first_us is None or last_us is None else last_us - first_us
    return FeedRhythm(last_us, intervals, longest_us, unnumbered, active_us)


def _is_continued(row: ExternalIndexRow, later: ExternalIndexRow) -> bool:
    return row.connection == later.connection and row.positions[1] + 1 == later.positions[0]


def stopped(
    arrivals: Mapping[str | None, ArrivalTimesOfBlock | None], end_us: int, allowed_s: float | None
) -> tuple[StoppedSequence, ...]:
    """Return the sequences that have stopped, the one with the longest silence first.

    Args:
        arrivals: of each sequence of a client.
        end_us: when its run ended, epoch microseconds.
        allowed_s: how long the feed may be silent by its settings, in seconds; None if they do not say it.
    """
    found = []
    for key, known in arrivals.items():
        if known is None:
            continue
        quiet_us, active_us = end_us - known.last_us, known.last_us - known.first_us
        is_regular = known.arrival_count > KEY_INTERVALS and max(KEY_US, quiet_us / KEY_SHARE) <= active_us
        one = StoppedSequence(key, quiet_us, known.longest_us)
        if is_regular and quiet_us > max(one.limit_us, (allowed_s or 0) * 1e6):
            found.append(one)
    return tuple(sorted(found, key=lambda one: (-one.quiet_us, one.key or "")))
