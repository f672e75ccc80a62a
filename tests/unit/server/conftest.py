"""Fixtures of the server's tests, and their Hypothesis profile."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from tests.unit.server.fakes import StoppedClock

# No deadlines: on a machine that is busy with containers a slow example is not a failure.
settings.register_profile("services", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("services")


@pytest.fixture
def clock() -> StoppedClock:
    """Return a clock that stands at `START_US`."""
    return StoppedClock()
