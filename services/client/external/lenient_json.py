"""Reads values from texts that are nearly JSON; the text itself is logged unchanged. Pure.

Many senders write invalid JSON: ``NaN``, half of a surrogate pair, a byte order mark. Most consumers can still read the
number of such a record, so the record must not count as missing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

_AROUND = bytes(range(33)) + b"\x7f"
_BOM = b"\xef\xbb\xbf"
# A longer text is not repaired token by token, which takes Python 0.1 s at this length.
_MAX_REPAIRED = 2**18
_MAX_DIGITS = 40
# In every pattern an unterminated string extends to the end of the text, so that no text is scanned twice.
_DOUBLE = r'"[^"\\]*(?:\\(?:.|\Z)[^"\\]*)*(?:"|\Z)'
_SINGLE = _DOUBLE.replace('"', "'")
_TOKEN = re.compile(rf"{_DOUBLE}|{_SINGLE}|[^\s,:\[\]{{}}\"']+", re.DOTALL)
_SPARE_COMMA = re.compile(rf"({_DOUBLE})|,(?=\s*[\]}}])", re.DOTALL)
_WORD = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null|NaN|-?Infinity")
_NUMERAL = re.compile(r"0(?:[0-9]+|[xX][0-9a-fA-F]+)")
"""A number that is none in JSON, as it occurs in lines of other formats."""
_ESCAPE = re.compile(r'\\(u[0-9a-fA-F]{4}|["\\/bfnrt])|\\')
_MARK = re.compile(_DOUBLE.encode() + rb"|[\[\]{},:]", re.DOTALL)


def decode(text: bytes) -> Any:
    """Return the value of a text that is JSON but for errors that most readers tolerate.

    These are: control characters and byte order marks around it, another Unicode encoding, ``NaN`` and infinities,
    numbers beyond a float, half surrogate pairs, control characters in strings, invalid UTF-8; and, in texts of up to
    256 KiB, unknown escapes, single quotes, names without quotes, other malformed words, which become strings, and
    trailing commas. A number by itself that has leading zeros, or is hexadecimal, is returned as a string.

    Raises:
        ValueError: the text has other errors.
    """
    bare = stripped(text)
    try:
        return msgspec.json.decode(bare)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        plain = bare.decode("utf-8", "replace")
    try:
        return _read(plain)
    except ValueError:
        encoding = json.detect_encoding(text)
        if encoding.startswith("utf-8"):
            raise
        return _read(text.decode(encoding).strip(_AROUND.decode() + "\ufeff"))


def _read(text: str) -> Any:
    try:
        return _loads(text)
    except ValueError:
        if _NUMERAL.fullmatch(text):
            return text
        # Without a bracket any word would be repaired to a string, and plain text would count as JSON.
        if text[:1] not in ("{", "[") or len(text) > _MAX_REPAIRED:
            raise
    return _loads(_SPARE_COMMA.sub(lambda match: match[1] or "", _TOKEN.sub(_repaired, text)))


def stripped(text: bytes) -> bytes:
    """Return a text without the control characters, spaces and byte order marks around it."""
    text = text.strip(_AROUND)
    while text.startswith(_BOM):
        text = text[len(_BOM) :].lstrip(_AROUND)
    while text.endswith(_BOM):
        text = text[: -len(_BOM)].rstrip(_AROUND)
    return text


def is_beginning(text: bytes) -> bool:
    """Return whether a text is JSON except for its end."""
    plain = stripped(text).decode("utf-8", "replace")
    try:
        _loads(plain)
    except json.JSONDecodeError as problem:
        # The place of an unterminated string is where it begins, that of any other error where the text stops to be
        # JSON.
        return problem.pos >= len(plain) or problem.msg.startswith("Unterminated string")
    except ValueError:
        pass
    return False


def _loads(text: str) -> Any:
    try:
        return json.loads(text, strict=False, parse_int=_integer)
    except RecursionError as problem:
        raise ValueError("nested too deeply") from problem


def _integer(digits: str) -> int | float:
    # Converting a long integer takes quadratic time, and Python refuses it from 4,300 digits on.
    return int(digits) if len(digits) <= _MAX_DIGITS else float(digits)


def _repaired(match: re.Match[str]) -> str:
    token = match[0]
    if token[0] == '"':
        return _ESCAPE.sub(lambda escape: escape[0] if escape[1] else r"\\", token)
    if token[0] == "'":
        return json.dumps(token[1:-1])
    return token if _WORD.fullmatch(token) else json.dumps(token)


class _Element(NamedTuple):
    key: bytes
    begin: int
    end: int


def rows(text: bytes, steps: Sequence[str | int]) -> list[bytes]:
    """Return the unchanged texts of the items of a list, found by brackets and commas alone.

    Args:
        text: contains the list.
        steps: names and indices that lead to it, as in a `JsonPath`.

    Raises:
        ValueError: nothing is at one of the steps.
    """
    text = stripped(text)
    begin = 0
    for step in steps:
        elements = list(_elements(text, begin))
        place = step + len(elements) if isinstance(step, int) and step < 0 else step
        matches = [element for index, element in enumerate(elements) if _is_at(element, index, place)]
        if not matches:
            raise ValueError(f"nothing at {step!r}")
        # Of repeated names the last counts, as for other readers.
        begin = matches[-1].begin
    return [text[element.begin : element.end] for element in _elements(text, begin)]


def _is_at(element: _Element, index: int, step: str | int) -> bool:
    if isinstance(step, int):
        return index == step
    try:
        return bool(element.key) and decode(element.key) == step
    except ValueError:
        return element.key.decode("utf-8", "replace") == step


def _elements(text: bytes, begin: int) -> Iterator[_Element]:
    """Yield the elements of the list or object that begins here."""
    depth, key, start = 0, b"", begin + 1
    for match in _MARK.finditer(text, begin):
        mark = match[0]
        depth += (mark in (b"[", b"{")) - (mark in (b"]", b"}"))
        if depth == 1 and mark == b":" and not key:
            key, start = text[start : match.start()].strip(), match.end()
        elif (depth == 1 and mark == b",") or not depth:
            element = text[start : match.start()]
            if element.strip():
                from_start = start + len(element) - len(element.lstrip())
                yield _Element(key, from_start, start + len(element.rstrip()))
            key, start = b"", match.end()
        if not depth:
            return
