"""Tests of services/collector/verdict/threshold_parser.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.collector.verdict.threshold_parser import METRICS, MalformedThreshold, nanoseconds, parse
from services.collector.verdict.thresholds import DURATIONS, LONGEST


def test_nothing_is_no_threshold() -> None:
    """An empty text has no thresholds."""
    assert () == parse("  ")


@pytest.mark.parametrize(
    ("text", "expression", "metric", "client", "statistic", "relation", "bound"),
    [
        ("latency.p99<50ms", "latency.p99<50ms", "latency", None, 99.0, "<", 50_000_000),
        (" latency . p(99.9) <= 4 ms ", "latency.p(99.9)<=4ms", "latency", None, 99.9, "<=", 4_000_000),
        ("transit.avg>=1.5s", "transit.avg>=1.5s", "transit", None, "avg", ">=", 1_500_000_000),
        ("block.med<2m", "block.med<2m", "block", None, 50.0, "<", 120_000_000_000),
        ("spread.max<3µs", "spread.max<3µs", "spread", None, "max", "<", 3_000),
        ("missing==0", "missing==0", "missing", None, None, "==", 0),
        ("rate > 0.5", "rate>0.5", "rate", None, None, ">", 0.5),
        ("missing{ client : client-3 } != 1", "missing{client:client-3}!=1", "missing", "client-3", None, "!=", 1),
        ("latency{client:*}.p5<1h", "latency{client:*}.p5<1h", "latency", "*", 5.0, "<", 3_600_000_000_000),
    ],
)
def test_a_threshold_is_read(
    text: str, expression: str, metric: str, client: str, statistic: str, relation: str, bound: float
) -> None:
    """Each part of the grammar is parsed, and bounds of durations become nanoseconds."""
    (limit,) = parse(text)

    assert (expression, metric, client) == (limit.expression, limit.metric, limit.client)
    assert (statistic, relation, bound) == (limit.statistic, limit.relation, limit.bound)


def test_several_are_separated_by_commas() -> None:
    """A list keeps its order, and may be broken into lines."""
    assert ["missing==0", "latency.p50<1ms"] == [limit.expression for limit in parse("missing==0,\n latency.p50<1ms")]


@pytest.mark.parametrize(
    ("text", "at", "expected"),
    [
        ("latncy.p99<1ms", 1, "clients, rate, found 'latncy'; did you mean latency?"),
        ("mising{client:*}==0", 1, "did you mean missing?"),
        ("latency<1ms", 8, "expected '.' and which latency is meant: one of min"),
        ("latency.p101<1ms", 9, "expected a percentile above 0 and at most 100"),
        ("latency.p0<1ms", 9, "expected a percentile above 0 and at most 100"),
        ("latency.p99.9999<1ms", 9, "with at most 3 decimals"),
        ("latency.mean<1ms", 9, "expected one of min, avg, med, max or a percentile"),
        ("latency.mac<1ms", 9, "did you mean max?"),
        ("latency.p99~1ms", 12, "expected one of <"),
        ("missing=0", 8, "found '='; did you mean ==?"),
        ("missing.p99==0", 8, "expected one of <"),
        ("latency.p99<fast", 13, "expected a number, found 'fast'"),
        ("latency.p99<1", 14, "expected a unit: ns, us, ms, s, m or h, found the end"),
        ("latency.p99<1msec", 14, "found 'msec'; did you mean ms?"),
        ("spread{client:a}.p99<1s", 7, "spread is of the run as a whole"),
        ("clients{client:a}>1", 8, "clients is of the run as a whole"),
        ("missing{name:a}==0", 9, "expected client:NAME, found 'name'"),
        ("missing{client=a}==0", 15, "expected ':'"),
        ("missing{client:A}==0", 16, "expected the name of a client, or '*' for each of them, found 'A'"),
        ("missing{client:a==0", 16, "expected the name of a client"),
        ("missing{client:a b}==0", 18, "expected '}', found 'b'"),
        ("missing==0ms", 11, "expected a comma"),
        ("missing==0,", 12, "expected a threshold after the comma"),
    ],
)
def test_a_mistake_is_pointed_at(text: str, at: int, expected: str) -> None:
    """The error has the character and the expected and actual words, and points at it."""
    with pytest.raises(MalformedThreshold) as caught:
        parse(text)
    message, shown, caret = str(caught.value).split("\n")

    assert at == caught.value.at
    assert message.startswith(f"at character {at}: expected ")
    assert expected in message
    assert f"    {text}" == shown
    assert at == caret.index("^") - 3


def test_of_several_lines_the_one_with_the_mistake_is_shown() -> None:
    """In a text of several lines the caret is below the right character."""
    with pytest.raises(MalformedThreshold) as caught:
        parse("missing==0,\n  rate>>1,\n  received>1")

    assert ["      rate>>1,", "          ^"] == str(caught.value).split("\n")[1:]


def test_of_a_long_text_the_part_with_the_mistake_is_shown() -> None:
    """A long line is cut to the columns around the mistake."""
    with pytest.raises(MalformedThreshold) as caught:
        parse("missing==0," * 20 + "oops" + ",missing==0" * 20)
    _, shown, caret = str(caught.value).split("\n")

    assert 84 == len(shown)
    assert shown[caret.index("^") :].startswith("oops,")


@given(
    st.sampled_from(METRICS),
    st.sampled_from(["", "{client:*}", "{client:client-2.1}"]),
    st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
    st.integers(0, 10**9),
)
def test_whatever_can_be_asked_is_read_again(metric: str, client: str, relation: str, bound: int) -> None:
    """An expression is itself a threshold, with the same meaning."""
    of = "" if metric in ("spread", "clients") else client
    statistic, unit = ".p99" if metric in DURATIONS else "", "ns" if metric in (*DURATIONS, *LONGEST) else ""
    (limit,) = parse(f"{metric}{of}{statistic}{relation}{bound}{unit}")

    assert (limit,) == parse(limit.expression)


@given(st.text(alphabet="latencymissg{}:*.p9()<>=!05ms, \n", max_size=30))
def test_no_text_is_too_odd(text: str) -> None:
    """Any text is parsed, or refused with a character that is in it or just after it."""
    try:
        limits = parse(text)
    except MalformedThreshold as problem:
        wrong_at = problem.at
    else:
        wrong_at = 1
        assert "".join(text.split()) == ",".join(limit.expression for limit in limits)

    assert 1 <= wrong_at <= len(text) + 1


@pytest.mark.parametrize(("text", "expected"), [("50ms", 50_000_000), (" 1.5 s ", 1_500_000_000), ("7ns", 7)])
def test_a_duration_is_read_by_itself(text: str, expected: int) -> None:
    """`nanoseconds` parses a duration as it is written in a threshold."""
    assert expected == nanoseconds(text)


@pytest.mark.parametrize("text", ["", "50", "ms", "-1s", "5 parsecs"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """The error has the expected form."""
    with pytest.raises(ValueError, match="expected a duration such as 50ms"):
        nanoseconds(text)
