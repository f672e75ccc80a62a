"""Plans when each client is cut, from seed and client number alone, so that every run has the same cuts. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator

from benchmarks.scale.sizes import Profile

_QUIET_SECONDS = 5.0
"""Time before the first cut of any client, and variation of the time between two cuts."""


def cuts(profile: Profile, seed: int, number: int) -> Iterator[float]:
    """Yield the seconds from each subscription of a client to its next cut; the first is spread over a whole period."""
    rng = random.Random(f"{seed}/{number}")
    quiet = min(_QUIET_SECONDS, profile.every / 2)
    yield quiet + rng.random() * profile.every
    while True:
        yield profile.every + rng.random() * quiet
