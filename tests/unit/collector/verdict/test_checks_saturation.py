"""Tests of the check whether a process was fit to measure."""

from __future__ import annotations

import pytest

from services.collector.evidence.saturation import SaturationEvidence
from services.collector.verdict.check_types import CheckAnswer
from services.collector.verdict.checks import MAX_LAG_NS, judge_saturation

MS, S = 1_000_000, 1_000_000_000
RUN_NS = 30 * S
FIT = SaturationEvidence(1_200_000, 20 * MS, 0)


@pytest.mark.parametrize(
    ("evidence", "ok", "detail"),
    [
        (FIT, True, "p99 1.2 ms late, at most 20.0 ms; never throttled"),
        (SaturationEvidence(MAX_LAG_NS, 3 * S, None), True, "p99 250.0 ms late, at most 3.0 s"),
        (SaturationEvidence(None, 20 * MS, None), True, "at most 20.0 ms late"),
        (SaturationEvidence(None, 3 * S, 0), None, "at most 3.0 s late; never throttled"),
        (SaturationEvidence(MS, MS, 1500 * MS), True, "p99 1.0 ms late, at most 1.0 ms; throttled for 1.5 s"),
        (SaturationEvidence(), None, "not measured"),
    ],
)
def test_a_process_within_the_limits_is_fit(evidence: SaturationEvidence, ok: bool | None, detail: str) -> None:
    """A process within the limits is fit; if too little was measured the answer is unknown."""
    assert CheckAnswer(ok, detail) == judge_saturation([("client-1", evidence)], RUN_NS)


def test_a_process_that_may_have_been_late_hides_behind_no_other() -> None:
    """A late process that was measured too briefly leaves the check open, also beside one that was on time."""
    brief = SaturationEvidence(None, 3 * S, 0)

    assert [None, None] == [
        judge_saturation(both, RUN_NS).ok for both in ([("a", FIT), ("b", brief)], [("b", brief), ("a", FIT)])
    ]
    assert judge_saturation(
        [("a", FIT), ("b", SaturationEvidence(None, 20 * MS, 0)), ("c", SaturationEvidence())], RUN_NS
    ).ok


def test_a_late_loop_is_named() -> None:
    """The reasons name each process whose event loop was late, and by how much, worst first."""
    found = judge_saturation(
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
    """The reason names a process that its CPU limit stopped for more than a twentieth of the run."""
    found = judge_saturation(
        [("the server", SaturationEvidence(MS, MS, 2100 * MS)), ("client-1", SaturationEvidence(MS, MS, 1500 * MS))],
        RUN_NS,
    )

    assert (False, ("the server was throttled for 2.1 s of 30.0 s by its CPU limit",)) == (found.ok, found.reasons)


def test_no_process_is_stopped_for_longer_than_the_run() -> None:
    """The throttled time is at most the duration of the run, although the kernel adds up processors."""
    found = judge_saturation([("client-2", SaturationEvidence(MS, MS, 48 * S))], RUN_NS)

    assert ("client-2 was throttled for 30.0 s of 30.0 s by its CPU limit",) == found.reasons
    assert "p99 1.0 ms late, at most 1.0 ms; throttled for 30.0 s" == found.detail


def test_many_processes_are_counted() -> None:
    """Five of a thousand clients are named, the others are counted."""
    found = judge_saturation(
        [(f"client-{number}", SaturationEvidence(S + number, S, None)) for number in range(1000)], RUN_NS
    )

    assert 6 == len(found.reasons)
    assert "995 more were not fit either" == found.reasons[-1]


def test_without_a_run_nothing_is_a_share_of_it() -> None:
    """If nothing was received the duration of the run is unknown, so no throttled time is too long."""
    assert judge_saturation([("the server", SaturationEvidence(MS, MS, 60 * S))], None).ok
