"""Tests of services/collector/evidence/saturation.py."""

from __future__ import annotations

from services.collector.evidence.saturation import SaturationEvidence, SessionSaturation, StallEvidence
from services.contract import blocklog, ledger

MS = 1_000_000


def end(p99_ns: int | None, max_ns: int | None, throttled: int | None) -> blocklog.EndLine:
    """Return the end line of a client's file with these measurements."""
    return blocklog.EndLine(
        reason="finished", block_count=0, message_count=0, byte_count=0, sha256="",
        loop_lag_p99_ns=p99_ns, loop_lag_max_ns=max_ns, cpu_ns=5, throttled_ns=throttled,
    )  # fmt: skip


def test_the_lines_of_a_session_are_one() -> None:
    """A later line of a session replaces earlier ones, and throttled times of sessions are added."""
    lines = [(1, end(None, 5 * MS, 1)), (1, end(2 * MS, 9 * MS, 3)), (2, end(None, 7 * MS, None)), (3, end(MS, MS, 10))]
    forwards, backwards = SessionSaturation(), SessionSaturation()
    for session, line in lines:
        forwards.add_end(session, line)
    for session, line in reversed([*lines, *lines]):
        backwards.add_end(session, line)

    assert (2 * MS, 9 * MS, 13) == forwards.total() == backwards.total()
    assert (None, None, None) == SessionSaturation().total()


def test_the_end_of_a_ledger_has_evidence_of_its_server() -> None:
    """The end of a run has the measurements of the server that ended it, None for a ledger of an earlier version."""
    line = ledger.EndEntry(at="", last=1, count=1, reason="complete")

    assert SaturationEvidence() == SaturationEvidence.of(line)


def test_a_divided_stall_is_one() -> None:
    """Parts of a stall that follow each other are one stall; copies, and times that are none, add nothing."""
    times = [f"2026-11-22T07:30:0{second}Z" for second in range(6)]
    parts = [blocklog.Stall(*times[first : first + 2]) for first in (3, 0, 1)]
    stalls = StallEvidence()
    for part in (*parts, *parts, blocklog.Stall(times[5], times[4]), blocklog.Stall("soon", times[5])):
        stalls.add([part])

    assert (3_000 * MS, 2_000 * MS) == (stalls.total_ns, stalls.longest_ns)
    assert (0, 0) == (StallEvidence().total_ns, StallEvidence().longest_ns)
