"""What a client's lane says at a glance, in sixteen characters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from services.contract.timeline import Lane

MOST_CHARACTERS = 16
LEVELS = "▁▂▃▄▅▆▇█"
SILENCE = " "


def coarse(worst: Sequence[int | None], most: int = MOST_CHARACTERS) -> list[int | None]:
    """Return at most so many values, each the greatest of as many neighbours, null where all of them are."""
    parts = min(most, len(worst))
    bounds = [at * len(worst) // parts for at in range(parts + 1)] if parts else [0]
    pieces = (worst[low:high] for low, high in pairwise(bounds))
    return [max((value for value in piece if value is not None), default=None) for piece in pieces]


def top(lanes: Iterable[Lane]) -> int:
    """Return what the highest character stands for: the worst of all clients, so that they can be compared."""
    return max((value for lane in lanes for value in lane.worst if value is not None), default=0)


def sparkline(worst: Sequence[int | None], highest: int) -> str:
    """Return a lane as at most `MOST_CHARACTERS` characters, ``▁`` to ``█`` from 0 to ``highest``; blank: silence."""
    return "".join(SILENCE if value is None else _level(value, highest) for value in coarse(worst))


def _level(value: int, highest: int) -> str:
    # Rounded up: only the worst of all is as high as can be, and nothing that was received looks like silence.
    steps = -(-value * len(LEVELS) // highest) if highest > 0 else 1
    return LEVELS[max(1, min(steps, len(LEVELS))) - 1]
