"""The clock of these tests, and how Hypothesis works in them."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from tests.unit.server.fakes import StoppedClock

# A machine that is busy with containers must not fail a property for being slow.
settings.register_profile("services", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("services")


@pytest.fixture
def clock() -> StoppedClock:
    """Return a clock at the start."""
    return StoppedClock()
