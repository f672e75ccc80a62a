"""What server and client processes measured of their own saturation: event loop lag, and time stopped by a CPU limit.

A client whose event loop is late, or that is stopped by its CPU limit, stamps its messages late: then the latency that
it measured is its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from services.contract import blocklog, ledger


class SaturationEvidence(NamedTuple):
    """What one process measured of itself, the worst of all its lines; null for not measured.

    ``throttled_ns`` is the kernel's sum over processors: two threads that are stopped for a second make two.
    """

    p99_ns: int | None = None
    max_ns: int | None = None
    throttled_ns: int | None = None

    @classmethod
    def of(cls, end: blocklog.EndLine | ledger.EndEntry) -> SaturationEvidence:
        """Read the evidence in the last line of a log or a run."""
        return cls(end.loop_lag_p99_ns, end.loop_lag_max_ns, end.throttled_ns)

    def within(self, run_ns: int | None) -> SaturationEvidence:
        """Return the evidence of a run of this length: no process was stopped for longer than that."""
        if self.throttled_ns is None or not run_ns:
            return self
        return self._replace(throttled_ns=min(self.throttled_ns, run_ns))

    def worst(self, other: SaturationEvidence) -> SaturationEvidence:
        """Return the greater of each."""
        return SaturationEvidence(*(_greatest(pair) for pair in zip(self, other, strict=True)))


class SessionSaturation:
    """The evidence of the sessions of one client. Later lines of a session include the values of its earlier ones."""

    def __init__(self) -> None:
        self._evidence: dict[int, SaturationEvidence] = {}

    def add_end(self, session: int, end: blocklog.EndLine) -> None:
        """Add the last line of a file."""
        self._evidence[session] = self._evidence.get(session, SaturationEvidence()).worst(SaturationEvidence.of(end))

    def total(self) -> SaturationEvidence:
        """Return the evidence of all sessions: the times for which they were stopped add up."""
        sessions = self._evidence.values()
        stopped = [session.throttled_ns for session in sessions if session.throttled_ns is not None]
        return SaturationEvidence(
            _greatest(session.p99_ns for session in sessions),
            _greatest(session.max_ns for session in sessions),
            sum(stopped) if stopped else None,
        )


def _greatest(values: Iterable[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)
