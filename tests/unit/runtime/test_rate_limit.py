"""Tests of the token bucket."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.runtime.rate_limit import TokenBucket


def test_so_many_at_once_and_then_so_many_per_second() -> None:
    """A full bucket allows its burst, then its rate, and never saves up more than the burst."""
    allowance = TokenBucket(3, 2.0, 10.0)

    assert [True, True, True, False] == [allowance.consume(10.0) for _ in range(4)]
    assert 0.5 == allowance.seconds_until_next(10.0)
    assert [True, False] == [allowance.consume(10.5) for _ in range(2)]
    assert [True, True, True, False] == [allowance.consume(1000.0) for _ in range(4)]


@given(
    times=st.lists(st.floats(0, 100), max_size=200),
    burst=st.integers(1, 20),
    per_second=st.floats(0.01, 100),
)
def test_never_more_than_it_allows(times: list[float], burst: int, per_second: float) -> None:
    """At any times, the accepted events are at most the burst plus the rate times the elapsed time."""
    allowance = TokenBucket(burst, per_second, 0.0)
    taken = sum(allowance.consume(now) for now in times)

    assert taken <= burst + per_second * max(times, default=0) + 1e-6
