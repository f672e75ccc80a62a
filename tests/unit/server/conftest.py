"""The clock of these tests."""

from __future__ import annotations

import pytest

from tests.unit.server.fakes import StoppedClock


@pytest.fixture
def clock() -> StoppedClock:
    """Return a clock at the start."""
    return StoppedClock()
