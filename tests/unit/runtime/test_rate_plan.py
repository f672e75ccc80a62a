"""Tests of the grammar of ``RATE``."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.rate_plan import HIGHEST, Plan, Stage, read_plan, steady


@pytest.mark.parametrize(("text", "rate"), [("200", 200), ("0", 0), ("0.5", 0.5), ("1e3", 1000), ("1000000", HIGHEST)])
def test_a_number_is_a_pace_that_does_not_change(text: str, rate: float) -> None:
    """One number is the rate of the whole run."""
    plan = read_plan(text)

    assert steady(rate) == plan
    assert (rate, None) == (plan.rate, plan.text)
    assert isinstance(plan.rate, type(rate))


def test_stages() -> None:
    """A plan has stages with durations, of which some may be pauses; the last needs no duration."""
    plan = read_plan("200:20s, 5000:1m30s ,pause:500ms,0.5:1.5h,200")

    assert (
        Stage(200, 20_000_000),
        Stage(5000, 90_000_000),
        Stage(None, 500_000),
        Stage(0.5, 5_400_000_000),
        Stage(200, None),
    ) == plan.stages
    assert 200 == plan.rate


def test_one_stage_is_no_plan() -> None:
    """A single stage is a constant rate."""
    assert (200, None) == (read_plan("200:20s").rate, read_plan("200:20s").text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fast", "a number from 0 to 1000000, or stages such as 200:20s,5000:5s,200"),
        ("-1", "a number from 0"),
        ("nan", "a number from 0"),
        ("200:20s,5000:5x", "a duration such as 20s, 500ms or 1m30s at character 14, not '5x'"),
        ("200:20,300", "a duration such as .* at character 5, not '20'"),
        ("200:,300", "a duration such as .* at character 5, not ''"),
        ("200:0s,300", "a duration from 1ms to a year at character 5, not '0s'"),
        ("200:9999h,300", "a duration from 1ms to a year at character 5"),
        ("200,300:5s", "a duration at character 4, as in 200:20s; only the last may lack it"),
        ("200:5s,quick:5s", "a number up to 1000000, or pause, at character 8, not 'quick'"),
        ("200:5s,,300", "at character 8, not ''"),
        ("200:5s,", "at character 8, not ''"),
        ("200:5s,0:5s", "a number above 0 at character 8: at rate 0 there is no schedule"),
        ("200:5s,2000000:5s", "a number up to 1000000, or pause, at character 8"),
        ("pause:5s,200", "a rate before the pause at character 1"),
        ("200:5s,pause:5s", "a rate after the pause at character 8"),
        ("200:5s,pause,200", "a duration at character 13, as in pause:20s"),
    ],
)
def test_a_mistake_is_placed(text: str, expected: str) -> None:
    """The error about a malformed plan has the expected form and the position of the character."""
    with pytest.raises(ValueError, match=expected):
        read_plan(text)


rates = st.integers(1, HIGHEST) | st.floats(0.01, 10).filter(lambda rate: not rate.is_integer())
stages = st.builds(Stage, rates, st.integers(1, 10**7).map(lambda ms: ms * 1000))


@given(st.lists(stages, min_size=2, max_size=6))
def test_a_plan_is_written_one_way(given_stages: list[Stage]) -> None:
    """The text of a plan is parsed as the same plan, except for the duration of the last stage."""
    plan = Plan(tuple(given_stages))
    again = read_plan(plan.text or "")

    assert (*plan.stages[:-1], Stage(plan.stages[-1].rate, None)) == again.stages
    assert plan.text == again.text
