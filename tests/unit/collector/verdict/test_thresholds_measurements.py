"""Tests of the measurements that thresholds refer to."""

import pytest

from services.collector.results.build import build_result
from services.collector.results.totals import totals
from services.collector.verdict.threshold_parser import METRICS
from services.collector.verdict.thresholds import COUNTS, LONGEST, OF_THE_RUN, measure_client, measure_run
from tests.builders.external_runs import evidence_of, log, numbered_messages
from tests.builders.runs import fold, good_ledger, good_run, good_sessions, judged, ledger_source

RESULT = build_result(fold(good_run()), final=True)
MADE = judged(good_run())


def test_a_run_is_measured_by_its_totals() -> None:
    """The figures of a run are those of its summary, and every metric is a duration or a figure."""
    found = measure_run(RESULT, MADE.totals)

    assert {name: getattr(MADE.totals, name) for name in COUNTS} == {name: found.figures[name] for name in COUNTS}
    assert (2, MADE.totals.messages_per_second) == (found.figures["clients"], found.figures["rate"])
    assert MADE.silence is not None
    assert MADE.silence.duration_ns == found.figures["silence"]
    assert set(METRICS) == set(found.durations) | set(found.figures)


def test_a_client_is_measured_as_its_summary_says() -> None:
    """Each client has all metrics except those of the run, with the values of its summary."""
    found = measure_client(RESULT.clients[0])
    (made, _) = MADE.clients

    assert set(METRICS) - set(OF_THE_RUN) == set(found.durations) | set(found.figures)
    assert {name: getattr(made, name) for name in COUNTS} == {name: found.figures[name] for name in COUNTS}
    assert made.latency_ns.p99 == found.durations["latency"].percentile(99)
    assert {"silence": made.silence_ns} == {name: found.figures[name] for name in LONGEST}


def test_a_clients_rate_is_over_its_own_time() -> None:
    """The rate of a client is over the time from its first message to its last."""
    assert 60 / 0.059 == pytest.approx(measure_client(RESULT.clients[0]).figures["rate"])


def test_without_a_schedule_no_client_has_a_latency() -> None:
    """At rate 0 no client has a latency."""
    files = {**good_run(), ledger_source(): good_ledger(good_sessions(), rate=0).lines}
    (client, _) = build_result(fold(files), final=True).clients
    found = measure_client(client)

    assert (0, None, 60) == (
        found.durations["latency"].count, found.durations["latency"].percentile(99), found.durations["transit"].count
    )  # fmt: skip


def test_what_nobody_knows_is_not_measured() -> None:
    """An external feed has no residual, and without numbers no missing records and no duplicates."""
    for seqs, unknown in (
        ([1, 2], {"corrupt", "residual"}),
        ([None], {"corrupt", "residual", "missing", "duplicates", "reordered"}),
    ):
        result = build_result(evidence_of(log("client-1", numbered_messages(seqs))), final=True)
        for found in (measure_run(result, totals(result.clients)), measure_client(result.clients[0])):
            assert unknown == {name for name in COUNTS if found.figures[name] is None}
