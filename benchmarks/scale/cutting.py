"""When each client is cut: a function of the seed and the client's number alone, so every run is cut alike. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator

from benchmarks.scale.sizes import Profile

_QUIET_SECONDS = 5.0
"""Nobody is cut before, and the time between two cuts varies by as much."""


def cuts(profile: Profile, seed: int, number: int) -> Iterator[float]:
    """Yield the seconds from a client's subscription to its next cut: the first one staggered over a whole period."""
    dice = random.Random(f"{seed}/{number}")
    quiet = min(_QUIET_SECONDS, profile.every / 2)
    yield quiet + dice.random() * profile.every
    while True:
        yield profile.every + dice.random() * quiet
