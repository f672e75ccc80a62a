"""A client's worst latency over time as a short line of block characters. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from services.contract.timeline import ClientLane

MAX_CHARACTERS = 16
LEVELS = "▁▂▃▄▅▆▇█"
SILENCE = " "


def coarsen(worst: Sequence[int | None], most: int = MAX_CHARACTERS) -> list[int | None]:
    """Return at most ``most`` values, each the maximum of neighbouring ones, null where all of these are null."""
    count = min(most, len(worst))
    bounds = [index * len(worst) // count for index in range(count + 1)] if count else [0]
    # The maximum and not the mean: one late message must stay visible.
    groups = (worst[low:high] for low, high in pairwise(bounds))
    return [max((value for value in group if value is not None), default=None) for group in groups]


def highest_value(lanes: Iterable[ClientLane]) -> int:
    """Return the maximum over all clients, 0 without any value: a common scale makes the lines comparable."""
    return max((value for lane in lanes for value in lane.worst if value is not None), default=0)


def sparkline(worst: Sequence[int | None], highest: int) -> str:
    """Return at most `MAX_CHARACTERS` characters, ``▁`` to ``█`` from 0 to ``highest``; a blank is silence."""
    return "".join(SILENCE if value is None else _level(value, highest) for value in coarsen(worst))


def _level(value: int, highest: int) -> str:
    # Rounded up: only the maximum gets the full block, and a received message never looks like silence.
    steps = -(-value * len(LEVELS) // highest) if highest > 0 else 1
    return LEVELS[max(1, min(steps, len(LEVELS))) - 1]
