"""Finds the times in which a client of an external feed did not read itself, right before a connection ended.

A server ends connections whose buffers stay full, and those of clients that do not answer its pings. Such an absence is
the client's own, so it must not accuse the feed.
"""

from __future__ import annotations

from collections.abc import Iterator

from services.collector.evidence.log_evidence import LogEvidence
from services.collector.results.connection_history import NO_STOP, OwnStop

WINDOW_US = 10_000_000
"""A close this soon after such a time may have that cause: what waited in the buffers is read first."""
STOOD_STILL_US = 1_000_000
"""A shorter lag of the event loop ends no connection."""
_SHARE = 0.9
"""A lag is measured by timers, so the interval without a record may be a little shorter."""


class OwnStops:
    """The times in which one client did not read: for its disk, or because its process stood still."""

    def __init__(self, log: LogEvidence) -> None:
        self._stalls, self._log = log.stalls, log
        self._lag_us = (log.saturation.total().max_ns or 0) // 1000
        # A pass over all blocks, for the rare client whose process stood still.
        self._intervals = list(_intervals(log, self._lag_us)) if self._lag_us >= STOOD_STILL_US else []

    def before(self, at_us: int) -> OwnStop:
        """Return the time without reading right before an absence that began at ``at_us``, epoch microseconds."""
        if stalled_us := self._stalls.within_us(at_us - WINDOW_US, at_us):
            return OwnStop(stalled_us, "because its disk was behind")
        # How long the longest lag was is known, and not when: then no record can have come for as long.
        if any(at_us - WINDOW_US <= ended_us <= at_us for ended_us in self._intervals) or self._is_last(at_us):
            return OwnStop(self._lag_us, "because its process stood still")
        return NO_STOP

    def _is_last(self, at_us: int) -> bool:
        """Return whether the connection ended after an interval without a record that is as long as the lag."""
        if self._lag_us < STOOD_STILL_US:
            return False
        lasts = [row.arrivals.last_us for row in self._log.external.rows() if row.arrivals is not None]
        before = [last_us for last_us in lasts if last_us <= at_us]
        return bool(before) and _SHARE * self._lag_us <= at_us - max(before) <= self._lag_us + STOOD_STILL_US


def _intervals(log: LogEvidence, least_us: int) -> Iterator[int]:
    """Yield when each interval between records ended, at the latest, that is as long as the lag."""
    previous_us: int | None = None
    for row in log.external.rows():
        if row.arrivals is None:
            continue
        if previous_us is not None and row.arrivals.first_us - previous_us >= _SHARE * least_us:
            yield row.arrivals.first_us
        if row.arrivals.longest_us >= _SHARE * least_us:
            yield row.arrivals.last_us
        previous_us = row.arrivals.last_us
