"""Takes JSON records apart into columns: the values at one path in all records. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

Scalar = str | int | float | bool | None
"""A JSON value without parts."""
Columns = Mapping[str, Mapping[int, Scalar]]
"""The value at each path by the index of its record."""

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_MAX_DEPTH = 8
_MAX_PATHS = 300
"""Paths of one record: a record with ever new names must not take the analysis forever."""
_MAX_ITEMS = 3
"""A longer list is data, such as an order book, and no frame of values with fixed places."""


def columns_of(records: Sequence[Any], root: str = "$") -> dict[str, dict[int, Scalar]]:
    """Return the columns of records, in the order in which their paths appear; ``root`` begins every path."""
    columns: dict[str, dict[int, Scalar]] = {}
    for index, record in enumerate(records):
        for count, (path, value) in enumerate(scalars(record, root)):
            if count >= _MAX_PATHS:
                break
            columns.setdefault(path, {})[index] = value
    return columns


def scalars(value: Any, path: str = "$", depth: int = 0) -> Iterator[tuple[str, Scalar]]:
    """Yield path and value of every scalar in a JSON value; a JSON text inside a text is taken apart, too."""
    if isinstance(value, str) and depth and value[:1] in ("{", "["):
        value = _opened(value)
    if isinstance(value, dict):
        parts: list[tuple[str, Any]] = [(f"{path}{step_of(name)}", inner) for name, inner in value.items()]
    elif isinstance(value, list):
        parts = _items(value, path, is_whole=depth == 0)
    else:
        yield path, value
        return
    if depth < _MAX_DEPTH:
        for inner_path, inner in parts:
            yield from scalars(inner, inner_path, depth + 1)


def lists_in(value: Any, path: str = "$", depth: int = 0) -> Iterator[tuple[str, list[Any]]]:
    """Yield path and items of every list of objects that names, or the places of a short list, lead to."""
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        yield path, value
    elif isinstance(value, list) and len(value) <= _MAX_ITEMS and depth < _MAX_DEPTH:
        for at, inner in enumerate(value):
            yield from lists_in(inner, f"{path}[{at}]", depth + 1)
    elif isinstance(value, dict) and depth < _MAX_DEPTH:
        for name, inner in value.items():
            yield from lists_in(inner, f"{path}{step_of(name)}", depth + 1)


def step_of(name: str) -> str:
    """Return the step of a path that leads to a name."""
    if _PLAIN_NAME.fullmatch(name):
        return f".{name}"
    # In double quotation marks, so that a shell takes the path in single ones.
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'["{escaped}"]'


def _items(value: list[Any], path: str, *, is_whole: bool) -> list[tuple[str, Any]]:
    if not is_whole:
        return [(f"{path}[{at}]", item) for at, item in enumerate(value)] if len(value) <= _MAX_ITEMS else []
    # A message that is a list has values at fixed places, counted from its beginning or from its end.
    places = [*range(min(len(value), 2 * _MAX_ITEMS)), *range(-min(len(value), _MAX_ITEMS), 0)]
    return [(f"{path}[{at}]", value[at]) for at in places]


def _opened(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return text
