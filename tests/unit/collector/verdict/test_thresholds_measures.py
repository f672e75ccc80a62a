"""Tests of services/collector/verdict/thresholds.py."""

import pytest

from services.collector.results.client_result_external import accounts
from services.collector.verdict.threshold_parser import METRICS
from services.collector.verdict.thresholds import COUNTS, DURATIONS, LONGEST, OF_THE_RUN, of_client, of_run
from services.contract.histogram import Histogram
from tests.builders.external_runs import books, heard, log
from tests.builders.runs import fold, good_run, judged

EVERY = accounts(fold(good_run()), final=True)
MADE = judged(good_run())


def test_a_run_is_measured_by_its_totals() -> None:
    """The figures are those of the summary, and every metric is a duration or a figure."""
    durations = {name: Histogram() for name in DURATIONS}
    found = of_run(EVERY, MADE.totals, durations)

    assert {name: getattr(MADE.totals, name) for name in COUNTS} == {name: found.figures[name] for name in COUNTS}
    assert (2, MADE.totals.messages_per_second) == (found.figures["clients"], found.figures["rate"])
    assert MADE.silence is not None
    assert MADE.silence.duration_ns == found.figures["silence"]
    assert set(METRICS) == set(found.durations) | set(found.figures)


def test_a_client_is_measured_as_its_summary_says() -> None:
    """Each client has all metrics but those that lie between clients, with the values of its summary."""
    found = of_client(EVERY[0], scheduled=True)
    (made, _) = MADE.clients

    assert set(METRICS) - set(OF_THE_RUN) == set(found.durations) | set(found.figures)
    assert {name: getattr(made, name) for name in COUNTS} == {name: found.figures[name] for name in COUNTS}
    assert made.latency_ns.p99 == found.durations["latency"].percentile(99)
    assert {"silence": made.silence_ns} == {name: found.figures[name] for name in LONGEST}


def test_a_clients_rate_is_over_its_own_time() -> None:
    """60 messages, a millisecond apart, from the first to the last."""
    assert 60 / 0.059 == pytest.approx(of_client(EVERY[0], scheduled=True).figures["rate"])


def test_without_a_schedule_a_client_is_not_late() -> None:
    """At RATE=0 there is no latency to be held to."""
    assert "latency" not in of_client(EVERY[0], scheduled=False).durations


def test_what_nobody_knows_is_not_measured() -> None:
    """Of a feed that is not ours a residual is no figure; without numbers nor is what is missing or came twice."""
    for seqs, unknown in (
        ([1, 2], {"corrupt", "residual"}),
        ([None], {"corrupt", "residual", "missing", "duplicates", "reordered"}),
    ):
        every = accounts(books(log("client-1", heard(seqs))), final=True)
        for found in (of_run(every, MADE.totals, {}), of_client(every[0], scheduled=True)):
            assert unknown == {name for name in COUNTS if found.figures[name] is None}
