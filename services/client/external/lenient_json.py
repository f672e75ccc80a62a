"""Reads texts that are nearly JSON, for the facts in them; what is logged is the text as it came. Pure.

Many senders write JSON that is not JSON by the letter: ``NaN``, half of a surrogate pair, a byte order mark. Most
consumers read the number of such a record all the same, so a record must not be called missing for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

_AROUND = bytes(range(33)) + b"\x7f"
_BOM = b"\xef\xbb\xbf"
_MOST_MENDED = 2**18
"""Characters of a text that is mended piece by piece, which takes Python 0.1 s at this length."""
_MOST_DIGITS = 40
# In every pattern a string that does not end reaches to the end of the text, so that no text is scanned twice.
_DOUBLE = r'"[^"\\]*(?:\\(?:.|\Z)[^"\\]*)*(?:"|\Z)'
_SINGLE = _DOUBLE.replace('"', "'")
_PIECE = re.compile(rf"{_DOUBLE}|{_SINGLE}|[^\s,:\[\]{{}}\"']+", re.DOTALL)
_SPARE_COMMA = re.compile(rf"({_DOUBLE})|,(?=\s*[\]}}])", re.DOTALL)
_WORD = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null|NaN|-?Infinity")
_ESCAPE = re.compile(r'\\(u[0-9a-fA-F]{4}|["\\/bfnrt])|\\')
_MARK = re.compile(_DOUBLE.encode() + rb"|[\[\]{},:]", re.DOTALL)


def decode(text: bytes) -> Any:
    """Return the value of a text that is JSON but for what most readers forgive.

    That is: control characters and byte order marks around it, another Unicode encoding, ``NaN`` and infinities,
    numbers beyond a float, half surrogate pairs, control characters in strings, bytes that are no UTF-8; and, in texts
    of up to 256 KiB, unknown escapes, single quotes, names without quotes, other malformed words, which become texts,
    and spare commas.

    Raises:
        ValueError: it is not even that.
    """
    bare = stripped(text)
    try:
        return msgspec.json.decode(bare)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        said = bare.decode("utf-8", "replace")
    try:
        return _read(said)
    except ValueError:
        encoding = json.detect_encoding(text)
        if encoding.startswith("utf-8"):
            raise
        return _read(text.decode(encoding).strip(_AROUND.decode() + "\ufeff"))


def _read(said: str) -> Any:
    try:
        return _loads(said)
    except RecursionError as problem:
        raise ValueError("nested too deeply") from problem
    except ValueError:
        if said[:1] not in ("{", "[") or len(said) > _MOST_MENDED:
            raise
    return _loads(_SPARE_COMMA.sub(lambda found: found[1] or "", _PIECE.sub(_mended, said)))


def stripped(text: bytes) -> bytes:
    """Return a text without the control characters, spaces and byte order marks around it."""
    text = text.strip(_AROUND)
    while text.startswith(_BOM):
        text = text[len(_BOM) :].lstrip(_AROUND)
    while text.endswith(_BOM):
        text = text[: -len(_BOM)].rstrip(_AROUND)
    return text


def _loads(text: str) -> Any:
    return json.loads(text, strict=False, parse_int=_integer)


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MOST_DIGITS else float(digits)


def _mended(found: re.Match[str]) -> str:
    piece = found[0]
    if piece[0] == '"':
        return _ESCAPE.sub(lambda escape: escape[0] if escape[1] else r"\\", piece)
    if piece[0] == "'":
        return json.dumps(piece[1:-1])
    return piece if _WORD.fullmatch(piece) else json.dumps(piece)


class _Element(NamedTuple):
    key: bytes
    begin: int
    end: int


def rows(text: bytes, steps: Sequence[str | int]) -> list[bytes]:
    """Return the texts of the items of a list, as they came, by the brackets and commas alone.

    Args:
        text: holds the list.
        steps: names and places that lead to it, as of a `Path`.

    Raises:
        ValueError: there is nothing at one of the steps.
    """
    text = stripped(text)
    begin = 0
    for step in steps:
        found = [one for place, one in enumerate(_elements(text, begin)) if _is(one, place, step)]
        if not found:
            raise ValueError(f"nothing at {step!r}")
        begin = found[-1].begin
    return [text[one.begin : one.end] for one in _elements(text, begin)]


def _is(element: _Element, place: int, step: str | int) -> bool:
    if isinstance(step, int):
        return place == step
    try:
        return bool(element.key) and decode(element.key) == step
    except ValueError:
        return element.key.decode("utf-8", "replace") == step


def _elements(text: bytes, begin: int) -> Iterator[_Element]:
    """Yield the elements of the list or object that begins here."""
    depth, key, start = 0, b"", begin + 1
    for found in _MARK.finditer(text, begin):
        mark = found[0]
        depth += (mark in (b"[", b"{")) - (mark in (b"]", b"}"))
        if depth == 1 and mark == b":" and not key:
            key, start = text[start : found.start()].strip(), found.end()
        elif (depth == 1 and mark == b",") or not depth:
            element = text[start : found.start()]
            if element.strip():
                from_start = start + len(element) - len(element.lstrip())
                yield _Element(key, from_start, start + len(element.rstrip()))
            key, start = b"", found.end()
        if not depth:
            return
