"""Finds the line of every key of a TOML text, which the standard library's parser does not return. Pure.

The text must have been accepted by ``tomllib``: this reader looks only for keys, and takes the rest for granted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

KeyPath = tuple[str | int, ...]
"""Names of tables and keys from the outermost in, and the indexes of arrays, counted from 0."""

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)+")
_KEY = re.compile(r"""[ \t]*(?:([A-Za-z0-9_-]+)|"((?:[^"\\]|\\.)*)"|'([^']*)')[ \t]*""")
# In the order in which they must be tried: three quotation marks before one.
_STRINGS = (
    re.compile(r'"""(?:[^\\]|\\.)*?"{3,5}', re.DOTALL),
    re.compile(r"'''.*?'{3,5}", re.DOTALL),
    re.compile(r'"(?:[^"\\]|\\.)*"'),
    re.compile(r"'[^']*'"),
)
_SCALAR = re.compile(r"[^\s,\]}#][^,\]}#\n]*")


def key_lines(text: str) -> dict[KeyPath, int]:
    """Return the line, counted from 1, of every table, key and item of an array."""
    return _Reader(text).read()


def line_of(lines: dict[KeyPath, int], path: Sequence[str | int]) -> int:
    """Return the line of a key, or of the closest table around it that has one; 1 if none has."""
    found = (lines[tuple(path[:length])] for length in range(len(path), 0, -1) if tuple(path[:length]) in lines)
    return next(found, 1)


class _Reader:
    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0
        self._lines: dict[KeyPath, int] = {}
        self._tables: Counter[KeyPath] = Counter()

    def read(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        self._skip_blank()
        while self._at < len(self._text):
            table = self._header() if self._next() == "[" else self._pair(table)
            self._skip_blank()
        return self._lines

    def _header(self) -> KeyPath:
        line = self._line()
        is_array = self._text.startswith("[[", self._at)
        self._at += 2 if is_array else 1
        path = self._key()
        self._at += 2 if is_array else 1
        if is_array:
            self._tables[path] += 1
            path = (*path, self._tables[path] - 1)
        self._lines.setdefault(path, line)
        return path

    def _pair(self, table: KeyPath) -> KeyPath:
        """Read a key and its value; return the table that they are in."""
        line = self._line()
        path = (*table, *self._key())
        self._lines.setdefault(path, line)
        self._at += 1  # the equals sign
        self._value(path)
        return table

    def _key(self) -> KeyPath:
        parts: list[str] = []
        while match := _KEY.match(self._text, self._at):
            self._at = match.end()
            parts.append(next(part for part in match.groups() if part is not None))
            if self._next() != ".":
                break
            self._at += 1
        return tuple(parts)

    def _value(self, path: KeyPath) -> None:
        self._skip_blank()
        if self._next() == "[":
            self._array(path)
        elif self._next() == "{":
            self._inline_table(path)
        else:
            matches = (pattern.match(self._text, self._at) for pattern in (*_STRINGS, _SCALAR))
            match = next(match for match in matches if match is not None)
            self._at = match.end()

    def _array(self, path: KeyPath) -> None:
        index = 0
        self._at += 1
        self._skip_separators()
        while self._next() != "]":
            self._lines.setdefault((*path, index), self._line())
            self._value((*path, index))
            index += 1
            self._skip_separators()
        self._at += 1

    def _inline_table(self, path: KeyPath) -> None:
        self._at += 1
        self._skip_separators()
        while self._next() != "}":
            self._pair(path)
            self._skip_separators()
        self._at += 1

    def _next(self) -> str:
        return self._text[self._at : self._at + 1]

    def _line(self) -> int:
        return self._text.count("\n", 0, self._at) + 1

    def _skip_blank(self) -> None:
        if match := _BLANK.match(self._text, self._at):
            self._at = match.end()

    def _skip_separators(self) -> None:
        self._skip_blank()
        while self._next() == ",":
            self._at += 1
            self._skip_blank()
