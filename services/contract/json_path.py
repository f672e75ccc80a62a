"""Where in a JSON value a fact is: ``$.data[0]['ts']``, the part of JSONPath that names one place. Pure."""

from __future__ import annotations

import re
from typing import Any, Final

_STEP = re.compile(r"\.([A-Za-z_][A-Za-z0-9_-]*)|\[([0-9]{1,6})\]|\[(?:'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\")\]")
_ESCAPED = re.compile(r"\\(.)")


class _Absent:
    def __repr__(self) -> str:
        return "absent"


ABSENT: Final = _Absent()
"""What a path gives where there is no such place; null is a value."""


class MalformedPath(ValueError):
    """A path that cannot be understood; ``at`` is the character, counted from 1."""

    def __init__(self, text: str, position: int, expected: str) -> None:
        found = text[position : position + 12] or "nothing"
        super().__init__(f"a path like $.seq or $.data[0]['ts']; at character {position + 1} {expected}, not {found!r}")
        self.at = position + 1


class JsonPath:
    """One place in a JSON value. ``steps`` are the names and numbers that lead there, none for the value itself."""

    def __init__(self, text: str) -> None:
        """Read a path.

        Raises:
            MalformedPath: naming the first character that is wrong.
        """
        self.text = text
        self.steps: tuple[str | int, ...] = tuple(_steps(text))

    def find(self, value: Any) -> Any:
        """Return what stands there, `ABSENT` when nothing does."""
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
        found = _STEP.match(text, position)
        if found is None:
            raise MalformedPath(text, position, "a step like .name, [0] or ['name'] is expected")
        name, index, single, double = found.groups()
        if index is not None:
            steps.append(int(index))
        else:
            quoted = single if single is not None else double
            steps.append(name if name is not None else _ESCAPED.sub(r"\1", quoted))
        position = found.end()
    return steps
