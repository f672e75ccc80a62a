"""Paths to one place in a JSON value, like ``$.data[0]['ts']``: the part of JSONPath that names one place. Pure."""

from __future__ import annotations

import re
from typing import Any, Final

_STEP = re.compile(r"\.([A-Za-z_][A-Za-z0-9_-]*)|\[([0-9]{1,6})\]|\[(?:'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\")\]")
_ESCAPED = re.compile(r"\\(.)")


class _Absent:
    def __repr__(self) -> str:
        return "absent"


ABSENT: Final = _Absent()
"""The result of a path if the value has no such place; null is a value."""


class MalformedPath(ValueError):
    """A path that cannot be parsed; ``at`` is the position of the first wrong character, counted from 1."""

    def __init__(self, text: str, position: int, expected: str) -> None:
        rest = text[position : position + 12] or "nothing"
        super().__init__(f"a path like $.seq or $.data[0]['ts']; at character {position + 1} {expected}, not {rest!r}")
        self.at = position + 1


class JsonPath:
    """A place in a JSON value. ``steps`` are the names and indexes that lead there; empty for the value itself."""

    def __init__(self, text: str) -> None:
        """Parse a path.

        Raises:
            MalformedPath: with the position of the first wrong character.
        """
        self.text = text
        self.steps: tuple[str | int, ...] = tuple(_steps(text))

    def find(self, value: Any) -> Any:
        """Return the value at this place, `ABSENT` if there is none."""
        for step in self.steps:
            if isinstance(step, str):
                if not isinstance(value, dict) or step not in value:
                    return ABSENT
            elif not isinstance(value, list) or step >= len(value):
                return ABSENT
            value = value[step]
        return value


def _steps(text: str) -> list[str | int]:
    if not text.startswith("$"):
        raise MalformedPath(text, 0, "a $ is expected")
    steps: list[str | int] = []
    position = 1
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None:
            raise MalformedPath(text, position, "a step like .name, [0] or ['name'] is expected")
        name, index, single, double = match.groups()
        if index is not None:
            steps.append(int(index))
        else:
            quoted = single if single is not None else double
            steps.append(name if name is not None else _ESCAPED.sub(r"\1", quoted))
        position = match.end()
    return steps
