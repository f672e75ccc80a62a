"""Tests of the times at which a run is published and compared again."""

from hypothesis import given
from hypothesis import strategies as st

from services.collector.cpu_yield import POLICY
from services.collector.poller import PublishTimes

SECONDS = st.floats(0, 100)


@given(SECONDS, SECONDS)
def test_summaries_get_their_share_of_a_processor(now: float, used: float) -> None:
    """The next summary is due after ten times the processor time of the last one, but not before 0.2 s."""
    times = PublishTimes(now)
    assert times.must_publish(now)
    times.note_published(now, used)
    times.note_change(now)
    pause = max(POLICY.summaries.least_seconds, 10 * used)

    assert not times.must_publish(now + pause - 0.001)
    assert times.must_publish(now + pause + 0.001)


def test_without_a_change_no_summary_is_due() -> None:
    """A state that is published already is not published again."""
    times = PublishTimes(0.0)
    times.note_published(1.0, 0.01)

    assert not times.must_publish(100.0)
    assert not times.is_late(100.0)


def test_a_change_that_waits_although_its_summary_is_due_is_late() -> None:
    """A change is not late while its summary waits for its share of a processor, but 0.5 s after it is due."""
    times = PublishTimes(0.0)
    times.note_published(0.0, 0.2)
    times.note_change(0.1)
    times.note_change(1.9)

    assert not times.is_late(10 * 0.2 - 0.01)
    assert times.is_late(10 * 0.2 + 0.01)

    times.note_published(3.0, 0.0)
    times.note_change(4.0)

    assert not times.is_late(4.0 + POLICY.late_seconds)
    assert times.is_late(4.01 + POLICY.late_seconds)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5), st.booleans())
def test_rechecks_get_their_share_of_a_processor(slices: list[float], is_idle: bool) -> None:
    """All slices of a recheck count; the next one starts after two seconds at least, and later for an idle run."""
    times = PublishTimes(0.0)
    for used in slices[:-1]:
        times.note_recheck(0.0, used, is_done=False, is_idle=is_idle)
        assert times.must_recheck(0.0)
    times.note_recheck(0.0, slices[-1], is_done=True, is_idle=is_idle)
    pause = max(2.0, (100 if is_idle else 10) * sum(slices))

    assert not times.must_recheck(pause * 0.999)
    assert times.must_recheck(pause * 1.001)
