"""Tests of services/collector/reconcile/thresholds.py."""

import pytest

from services.collector.reconcile.thresholds import MalformedThreshold, measured_text, parse
from services.contract.summary import Quantiles, Threshold, Totals

DURATIONS = {name: Quantiles(min=1, p50=2, p90=3, p99=4_000_000, p99_9=5, max=6) for name in ("latency", "transit")}
TOTALS = Totals(missing=3, messages_per_second=100.5)


def test_nothing_is_no_threshold() -> None:
    """An empty text has no thresholds."""
    assert () == parse("  ")


@pytest.mark.parametrize(
    ("text", "expression", "bound", "ok"),
    [
        ("latency.p99<50ms", "latency.p99<50ms", 50_000_000, True),
        (" latency . p99 <= 4 ms ", "latency.p99<=4ms", 4_000_000, True),
        ("transit.p99.9==5ns", "transit.p99.9==5ns", 5, True),
        ("latency.p99>=1.5s", "latency.p99>=1.5s", 1_500_000_000, False),
        ("missing==0", "missing==0", 0, False),
        ("missing!=0", "missing!=0", 0, True),
        ("rate>100", "rate>100", 100, True),
    ],
)
def test_a_threshold_is_read_and_judged(text: str, expression: str, bound: float, ok: bool) -> None:
    """Each kind of threshold compares what was measured with its bound."""
    (limit,) = parse(text)

    assert (expression, bound) == (limit.expression, limit.bound)
    assert ok is limit.judge(TOTALS, DURATIONS, final=True).ok


def test_several_are_separated_by_commas() -> None:
    """A list keeps its order."""
    assert ["missing==0", "latency.p50<1ms"] == [limit.expression for limit in parse("missing==0, latency.p50<1ms")]


@pytest.mark.parametrize(
    ("text", "at", "expected"),
    [
        ("latncy.p99<1ms", 1, "one of latency"),
        ("latency<1ms", 8, "'.' and one of min"),
        ("latency.p98<1ms", 9, "one of min"),
        ("latency.p99~1ms", 12, "one of <"),
        ("latency.p99<fast", 13, "a number"),
        ("latency.p99<1", 14, "a unit"),
        ("latency.p99<1h", 14, "a unit"),
        ("missing==0ms", 11, "a comma"),
        ("missing==0,", 12, "a threshold after the comma"),
    ],
)
def test_a_mistake_is_pointed_at(text: str, at: int, expected: str) -> None:
    """The message names the character, what was expected there and what stands there."""
    with pytest.raises(MalformedThreshold, match=f"at character {at}: expected ") as caught:
        parse(text)

    assert at == caught.value.at
    assert expected in str(caught.value)


def test_an_open_run_is_measured_and_not_judged() -> None:
    """While a run is open its thresholds have a value and no answer."""
    (limit,) = parse("missing==0")

    assert Threshold(expression="missing==0", ok=None, measured=3) == limit.judge(TOTALS, DURATIONS, final=False)


def test_what_was_not_measured_does_not_hold() -> None:
    """A threshold on something that does not apply fails rather than passes unseen."""
    (limit,) = parse("latency.p99<1s")
    judged = limit.judge(TOTALS, {"latency": Quantiles()}, final=True)

    assert (False, None) == (judged.ok, judged.measured)
    assert "not measured" == measured_text(judged)


@pytest.mark.parametrize(
    ("expression", "measured", "text"),
    [("latency.p99<1s", 1_900_000, "1.9 ms"), ("missing==0", 1412, "1,412"), ("rate>1", 99.5, "99.5 msg/s")],
)
def test_what_was_measured_has_its_unit(expression: str, measured: float, text: str) -> None:
    """Durations, counts and rates are told apart."""
    assert text == measured_text(Threshold(expression=expression, ok=True, measured=measured))
