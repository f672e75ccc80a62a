"""Plans when each client is cut, from seed and client number alone, so that every server has the same cuts. Pure."""

from __future__ import annotations

import random

from benchmarks.scale.sizes import Profile

_JITTER = 0.2
"""The time between two cuts varies by this fraction of ``every``."""

_FIRST_MESSAGES = 2
"""Messages before the first cut: a client that has received none has nothing to resume from."""


def cuts(profile: Profile, seed: int, number: int) -> list[float]:
    """Return the seconds from the start of publishing to each cut of a client, up to the last message.

    Raises:
        ValueError: a client could be cut while it is still away.
    """
    if profile.every * (1 - _JITTER) <= profile.away:
        raise ValueError(f"cut every {profile.every:g} s, a client that is away for {profile.away:g} s never returns")
    rng = random.Random(f"{seed}/{number}")
    times = []
    # The first cut is spread over a whole period, so that the clients are not all away at the same time.
    time_s = _FIRST_MESSAGES / profile.rate + rng.random() * profile.every
    while time_s < profile.records / profile.rate:
        times.append(time_s)
        time_s += profile.every * rng.uniform(1 - _JITTER, 1 + _JITTER)
    return times
