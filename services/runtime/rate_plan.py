"""Grammar of ``RATE``: one number, or a plan of stages such as ``200:20s,5000:5s,pause:10s,200``."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from services.contract.scalars import LEAST_RATE

HIGHEST = 1_000_000
"""Records per second."""

_UNITS = {"ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000}
_AMOUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
_DURATION = re.compile(rf"(?:{_AMOUNT.pattern})+")
_PAUSE = "pause"


class Stage(NamedTuple):
    """A constant rate in records per second (None: a pause) for ``us`` microseconds (None: to the end of the run)."""

    rate: float | None
    us: int | None


class Plan(NamedTuple):
    """The stages of a run: at least one; the first and the last are not pauses."""

    stages: tuple[Stage, ...]

    @property
    def rate(self) -> float:
        """The rate of the first stage; 0 means as fast as the clients receive."""
        return self.stages[0].rate or 0

    @property
    def text(self) -> str | None:
        """The plan in normalised form; None for a constant rate."""
        if len(self.stages) == 1:
            return None
        # The last stage lasts to the end of the run, so its duration is left out.
        return ",".join([*map(_stage_text, self.stages[:-1]), f"{self.stages[-1].rate}"])


def steady(rate: float) -> Plan:
    """Return the plan of a constant rate."""
    return Plan((Stage(rate, None),))


def read_plan(text: str) -> Plan:
    """Parse the value of ``RATE``.

    Raises:
        ValueError: with the expected form and the position of the mistake, in characters counted from 1.
    """
    if "," not in text and ":" not in text:
        rate = _number(text)
        if rate is None:
            raise ValueError(f"a number from 0 to {HIGHEST}, or stages such as 200:20s,5000:5s,200")
        return steady(rate)
    stages, at, parts = [], 1, text.split(",")
    for number, part in enumerate(parts, 1):
        stages.append(_stage(part, at, begins=number == 1, ends=number == len(parts)))
        at += len(part) + 1
    return Plan(tuple(stages))


def _stage(part: str, at: int, *, begins: bool, ends: bool) -> Stage:
    name, colon, duration = part.partition(":")
    rate = _rate(name, at)
    if rate is None and (begins or ends):
        raise ValueError(f"a rate {'before' if begins else 'after'} the pause at character {at}")
    if not colon and not ends:
        raise ValueError(
            f"a duration at character {at + len(part)}, as in {name.strip()}:20s; only the last may lack it"
        )
    return Stage(rate, _duration_us(duration, at + len(name) + 1) if colon else None)


def _rate(name: str, at: int) -> float | None:
    if name.strip() == _PAUSE:
        return None
    rate = _number(name)
    if rate is None:
        raise ValueError(f"a number up to {HIGHEST}, or {_PAUSE}, at character {at}, not {name!r}")
    if not rate:
        raise ValueError(
            f"a number above 0 at character {at}: at rate 0 there is no schedule, so the stage would have no end"
        )
    return rate


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    # Excludes NaN too, for which every comparison is false.
    if not 0 <= value <= HIGHEST:
        return None
    if 0 < value < LEAST_RATE:
        raise ValueError(f"a rate of 0, or of at least {LEAST_RATE:.6f} records per second")
    return int(value) if value.is_integer() else value


def _duration_us(text: str, at: int) -> int:
    if not _DURATION.fullmatch(text.strip()):
        raise ValueError(f"a duration such as 20s, 500ms or 1m30s at character {at}, not {text!r}")
    us = sum(float(amount) * _UNITS[unit] for amount, unit in _AMOUNT.findall(text))
    # Before it is rounded, since it may be infinite.
    if not 1_000 <= us <= 366 * 24 * _UNITS["h"]:
        raise ValueError(f"a duration from 1ms to a year at character {at}, not {text!r}")
    return round(us)


def _stage_text(stage: Stage) -> str:
    rate = _PAUSE if stage.rate is None else str(stage.rate)
    return rate if stage.us is None else f"{rate}:{stage.us / 1_000_000:.12g}s"
