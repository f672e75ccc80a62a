"""What the faults on the wire share: the seed, which every failure prints."""

from __future__ import annotations

import os

import pytest

SEED = 20261122


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The seed of a test's faults: ``FAULT_SEED`` of the environment, or one that is the same every time."""
    chosen = int(os.environ.get("FAULT_SEED", SEED))
    print(f"seed {chosen}; again: FAULT_SEED={chosen} python -m pytest '{request.node.nodeid}'")
    return chosen
