"""Finds the sequence numbers of a feed in its records: where they are, and how one follows another. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, pairwise
from typing import Literal, NamedTuple

from services.client.external.record_values import MAX_NUMBER
from services.client.feeds.json_columns import Columns, Scalar

Kind = Literal["one", "range", "link", "rising"]

MIN_RECORDS = 3
"""With fewer records every number rises by chance."""
_MIN_SHARE = 0.9
"""Share of the steps that must be as described: a real feed may lose or repeat a few records."""
_MAX_NUMBERS, _MAX_KEYS = 24, 8
_NAMED = re.compile(r"(?:seq|sequence|number|num|offset|nonce|id|u)\w*'?\]?$", re.IGNORECASE)

Series = Mapping[int, int]
"""A number by the index of its record."""


class Numbering(NamedTuple):
    """How the records of a feed are numbered.

    Attributes:
        kind: ``one``: each number is ``step`` more than the one before, usually 1; ``range``: each record covers the
            numbers from ``first`` on; ``link``: each record names the number before it; ``rising``: the numbers rise,
            by any steps.
        number: path of the number.
        first: path of the first number of a range, None unless the kind is ``range``.
        previous: path of the number before, None without one.
        key: paths that together tell several sequences apart; empty for one sequence.
        numbered: records that have a number.
        share: share of the steps between them that are as the kind says.
        step: by how much the numbers rise, if they rise by the same step.
    """

    kind: Kind
    number: str
    first: str | None
    previous: str | None
    key: tuple[str, ...]
    numbered: int
    share: float
    step: int = 1


def find_numbering(columns: Columns, without: Sequence[str] = ()) -> Numbering | None:
    """Return the numbering that explains most records, None if no value rises.

    Args:
        columns: of the records, in the order in which they arrived.
        without: paths that are no numbers, such as times.
    """
    numbers = {
        path: series
        for path, column in columns.items()
        if path not in without and len(series := _integers(column)) >= MIN_RECORDS and len(set(series.values())) > 1
    }
    # The widest columns first: of the numbers in a few acknowledgements nothing follows.
    widest = dict(sorted(numbers.items(), key=lambda item: -len(item[1]))[:_MAX_NUMBERS])
    found = [one for path in widest for one in _numberings(path, widest, ())]
    most = max(map(len, widest.values()), default=0)
    if not any(one.kind != "rising" and one.numbered > most / 2 for one in found):
        found += [one for key in _keys(columns, widest) for one in _keyed(widest, columns, key)]
    return min(found, key=_Rank(most), default=None)


def check_numbering(
    numbers: Series, keys: Mapping[int, object], firsts: Series, previous: Series, step: int = 1
) -> Numbering | None:
    """Return how numbers follow each other that were read by an operator's settings; None if nothing explains them.

    Args:
        numbers: of the records, by the index of the record.
        keys: of their sequences.
        firsts: the first numbers of ranges, empty if no setting names them.
        previous: the numbers before, empty if no setting names them.
        step: by how much the numbers should rise.
    """
    series = {"the number": numbers, "the first number": firsts, "the number before": previous}
    found = _numberings("the number", {name: one for name, one in series.items() if one}, (), keys) if numbers else ()
    return next((one for one in found if one.kind != "rising" and (one.kind != "one" or one.step == step)), None)


def describe(found: Numbering) -> str:
    """Return one sentence about a numbering."""
    each = f" of each {' and '.join(found.key)}" if found.key else ""
    sentence = {
        "one": f"numbers found at {found.number}; those{each} rise by {'one' if found.step == 1 else found.step}",
        "range": f"numbers found at {found.number}; those{each} come as ranges from {found.first}",
        "link": f"numbers found at {found.number}; each{each} names the one before at {found.previous}",
        "rising": f"numbers found at {found.number} rise, but not by one: they do not show what is missing",
    }
    return sentence[found.kind]


class _Rank:
    """Orders numberings: those that cover most records first, then the simplest."""

    def __init__(self, most: int) -> None:
        self._most = most

    def __call__(self, one: Numbering) -> tuple[bool, bool, int, bool, int, bool, int, str]:
        kinds: tuple[Kind, ...] = ("one", "range", "link", "rising")
        return (
            one.kind == "rising",
            one.numbered < 0.8 * self._most,
            len(one.key),
            one.step > 1,
            kinds.index(one.kind),
            _NAMED.search(one.number) is None,
            len(one.number),
            one.number,
        )


def _integers(column: Mapping[int, Scalar]) -> dict[int, int]:
    return {index: number for index, value in column.items() if (number := integer_of(value)) is not None}


def integer_of(value: Scalar) -> int | None:
    """Return a value that can be a sequence number, None for any other."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,20}|0x[0-9a-fA-F]{1,16}", value):
        value = int(value, 16 if value.startswith("0x") else 10)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_NUMBER:
        return None
    return value


