"""Tests of services/collector/verdict/thresholds.py."""

import pytest

from services.collector.evidence.sparse_histogram import SparseHistogram
from services.collector.verdict.threshold_parser import parse
from services.collector.verdict.thresholds import Measurements, judge
from services.contract.histogram import Histogram
from services.contract.summary import Threshold


def measures(latencies_ms: list[int], **figures: float) -> Measurements:
    """Return measurements with these latencies and figures."""
    histogram = Histogram()
    histogram.record([value * 1_000_000 for value in latencies_ms])
    return Measurements({"latency": SparseHistogram.of(histogram)}, figures)


RUN = measures([*range(1, 101)], missing=3, rate=1412.5, clients=2)
CLIENTS = {
    "client-1": measures([1, 2, 3], missing=0, rate=700.0),
    "client-2": measures([60, 61, 62], missing=3, rate=600.0),
    "client-3": measures([], missing=0),
}


def judged(text: str, *, final: bool = True) -> Threshold:
    """Return the evaluation of one threshold."""
    (answer,) = judge(parse(text), RUN, CLIENTS, final=final)
    return answer


@pytest.mark.parametrize(
    ("text", "ok"),
    [
        ("missing<3", False), ("missing<=3", True), ("missing>3", False), ("missing>=3", True),
        ("missing==3", True), ("missing!=3", False),
    ],
)  # fmt: skip
def test_every_relation_is_judged(text: str, ok: bool) -> None:
    """The measured value is on the left of the relation."""
    assert ok is judged(text).ok


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("latency.p99<1s", "measured 98.8 ms"),
        ("latency.p(12.5)<1s", "measured 13.0 ms"),
        ("latency.med<1s", "measured 49.9 ms"),
        ("latency.min<1s", "measured 1.0 ms"),
        ("latency.avg<1s", "measured 50.5 ms"),
        ("latency.max<1s", "measured 100.0 ms"),
        ("missing<9", "measured 3"),
        ("rate>1", "measured 1,412 msg/s"),
        ("clients==2", "measured 2"),
        ("latency{client:client-2}.max<1s", "measured 62.0 ms"),
        ("missing{client:client-1}==0", "measured 0"),
    ],
)
def test_what_was_measured_is_stated_with_its_unit(text: str, detail: str) -> None:
    """The measured value has its unit: durations, counts and rates have different ones."""
    answer = judged(text)

    assert (True, detail) == (answer.ok, answer.detail)


@pytest.mark.parametrize(
    ("text", "ok", "client", "detail"),
    [
        ("missing{client:*}==0", False, "client-2", "measured 3 by client-2"),
        ("missing{client:*}<=3", True, "client-2", "measured 3 by client-2"),
        ("missing{client:*}>=0", True, "client-1", "measured 0 by client-1"),
        ("missing{client:*}!=3", False, "client-2", "measured 3 by client-2"),
        ("latency{client:*}.p99<1s", False, "client-3", "not measured in this run by client-3"),
        ("rate{client:*}>100", False, "client-3", "not measured in this run by client-3"),
    ],
)
def test_each_client_must_hold(text: str, ok: bool, client: str, detail: str) -> None:
    """The worst client decides and is named; a client that measured nothing is the worst."""
    answer = judged(text)

    assert (ok, client, detail) == (answer.ok, answer.client, answer.detail)


@pytest.mark.parametrize(
    ("text", "client", "detail"),
    [
        ("transit.p99<1s", None, "not measured in this run"),
        ("latency{client:client-3}.p99<1s", "client-3", "not measured by client-3"),
        ("missing{client:client-9}==0", "client-9", "there is no client-9 in this run; did you mean client-3?"),
        ("missing{client:x}==0", "x", "not measured: there is no x in this run"),
    ],
)
def test_what_was_not_measured_does_not_hold(text: str, client: str | None, detail: str) -> None:
    """A threshold on a metric that was not measured, or on an absent client, does not hold."""
    answer = judged(text)

    assert (False, None, client) == (answer.ok, answer.measured, answer.client)
    assert answer.detail.endswith(detail)


def test_without_clients_nobody_holds() -> None:
    """A threshold on each client does not hold if there are none."""
    (answer,) = judge(parse("missing{client:*}==0"), RUN, {}, final=True)

    assert (False, None, "not measured in this run") == (answer.ok, answer.client, answer.detail)


def test_an_open_run_is_measured_and_not_judged() -> None:
    """A threshold of an open run has a value and no answer."""
    assert (None, 3) == (judged("missing==0", final=False).ok, judged("missing==0", final=False).measured)
