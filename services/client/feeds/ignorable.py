"""Proposes which messages of a feed to ignore: acknowledgements, and heartbeats that repeat a number. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from services.client.feeds.embedded_json import escaped
from services.client.feeds.json_columns import Columns, Scalar
from services.client.feeds.numbering import MIN_RECORDS, Numbering, integer_of
from services.client.feeds.proposal import Proposal

_MAX_IGNORED = 4
_SNAPSHOT = re.compile(rb'"([^"\\]+)":"(snapshot|partial|initial|init|full)"', re.IGNORECASE)
"""A name and a text by which order books and the like call the whole state."""
_FIRST = 10
_MAX_TEXT = 40
_FEW, _FEW_SHARE = 2, 0.05
_MIN_REPEATS = 2
_MIN_SHARE, _MAX_SHARE = 0.9, 0.5


def repeating(values: Sequence[Any], columns: Columns) -> set[int]:
    """Return the indexes of the messages of one kind, such as heartbeats, that only repeat the number before them."""
    kinds: dict[str, set[int]] = {}
    for index, value in enumerate(values):
        for mark in _marks(value):
            kinds.setdefault(mark, set()).add(index)
    found: set[int] = set()
    for indexes in kinds.values():
        if _MIN_REPEATS <= len(indexes) <= _MAX_SHARE * len(values) and any(
            _repeat(column, indexes) for column in columns.values()
        ):
            found |= indexes
    return found


def _repeat(column: Mapping[int, Scalar], indexes: set[int]) -> bool:
    """Return whether most of these messages have the number of the one before them, and the others rise."""
    numbers = {at: number for at, value in column.items() if (number := integer_of(value)) is not None}
    others = [number for at, number in numbers.items() if at not in indexes]
    if len(set(others)) < _MIN_SHARE * len(others) or len(others) < MIN_RECORDS:
        return False
    last, repeats, total = None, 0, 0
    for at, number in numbers.items():
        if at not in indexes:
            last = number
        elif last is not None:
            total += 1
            repeats += number == last
    return total >= _MIN_REPEATS and repeats >= _MIN_SHARE * total


def find_ignorable(
    values: Sequence[Any], columns: Columns, numbering: Numbering, without: Collection[int] = ()
) -> list[Proposal]:
    """Propose a pattern for the messages that do not continue the numbers.

    A pattern is a name and a text that no message with a new number has: other messages are not told apart by it.

    Args:
        values: the messages.
        columns: of the messages.
        numbering: of the messages.
        without: indexes of messages that only repeat a number.
    """
    new = _with_new_numbers(columns, numbering).difference(without)
    others = [value for index, value in enumerate(values) if index not in new]
    # As text, since a pattern is searched everywhere in a message.
    numbered = [msgspec.json.encode(values[index]) for index in new]
    patterns: list[str] = []
    while others and len(patterns) < _MAX_IGNORED:
        # A text says what a message is; by a name alone only a few are told apart, as there is data of several kinds.
        is_few = len(others) <= max(_FEW, _FEW_SHARE * len(values))
        counts = Counter(
            pattern for value in others for pattern in [*_marks(value), *(_names(value) if is_few else ())]
        )
        usable = (
            pattern
            for pattern, _ in counts.most_common()
            if not any(re.search(pattern.encode(), text) for text in numbered)
        )
        pattern = next(usable, None)
        if pattern is None:
            break
        patterns.append(pattern)
        others = [value for value in others if pattern not in {*_marks(value), *_names(value)}]
    why = "messages without a number of their own, such as acknowledgements and heartbeats"
    return [Proposal("decode.ignore", "|".join(patterns), why)] if patterns else []


def with_snapshots(proposals: Sequence[Proposal], messages: Sequence[Any]) -> list[Proposal]:
    """Return proposals that pass over the whole state at the begin of a connection too, if messages call it so.

    It has the number of a change that other connections received as such: different records under one number.
    """
    found = [_SNAPSHOT.search(msgspec.json.encode(message)) for message in messages]
    marks = {match.groups() for match in found if match is not None}
    begins = any(match is not None for match in found[:_FIRST])
    if not begins or len(marks) != 1 or sum(match is not None for match in found) > len(messages) / _FIRST:
        return list(proposals)
    ((name, text),) = ((escaped(part.decode()) for part in mark) for mark in marks)
    pattern, why = f'"{name}": ?"{text}"', "the whole state at the begin of a connection, under a number of the changes"
    for at, one in enumerate(proposals):
        if one.key == "decode.ignore":
            joined = one if pattern in one.text.split("|") else one._replace(text=f"{one.text}|{pattern}")
            return [*proposals[:at], joined, *proposals[at + 1 :]]
    return [*proposals, Proposal("decode.ignore", pattern, why)]


def _with_new_numbers(columns: Columns, numbering: Numbering) -> set[int]:
    """Return the indexes of the messages whose number came first with them, in the sequence of their key."""
    keys = [columns[path] for path in numbering.key]
    seen: set[tuple[object, ...]] = set()
    new = set()
    for index, number in columns[numbering.number].items():
        place = (number, *(column.get(index) for column in keys))
        if place not in seen:
            new.add(index)
        seen.add(place)
    return new


def _marks(value: Any) -> list[str]:
    """Return the names with a short text in a message, as patterns."""
    if not isinstance(value, dict):
        return []
    return [
        f'"{escaped(name)}": ?"{escaped(text)}"'
        for name, text in value.items()
        if isinstance(text, str) and len(text) <= _MAX_TEXT and not {*'"\\'} & {*name, *text}
    ]


def _names(value: Any) -> list[str]:
    """Return the names in a message, as patterns."""
    return [f'"{escaped(name)}": ?' for name in value if not {*'"\\'} & {*name}] if isinstance(value, dict) else []