def _numberings(
    path: str, numbers: Mapping[str, Series], key: tuple[str, ...], groups: Mapping[int, object] | None = None
) -> Iterator[Numbering]:
    series = numbers[path]
    steps = list(_steps(series, groups))
    if len(steps) < MIN_RECORDS - 1:
        return
    rising = _share(series[now] > series[before] for before, now in steps)
    ((step, times),) = Counter(series[now] - series[before] for before, now in steps).most_common(1)
    if groups is not None and not _every_group(series, steps, groups):
        return
    if step == 1 and times >= _MIN_SHARE * len(steps):
        yield Numbering("one", path, None, None, key, len(series), times / len(steps))
        return
    if rising < _MIN_SHARE:
        # The sign of life of a linked feed repeats its number.
        rising = _share(series[now] >= series[before] for before, now in steps)
        if rising < _MIN_SHARE or len(set(series.values())) < len(series) / 2:
            return
    linked = [
        (other, share)
        for other, values in numbers.items()
        if other != path and (share := _share(values.get(now) == series[before] for before, now in steps)) >= _MIN_SHARE
    ]
    ranged = [
        (other, share)
        for other, values in numbers.items()
        if (share := _share(values.get(now) == series[before] + 1 <= series[now] for before, now in steps))
        >= _MIN_SHARE
    ]
    if ranged:
        first, share = max(ranged, key=lambda one: one[1])
        yield Numbering("range", path, first, None, key, len(series), share)
    elif linked:
        previous, share = max(linked, key=lambda one: one[1])
        yield Numbering("link", path, None, previous, key, len(series), share)
    elif step > 0 and times >= _MIN_SHARE * len(steps):
        yield Numbering("one", path, None, None, key, len(series), times / len(steps), step)
    elif not key:
        yield Numbering("rising", path, None, None, key, len(series), rising)


def _every_group(series: Series, steps: Sequence[tuple[int, int]], groups: Mapping[int, object]) -> bool:
    """Return whether the most usual step of all sequences is usual in each: others are no sequences of this kind."""
    by_group: dict[object, Counter[int]] = {}
    for before, now in steps:
        by_group.setdefault(groups.get(now), Counter())[series[now] - series[before]] += 1
    ((usual, times),) = sum(by_group.values(), Counter[int]()).most_common(1)
    if times < _MIN_SHARE * len(steps):
        return True
    return all(found[usual] >= found.total() / 2 for found in by_group.values() if found.total() >= MIN_RECORDS)


def _keyed(numbers: Mapping[str, Series], columns: Columns, key: tuple[str, ...]) -> Iterator[Numbering]:
    first, *rest = (columns[path] for path in key)
    groups = {index: (value, *(column.get(index) for column in rest)) for index, value in first.items()}
    for path in numbers.keys() - set(key):
        yield from _numberings(path, numbers, key, groups)


def _keys(columns: Columns, numbers: Mapping[str, Series]) -> list[tuple[str, ...]]:
    """Return the paths, alone and in pairs, whose values may tell sequences apart."""
    most = max(map(len, numbers.values()), default=0)
    single = []
    for path, column in columns.items():
        counts = Counter(value for value in column.values() if isinstance(value, str | int))
        # A key recurs; a value that is new in most records is no key.
        if len(counts) > 1 and len(column) >= most / 2 and len(counts) <= max(len(column) / MIN_RECORDS, 2):
            single.append(path)
    single.sort(key=lambda path: not isinstance(next(iter(columns[path].values())), str))
    single = single[:_MAX_KEYS]
    return [*((path,) for path in single), *combinations(single, 2)]


def _steps(series: Series, groups: Mapping[int, object] | None) -> Iterator[tuple[int, int]]:
    """Yield the indexes of records that follow each other in their sequence."""
    if groups is None:
        yield from pairwise(series)
        return
    last: dict[object, int] = {}
    for index in series:
        group = groups.get(index)
        if group in last:
            yield last[group], index
        last[group] = index


def _share(answers: Iterator[bool]) -> float:
    given = list(answers)
    return sum(given) / len(given) if given else 0.0
