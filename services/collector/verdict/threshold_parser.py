"""Reads thresholds: ``latency.p99<50ms, missing{client:*}==0``. Grammar: ``docs/guides/thresholds.md``."""

from __future__ import annotations

import re
from collections.abc import Iterable

from services.collector.verdict.thresholds import (
    CATCH_UP,
    CLIENTS,
    COUNTS,
    DURATIONS,
    EVERY,
    LONGEST,
    OF_THE_RUN,
    OPERATORS,
    RATE,
    ThresholdLimit,
)
from services.contract.scalars import is_name
from services.runtime.cli import closest

METRICS = (*DURATIONS, *LONGEST, *COUNTS, CATCH_UP, CLIENTS, RATE)
STATISTICS = ("min", "avg", "med", "max")
UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
MEANT = {"=": "==", "=<": "<=", "=>": ">=", "<>": "!="}
DECIMALS = 3
"""Decimals of a percentile that make a difference in a histogram."""
WINDOW = 80
"""Columns of a long text that are shown around a mistake."""

_WORD = re.compile(r"[^\s.,{}()<>=!~:]+")
_NAME = re.compile(r"[^\s{}]+")
_PERCENTILE = re.compile(r"p\(\s*(\d+(?:\.\d+)?)\s*\)|p(\d+(?:\.\d+)?)")
_RELATION = re.compile(r"[<>=!~]+")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_UNIT = re.compile(r"[^\W\d_]+")
_SPACE = re.compile(r"\s*")


class MalformedThreshold(ValueError):
    """A threshold that cannot be understood; ``at`` is the character, counted from 1.

    Its text names the expected word, and a line below points at the character.
    """

    def __init__(self, text: str, position: int, expected: str, near: str | None = None) -> None:
        word = _WORD.match(text, position) or _RELATION.match(text, position)
        found = repr(word[0] if word else text[position]) if position < len(text) else "the end"
        hint = f"; did you mean {near}?" if near else ""
        self.at = position + 1
        super().__init__(
            f"at character {self.at}: expected {expected}, found {found}{hint}\n{_pointed(text, position)}"
        )


def _pointed(text: str, position: int) -> str:
    """Return the line of a text that has the character, and a caret below that."""
    start = text.rfind("\n", 0, position) + 1
    # A tab takes one column here, so that the caret is below its character.
    line, column = text[start:].split("\n", maxsplit=1)[0].rstrip().expandtabs(1), position - start
    cut = max(0, min(column - WINDOW // 2, len(line) - WINDOW))
    shown = line[cut : cut + WINDOW]
    return f"    {shown}\n    {' ' * (column - cut)}^"


def parse(text: str) -> tuple[ThresholdLimit, ...]:
    """Read a list of thresholds, empty for an empty text.

    Raises:
        MalformedThreshold: naming the first character that is wrong.
    """
    cursor, limits = _Cursor(text), []
    while cursor.next():
        limits.append(_limit(cursor))
        if cursor.skip(","):
            if not cursor.next():
                raise cursor.wrong("a threshold after the comma")
        elif cursor.next():
            raise cursor.wrong("a comma")
    return tuple(limits)


def nanoseconds(text: str) -> int:
    """Return a duration, written as in a threshold, in nanoseconds.

    Raises:
        ValueError: it is not a duration.
    """
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([^\W\d_]+)\s*", text)
    if found is None or found[2] not in UNITS:
        raise ValueError(f"expected a duration such as 50ms or 1.5s, found {text!r}")
    return round(float(found[1]) * UNITS[found[2]])


class _Cursor:
    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    def next(self) -> str:
        """Return the next character that is not a space, empty at the end."""
        found = _SPACE.match(self.text, self.position)
        self.position = found.end() if found else self.position
        return self.text[self.position : self.position + 1]

    def skip(self, character: str) -> bool:
        """Pass a character if it is next; return whether it was."""
        is_next = self.next() == character
        self.position += is_next
        return is_next

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Return the match at this character, without passing it."""
        self.next()
        return pattern.match(self.text, self.position)

    def choose(self, pattern: re.Pattern[str], known: Iterable[str], expected: str) -> str:
        """Pass one of the known words.

        Raises:
            MalformedThreshold: another word is next; a similar one is suggested.
        """
        found = self.match(pattern)
        if found is None or found[0] not in known:
            raise self.wrong(expected, MEANT.get(found[0], closest(found[0], known)) if found else None)
        self.position = found.end()
        return found[0]

    def wrong(self, expected: str, near: str | None = None) -> MalformedThreshold:
        """Return the error about the next character."""
        self.next()
        return MalformedThreshold(self.text, self.position, expected, near)


def _limit(cursor: _Cursor) -> ThresholdLimit:
    start = cursor.position
    metric = cursor.choose(_WORD, METRICS, f"one of {', '.join(METRICS)}")
    client = _client(cursor, metric) if cursor.next() == "{" else None
    # `catch_up` alone is both a count and a duration; the dot before a statistic shows which is meant.
    is_duration = metric in DURATIONS or (metric == CATCH_UP and cursor.next() == ".")
    statistic = _statistic(cursor, metric) if is_duration else None
    relation = cursor.choose(_RELATION, OPERATORS, f"one of {' '.join(OPERATORS)}")
    number = cursor.match(_NUMBER)
    if number is None:
        raise cursor.wrong("a number")
    cursor.position = number.end()
    bound = float(number[0])
    if is_duration or metric in LONGEST:
        bound *= UNITS[cursor.choose(_UNIT, UNITS, "a unit: ns, us, ms, s, m or h")]
    expression = "".join(cursor.text[start : cursor.position].split())
    return ThresholdLimit(expression, metric, client, statistic, relation, int(bound) if bound.is_integer() else bound)


def _client(cursor: _Cursor, metric: str) -> str:
    if metric in OF_THE_RUN:
        raise cursor.wrong(f"no client: {metric} is of the run as a whole")
    cursor.position += 1
    cursor.choose(_WORD, ["client"], "client:NAME")
    if not cursor.skip(":"):
        raise cursor.wrong("':' and the name of a client, or '*' for each of them")
    found = cursor.match(_NAME)
    if found is None or not (found[0] == EVERY or is_name(found[0])):
        raise cursor.wrong("the name of a client, or '*' for each of them")
    cursor.position = found.end()
    if not cursor.skip("}"):
        raise cursor.wrong("'}'")
    return found[0]


def _statistic(cursor: _Cursor, metric: str) -> str | float:
    which = f"one of {', '.join(STATISTICS)} or a percentile such as p99 or p99.9"
    if not cursor.skip("."):
        raise cursor.wrong(f"'.' and which {metric} is meant: {which}")
    percentile = cursor.match(_PERCENTILE)
    if percentile is None:
        word = cursor.choose(_WORD, STATISTICS, which)
        # The name that k6 gives to the median.
        return 50.0 if word == "med" else word
    number = percentile[1] or percentile[2]
    if not 0 < float(number) <= 100 or len(number.partition(".")[2]) > DECIMALS:
        raise cursor.wrong(f"a percentile above 0 and at most 100, with at most {DECIMALS} decimals")
    cursor.position = percentile.end()
    return float(number)
