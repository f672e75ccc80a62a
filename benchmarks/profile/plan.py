"""When each client is cut: a function of seed and number alone, so that every server meets the same cuts. Pure."""

from __future__ import annotations

import random

from benchmarks.scale.sizes import Profile

_JITTER = 0.2
"""The time from one cut to the next differs from ``every`` by as much of it, at most."""

_SEEN = 2
"""Messages that everybody is left to see first: a client that has seen none has nothing to resume from."""


def cuts(profile: Profile, seed: int, number: int) -> list[float]:
    """Return the seconds from the start of publishing to each cut of a client, up to the last message.

    Raises:
        ValueError: a client could be cut while it is still away.
    """
    if profile.every * (1 - _JITTER) <= profile.away:
        raise ValueError(f"cut every {profile.every:g} s, a client that is away for {profile.away:g} s never returns")
    dice = random.Random(f"{seed}/{number}")
    planned = []
    # The first one is staggered over a whole period, so that not everybody is away at a time.
    at = _SEEN / profile.rate + dice.random() * profile.every
    while at < profile.records / profile.rate:
        planned.append(at)
        at += profile.every * dice.uniform(1 - _JITTER, 1 + _JITTER)
    return planned
