"""Saturation of server and client processes as they measured it: event loop lag, and time throttled by a CPU limit.

If the event loop of a client lags, the client is throttled, or it stops reading for its disk, it timestamps messages
late: then part of the measured latency is its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from services.collector.evidence.timestamps import moment
from services.contract import blocklog, ledger
from services.contract.rangeset import RangeSet


class SaturationEvidence(NamedTuple):
    """The measurements of one process, the worst of all its lines; None for not measured.

    Attributes:
        p99_ns: 99th percentile of the event loop lag.
        max_ns: the longest event loop lag.
        throttled_ns: time throttled, summed over processors by the kernel: two threads that are throttled for one
            second make two seconds.
    """

    p99_ns: int | None = None
    max_ns: int | None = None
    throttled_ns: int | None = None

    @classmethod
    def of(cls, end: blocklog.EndLine | ledger.EndEntry | ledger.MeasuredEntry) -> SaturationEvidence:
        """Return the measurements in the last line of a log file, a run or a server."""
        return cls(end.loop_lag_p99_ns, end.loop_lag_max_ns, end.throttled_ns)

    def within(self, run_ns: int | None) -> SaturationEvidence:
        """Return the measurements with the throttled time limited to the duration of the run."""
        if self.throttled_ns is None or not run_ns:
            return self
        # The check says for how much of the run a process was throttled, and the sum over processors may exceed the
        # run.
        return self._replace(throttled_ns=min(self.throttled_ns, run_ns))

    def worst(self, other: SaturationEvidence) -> SaturationEvidence:
        """Return the greater value of each measurement."""
        return SaturationEvidence(*(_greatest(pair) for pair in zip(self, other, strict=True)))


class SessionSaturation:
    """The measurements of the sessions of one client. A later line of a session includes the values of earlier ones."""

    __slots__ = ("_evidence",)

    def __init__(self) -> None:
        self._evidence: dict[int, SaturationEvidence] = {}

    def add_end(self, session: int, end: blocklog.EndLine) -> None:
        """Add the last line of a file."""
        self._evidence[session] = self._evidence.get(session, SaturationEvidence()).worst(SaturationEvidence.of(end))

    def merge(self, other: SessionSaturation) -> None:
        """Add the measurements in other files of the client."""
        for session, evidence in other._evidence.items():
            self._evidence[session] = self._evidence.get(session, SaturationEvidence()).worst(evidence)

    def total(self) -> SaturationEvidence:
        """Return the measurements of all sessions together: maximum of lag, sum of throttled time."""
        sessions = self._evidence.values()
        throttled = [session.throttled_ns for session in sessions if session.throttled_ns is not None]
        return SaturationEvidence(
            _greatest(session.p99_ns for session in sessions),
            _greatest(session.max_ns for session in sessions),
            sum(throttled) if throttled else None,
        )


class StallEvidence:
    """The times in which one client did not read because too much waited for the disk."""

    __slots__ = ("_spans",)

    def __init__(self) -> None:
        # Microseconds. A stall during which blocks were closed is in several lines, and is one again here.
        self._spans = RangeSet()

    @property
    def total_ns(self) -> int:
        """Their sum."""
        return self._spans.count * 1000

    @property
    def longest_ns(self) -> int:
        """The longest one, 0 without any."""
        return max((ended - started + 1 for started, ended in self._spans), default=0) * 1000

    def within_us(self, first_us: int, last_us: int) -> int:
        """Return how long the client did not read between two times, in microseconds; all are epoch microseconds."""
        return self._spans.within(first_us, last_us).count

    def merge(self, other: StallEvidence) -> None:
        """Add the stalls in other files of the client."""
        self._spans |= other._spans

    def add(self, stalls: Sequence[blocklog.Stall]) -> None:
        """Add the stalls of one line. A time that cannot be read counts as no stall."""
        for stall in stalls:
            started_us, ended_us = moment(stall.started_at), moment(stall.ended_at)
            if started_us is not None and ended_us is not None and ended_us > started_us:
                self._spans.add(started_us, ended_us - 1)


def _greatest(values: Iterable[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)
