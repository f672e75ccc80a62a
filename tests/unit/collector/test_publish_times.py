"""Tests of services/collector/publish_times.py."""

from hypothesis import given
from hypothesis import strategies as st

from services.collector.publish_times import (
    EARLY_SECONDS,
    IDLE_RECHECK_SHARE,
    LATE_SECONDS,
    PUBLISH_SECONDS,
    PUBLISH_SHARE,
    RECHECK_SECONDS,
    RECHECK_SHARE,
    PublishTimes,
)

SECONDS = st.floats(0, 100)


@given(SECONDS, SECONDS)
def test_a_summary_takes_its_share_of_a_processor(now: float, used: float) -> None:
    """The next one is due after ten times the processor time of the last, and a fifth of a second at least."""
    due = PublishTimes(now)
    assert due.must_publish(now)
    due.published(now, used)
    due.news(now)
    pause = max(PUBLISH_SECONDS - EARLY_SECONDS, PUBLISH_SHARE * used)

    assert not due.must_publish(now + pause - 0.001)
    assert due.must_publish(now + pause + 0.001)


def test_without_news_no_summary_is_due() -> None:
    """What is published already is not published again."""
    due = PublishTimes(0.0)
    due.published(1.0, 0.01)

    assert not due.must_publish(100.0)
    assert not due.is_late(100.0)


def test_news_that_wait_while_they_are_due_are_late() -> None:
    """Waiting for the share of a processor is not being late; waiting longer than half a second after it is."""
    due = PublishTimes(0.0)
    due.published(0.0, 0.2)
    due.news(0.1)
    due.news(1.9)

    assert not due.is_late(PUBLISH_SHARE * 0.2 - 0.01)
    assert due.is_late(PUBLISH_SHARE * 0.2 + 0.01)

    due.published(3.0, 0.0)
    due.news(4.0)

    assert not due.is_late(4.0 + LATE_SECONDS)
    assert due.is_late(4.01 + LATE_SECONDS)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5), st.booleans())
def test_comparing_takes_its_share_of_a_processor(slices: list[float], idle: bool) -> None:
    """All slices of a comparison count; the next begins after two seconds at least, and is rarer when idle."""
    due = PublishTimes(0.0)
    for used in slices[:-1]:
        due.rechecked(0.0, used, done=False, idle=idle)
        assert due.must_recheck(0.0)
    due.rechecked(0.0, slices[-1], done=True, idle=idle)
    pause = max(RECHECK_SECONDS, (IDLE_RECHECK_SHARE if idle else RECHECK_SHARE) * sum(slices))

    assert not due.must_recheck(pause * 0.999)
    assert due.must_recheck(pause * 1.001)
