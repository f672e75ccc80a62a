"""The text by which a sequence of an external feed is known, if its key has several values. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from services.contract.json_path import JsonPath, MalformedPath

SEPARATOR, NOTHING = "|", r"\N"
"""Between the values of a key of several, and in place of a value that a record does not have."""
_VALUE = re.compile(r"((?:[^\\|]|\\.)*)(?:\||\Z)", re.DOTALL)


def joined(values: Iterable[str | None]) -> str:
    """Return the key of several values. Different values never give the same key."""
    return SEPARATOR.join(NOTHING if value is None else _escaped(value) for value in values)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(SEPARATOR, "\\" + SEPARATOR)


def values_in(key: str) -> list[str | None]:
    """Return the values that `joined` has made into a key, None for a value that is not there.

    A key that it has not made, which may be one of a single value, is its only value.
    """
    values: list[str | None] = []
    for match in _VALUE.finditer(key):
        values.append(None if match[1] == NOTHING else re.sub(r"\\(.)", r"\1", match[1], flags=re.DOTALL))
        if match[0] == match[1]:
            break
    return values if joined(values) == key else [key]


def unfound_paths(text: str, keys: Collection[str | None]) -> list[str]:
    """Return the paths of a key at which no record has a value.

    Args:
        text: the paths, separated by commas.
        keys: of all records with a number, None for a record without a key.
    """
    try:
        paths = [path.text for path in JsonPath.several(text)]
    except MalformedPath:
        return []
    known = [key for key in keys if key is not None]
    if not known:
        return paths if keys else []
    if len(paths) == 1:
        return []
    values = [[found[1] for found in _VALUE.finditer(key)][: len(paths)] for key in known]
    # A key that was too long is cut, and its values are not known.
    return [
        path
        for index, path in enumerate(paths)
        if all(len(found) == len(paths) and found[index] == NOTHING for found in values)
    ]
