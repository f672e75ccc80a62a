"""Tests of the estimate of the clock offset."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.client.clock_sync import _KEPT, Estimate, OffsetEstimator

delays = st.integers(0, 5_000_000)
exchanges = st.lists(st.tuples(delays, delays, delays), min_size=1, max_size=40)


def exchanged(true_us: int, found: list[tuple[int, int, int]], *, same_kernel: bool) -> OffsetEstimator:
    """Return what exchanges over any network give: out, work and back take so many microseconds."""
    offset, t1_us = OffsetEstimator(), 10**15
    offset.begin(same_kernel=same_kernel)
    for out_us, work_us, back_us in found:
        t2_us = t1_us + out_us + true_us
        offset.sample(t1_us, t2_us, t2_us + work_us, t1_us + out_us + work_us + back_us)
        t1_us += 10**6
    return offset


@given(st.integers(-(10**12), 10**12), exchanges)
def test_the_true_offset_is_within_the_error(true_us: int, found: list[tuple[int, int, int]]) -> None:
    """However long the ways took, and however unlike, the true offset is within the error of the estimate."""
    best = exchanged(true_us, found, same_kernel=False).estimate()

    assert abs(best.offset_us - true_us) <= best.error_us


@given(st.integers(-(10**9), 10**9), exchanges)
def test_the_quickest_exchange_counts(true_us: int, found: list[tuple[int, int, int]]) -> None:
    """The error is half of the shortest round trip among the last exchanges, rounded up."""
    shortest_us = min(out_us + back_us for out_us, _, back_us in found[-_KEPT:])

    assert shortest_us // 2 + 1 == exchanged(true_us, found, same_kernel=False).estimate().error_us


@given(exchanges)
def test_one_kernel_has_one_clock(found: list[tuple[int, int, int]]) -> None:
    """Processes on one kernel have no offset and no error, whatever the exchanges seem to say."""
    assert Estimate(0, 0) == exchanged(0, found, same_kernel=True).estimate()


@given(st.integers(10_000, 10**12), st.sampled_from([1, -1]))
def test_a_clock_that_was_set_is_found_out(true_us: int, sign: int) -> None:
    """On one kernel an offset beyond any doubt is taken as it is: somebody set the clock between two starts."""
    best = exchanged(sign * true_us, [(100, 10, 100)], same_kernel=True).estimate()

    assert abs(best.offset_us - sign * true_us) <= best.error_us
    assert 101 == best.error_us


def test_nothing_is_known_at_first() -> None:
    """Before any exchange the error is a second, on one kernel none."""
    offset = OffsetEstimator()
    assert Estimate(0, 1_000_000) == offset.estimate()
    offset.begin(same_kernel=True)
    assert Estimate(0, 0) == offset.estimate()


def test_another_server_begins_afresh() -> None:
    """Samples of one server say nothing about the next."""
    offset = exchanged(500, [(1, 1, 1)], same_kernel=False)
    assert 1 == len(offset)
    offset.begin(same_kernel=False)

    assert (0, Estimate(0, 1_000_000)) == (len(offset), offset.estimate())


@given(st.integers(0, 10**9))
def test_a_step_of_our_own_clock_is_an_error(step_us: int) -> None:
    """By how much this process's clock was set is the least that its stamps may be wrong."""
    assert max(step_us, 2) == exchanged(0, [(1, 0, 1)], same_kernel=False).estimate(step_us).error_us


def test_an_impossible_exchange_is_no_better_than_none_at_all() -> None:
    """A server that claims more time for its answer than the whole exchange took gets no negative error."""
    offset = OffsetEstimator()
    offset.begin(same_kernel=False)
    offset.sample(0, 0, 1000, 10)

    assert 1 == offset.estimate().error_us
