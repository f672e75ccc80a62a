"""Tests of services/collector/evidence/saturation.py."""

from __future__ import annotations

import pytest

from services.collector.evidence.saturation import LATE_NS, SaturationEvidence, SessionSaturation, judge
from services.contract import blocklog, ledger

MS, S = 1_000_000, 1_000_000_000
RUN_NS = 30 * S
FIT = SaturationEvidence(1_200_000, 20 * MS, 0)


def end(p99_ns: int | None, max_ns: int | None, throttled: int | None) -> blocklog.EndLine:
    """Return the last line of a file of a client that says this of itself."""
    return blocklog.EndLine(
        reason="finished", block_count=0, message_count=0, byte_count=0, sha256="",
        loop_lag_p99_ns=p99_ns, loop_lag_max_ns=max_ns, cpu_ns=5, throttled_ns=throttled,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("evidence", "ok", "detail"),
    [
        (FIT, True, "p99 1.2 ms late, at most 20.0 ms; never throttled"),
        (SaturationEvidence(LATE_NS, 3 * S, None), True, "p99 250.0 ms late, at most 3.0 s"),
        (SaturationEvidence(None, 20 * MS, None), True, "at most 20.0 ms late"),
        (SaturationEvidence(None, 3 * S, 0), None, "at most 3.0 s late; never throttled"),
        (SaturationEvidence(MS, MS, 1500 * MS), True, "p99 1.0 ms late, at most 1.0 ms; throttled for 1.5 s"),
        (SaturationEvidence(), None, "not measured"),
    ],
)
def test_what_was_fit_is_told(evidence: SaturationEvidence, ok: bool | None, detail: str) -> None:
    """Below the limits the instrument was fit; too short a time, or none at all, is no answer."""
    assert (ok, detail, ()) == judge([("client-1", evidence)], RUN_NS)


def test_a_late_loop_is_named() -> None:
    """Whose event loop was late, by how much, the worst first."""
    found = judge(
        [
            ("the server", FIT),
            ("client-2", SaturationEvidence(300 * MS, S, 0)),
            ("client-3", SaturationEvidence(400 * MS, S, 0)),
        ],
        RUN_NS,
    )

    assert found.ok is False
    assert "p99 400.0 ms late, at most 1.0 s; never throttled" == found.detail
    assert (
        "client-3's event loop was 400.0 ms late (p99)",
        "client-2's event loop was 300.0 ms late (p99)",
    ) == found.reasons


def test_a_throttled_process_is_named() -> None:
    """Who was stopped by its limit for more than a twentieth of the run, and for how long."""
    found = judge(
        [("the server", SaturationEvidence(MS, MS, 2100 * MS)), ("client-1", SaturationEvidence(MS, MS, 1500 * MS))],
        RUN_NS,
    )

    assert (False, ("the server was throttled for 2.1 s of 30.0 s by its CPU limit",)) == (found.ok, found.reasons)


def test_nobody_is_stopped_for_longer_than_the_run() -> None:
    """The kernel counts every processor on which a process was stopped; a reader is told a part of the run."""
    found = judge([("client-2", SaturationEvidence(MS, MS, 48 * S))], RUN_NS)

    assert ("client-2 was throttled for 30.0 s of 30.0 s by its CPU limit",) == found.reasons
    assert "p99 1.0 ms late, at most 1.0 ms; throttled for 30.0 s" == found.detail


def test_many_processes_are_counted() -> None:
    """Of a thousand clients five are named."""
    found = judge([(f"client-{number}", SaturationEvidence(S + number, S, None)) for number in range(1000)], RUN_NS)

    assert 6 == len(found.reasons)
    assert "995 more were not fit either" == found.reasons[-1]


def test_without_a_run_nothing_is_a_share_of_it() -> None:
    """Where nothing was received, and so nothing measured, no time is too long."""
    assert judge([("the server", SaturationEvidence(MS, MS, 60 * S))], None).ok


def test_the_lines_of_a_session_are_one() -> None:
    """A session's last line says what its earlier ones do, and more; sessions were stopped one after the other."""
    lines = [(1, end(None, 5 * MS, 1)), (1, end(2 * MS, 9 * MS, 3)), (2, end(None, 7 * MS, None)), (3, end(MS, MS, 10))]
    forwards, backwards = SessionSaturation(), SessionSaturation()
    for session, line in lines:
        forwards.enter(session, line)
    for session, line in reversed([*lines, *lines]):
        backwards.enter(session, line)

    assert (2 * MS, 9 * MS, 13) == forwards.total() == backwards.total()
    assert (None, None, None) == SessionSaturation().total()


def test_the_ledger_says_the_same_of_its_server() -> None:
    """The end of a run has the evidence of the server that ended it; one of earlier versions has none."""
    line = ledger.EndEntry(at="", last=1, count=1, reason="complete")

    assert SaturationEvidence() == SaturationEvidence.of(line)
