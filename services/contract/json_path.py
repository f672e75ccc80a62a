"""Paths to one place in a JSON value, like ``$.data[0]['ts']``: the part of JSONPath that names one place. Pure.

A path begins at the record (``$``) or at the message that contains the record (``$$``). A negative index counts from
the end of a list. Where a step leads into a text, the text is read as JSON.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

_STEP = re.compile(
    r"\.([A-Za-z_][A-Za-z0-9_-]*)|\[(-[1-9][0-9]{0,5}|[0-9]{1,6})\]"
    r"|\[(?:'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\")\]"
)
_ESCAPED = re.compile(r"\\(.)")
_SPACES = re.compile(r"\s*")
_NEXT_STEP = "a step like .name, [0], [-1] or ['name'] is expected"


class _Absent:
    def __repr__(self) -> str:
        return "absent"


ABSENT: Final = _Absent()
"""The result of a path if the value has no such place; null is a value."""


class MalformedPath(ValueError):
    """A path that cannot be parsed; ``at`` is the position of the first wrong character, counted from 1."""

    def __init__(self, text: str, position: int, expected: str) -> None:
        rest = text[position : position + 12] or "nothing"
        super().__init__(
            f"a path like $.seq or $.data[0]['ts']; at character {position + 1} {expected}, not {rest!r}"
            + (_lost_dollar(text) if position == 0 else "")
        )
        self.at = position + 1


def _lost_dollar(text: str) -> str:
    """Return what probably replaced the ``$`` of a path before it came here, empty if nothing shows it."""
    if re.match(r"[0-9]+([.\[]|$)", text):
        return "; a shell replaces $$ and $[2] outside of single quotes"
    return "; a makefile reads $$ as $" if re.match(r"[A-Za-z_.\[]", text) else ""


class JsonPath:
    """A place in a JSON value.

    Attributes:
        text: the path as the operator wrote it.
        steps: the names and indexes that lead there; empty for the value itself.
        is_of_message: whether the path begins at the message instead of at the record.
    """

    def __init__(self, text: str) -> None:
        """Parse a path.

        Raises:
            MalformedPath: with the position of the first wrong character.
        """
        steps, end = _steps(text, 0)
        if end < len(text):
            raise MalformedPath(text, end, _NEXT_STEP)
        self.text = text
        self.steps: tuple[str | int, ...] = tuple(steps)
        self.is_of_message = text.startswith("$$")

    @classmethod
    def several(cls, text: str) -> tuple[JsonPath, ...]:
        """Parse one or more paths, separated by commas.

        Raises:
            MalformedPath: with the position of the first wrong character.
        """
        paths: list[JsonPath] = []
        begin = _after_spaces(text, 0)
        while True:
            _, end = _steps(text, begin)
            paths.append(cls(text[begin:end]))
            end = _after_spaces(text, end)
            if end == len(text):
                return tuple(paths)
            if text[end] != ",":
                raise MalformedPath(text, end, f"{_NEXT_STEP}, or a comma,")
            begin = _after_spaces(text, end + 1)

    def find(self, value: Any) -> Any:
        """Return the value at this place, `ABSENT` if there is none."""
        for step in self.steps:
            if isinstance(value, str):
                value = _opened(value)
            try:
                value = value[step]
            except (LookupError, TypeError):
                return ABSENT
        return value


def _steps(text: str, begin: int) -> tuple[list[str | int], int]:
    """Return the steps of the path that begins here, and where it ends."""
    if not text.startswith("$", begin):
        raise MalformedPath(text, begin, "a $ is expected")
    steps: list[str | int] = []
    position = begin + (2 if text.startswith("$$", begin) else 1)
    while match := _STEP.match(text, position):
        name, index, single, double = match.groups()
        if index is not None:
            steps.append(int(index))
        else:
            quoted = single if single is not None else double
            steps.append(name if name is not None else _ESCAPED.sub(r"\1", quoted))
        position = match.end()
    return steps, position


def _after_spaces(text: str, begin: int) -> int:
    match = _SPACES.match(text, begin)
    return match.end() if match is not None else begin


def _opened(text: str) -> Any:
    """Return the value of a JSON text that is itself in a JSON string, `ABSENT` for another text."""
    try:
        value = msgspec.json.decode(text)
        return _opened(value) if isinstance(value, str) else value
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return ABSENT
