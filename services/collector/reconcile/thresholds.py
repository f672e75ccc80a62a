"""Limits the operator sets, in k6's style: ``latency.p99<50ms, missing==0``.

A duration needs a statistic and a unit, a count has neither, ``rate`` is in messages per second.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass

from services.collector import words
from services.contract.summary import Quantiles, Threshold, Totals

DURATIONS = ("latency", "transit", "block", "spread")
COUNTS = ("missing", "duplicates", "reordered", "corrupt", "residual", "received")
RATE = "rate"
STATISTICS = {"min": "min", "p50": "p50", "p90": "p90", "p99": "p99", "p99.9": "p99_9", "max": "max"}
UNITS = {"ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}

_NAME = re.compile(r"[a-z_]+")
_STATISTIC = re.compile(r"[a-z0-9]+(?:\.[0-9]+)?")
_OPERATOR = re.compile(r"<=|>=|==|!=|<|>")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_UNIT = re.compile(r"[a-zµ]+")
_SPACE = re.compile(r"\s*")


class MalformedThreshold(ValueError):
    """A threshold that cannot be understood; ``at`` is the character, counted from 1."""

    def __init__(self, text: str, position: int, expected: str) -> None:
        rest = text[position : position + 12].split(",", maxsplit=1)[0].strip() or "nothing"
        super().__init__(f"{text.strip()!r}: at character {position + 1}: expected {expected}, found {rest!r}")
        self.at = position + 1


@dataclass(frozen=True)
class Limit:
    """One threshold: ``bound`` is in nanoseconds for a duration."""

    expression: str
    metric: str
    statistic: str | None
    relation: str
    bound: float

    def measured(self, totals: Totals, durations: dict[str, Quantiles]) -> float | int | None:
        """Return what the run measured, None when that does not apply."""
        value: float | int | None
        if self.statistic is not None:
            value = getattr(durations[self.metric], STATISTICS[self.statistic])
        elif self.metric == RATE:
            value = totals.messages_per_second
        else:
            value = getattr(totals, self.metric)
        return value

    def judge(self, totals: Totals, durations: dict[str, Quantiles], *, final: bool) -> Threshold:
        """Compare with what was measured. What could not be measured does not hold; an open run is not judged."""
        value = self.measured(totals, durations)
        holds = value is not None and OPERATORS[self.relation](value, self.bound)
        return Threshold(expression=self.expression, ok=holds if final else None, measured=value)


def measured_text(threshold: Threshold) -> str:
    """Return what was measured, with its unit."""
    if threshold.measured is None:
        return "not measured"
    if threshold.expression.startswith(DURATIONS):
        return words.duration(threshold.measured)
    unit = " msg/s" if threshold.expression.startswith(RATE) else ""
    return words.number(threshold.measured) + unit


class _Cursor:
    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    def take(self, pattern: re.Pattern[str], expected: str, among: object = None) -> str:
        self.skip()
        found = pattern.match(self.text, self.position)
        if found is None or (isinstance(among, (dict, tuple)) and found[0] not in among):
            raise MalformedThreshold(self.text, self.position, expected)
        self.position = found.end()
        return found[0]

    def skip(self) -> None:
        found = _SPACE.match(self.text, self.position)
        self.position = found.end() if found else self.position

    def next(self) -> str:
        self.skip()
        return self.text[self.position : self.position + 1]


def parse(text: str) -> tuple[Limit, ...]:
    """Read a list of thresholds, empty for an empty text.

    Raises:
        MalformedThreshold: naming the first character that is wrong.
    """
    cursor, limits = _Cursor(text), []
    while cursor.next():
        limits.append(_limit(cursor))
        if cursor.next() == ",":
            cursor.position += 1
            if not cursor.next():
                raise MalformedThreshold(text, cursor.position, "a threshold after the comma")
        elif cursor.next():
            raise MalformedThreshold(text, cursor.position, "a comma")
    return tuple(limits)


def _limit(cursor: _Cursor) -> Limit:
    start = cursor.position
    known = (*DURATIONS, *COUNTS, RATE)
    metric = cursor.take(_NAME, f"one of {', '.join(known)}", known)
    statistic = None
    if metric in DURATIONS:
        statistics = ", ".join(STATISTICS)
        if cursor.next() != ".":
            raise MalformedThreshold(cursor.text, cursor.position, f"'.' and one of {statistics}")
        cursor.position += 1
        statistic = cursor.take(_STATISTIC, f"one of {statistics}", STATISTICS)
    relation = cursor.take(_OPERATOR, f"one of {' '.join(OPERATORS)}")
    bound = float(cursor.take(_NUMBER, "a number"))
    if statistic is not None:
        bound *= UNITS[cursor.take(_UNIT, "a unit: ns, us, ms or s", UNITS)]
    expression = "".join(cursor.text[start : cursor.position].split())
    return Limit(expression, metric, statistic, relation, int(bound) if bound.is_integer() else bound)
