r"""The line codec that block log and ledger share: one JSON object per line, checked and chained.

::

    {"crc":"x9f3c01ab","prev":"x1d22e870","v":1,"kind":"…", …}\n

``crc`` is the CRC-32 of the raw bytes after ``"crc":"xXXXXXXXX",`` up to, not including, the newline: a reader
checks the bytes before it parses them, and no canonical form of JSON is needed. ``prev`` is the ``crc`` of the
line before, so a line that was removed, repeated or moved shows.
"""

from __future__ import annotations

import re
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from services.contract.errors import ChecksumMismatch, MalformedLine, TornLine, UnsupportedVersion
from services.contract.scalars import digest, digest_text

VERSION = 1
FIRST = "x00000000"
"""``prev`` of the very first line of a chain."""

_HEAD = b'{"crc":"x'
_COVERED = len(b'{"crc":"x00000000",')
_PREV = re.compile(rb'"prev":"(x[0-9a-f]{8})",')
_MINIMUM = _COVERED + len(b'"prev":"x00000000",')
# The last is what objects nested too deeply give.
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

Entry = TypeVar("Entry", bound="LineStruct")


class Sealed(NamedTuple):
    """A line whose bytes have been checked: its own digest, its predecessor's, and the whole text."""

    crc: str
    prev: str
    text: bytes


class _Header(msgspec.Struct):
    v: int
    kind: str


class LineStruct(msgspec.Struct, tag_field="kind", frozen=True, kw_only=True):
    """Base of the kinds of line. The kind is the tag; ``v`` is written by `fields`."""


def fields(entry: LineStruct) -> dict[str, Any]:
    """Return a line's fields in the order in which they are written, without ``crc`` and ``prev``."""
    named = {name: getattr(entry, name) for name in entry.__struct_fields__}
    return {"v": VERSION, "kind": entry.__struct_config__.tag, **named}


def seal(content: bytes | bytearray, prev: str) -> tuple[bytes, str]:
    """Make a line of a JSON object.

    Args:
        content: the object's bytes, not empty, without ``crc`` and ``prev``.
        prev: the ``crc`` of the line before, or `FIRST`.

    Returns:
        The line with its newline, and its ``crc``.
    """
    # Put together once: a block has hundreds of kilobytes, and every copy of it shows.
    head, rest = b'"prev":"%b",' % prev.encode(), memoryview(content)[1:]
    crc = digest_text(digest(rest, digest(head)))
    return b"".join((b'{"crc":"', crc.encode(), b'",', head, rest, b"\n")), crc


def unseal(line: bytes) -> Sealed:
    """Check the bytes of one line, newline included.

    Raises:
        TornLine: the newline is missing.
        ChecksumMismatch: the bytes are not those that were written.
        MalformedLine: they are, but they are no line of this codec.
    """
    if not line.endswith(b"\n"):
        raise TornLine(f"no newline after {len(line)} bytes", line)
    said = line[len(_HEAD) - 1 : _COVERED - 2]
    if len(line) < _MINIMUM or not line.startswith(_HEAD) or line[_COVERED - 2 : _COVERED] != b'",':
        raise ChecksumMismatch("the line does not begin with its crc", line)
    found = digest_text(digest(memoryview(line)[_COVERED:-1])).encode()
    if found != said:
        raise ChecksumMismatch(f"crc says {said.decode('latin-1')}, the bytes give {found.decode()}", line)
    prev = _PREV.match(line, _COVERED)
    if prev is None:
        raise MalformedLine("no prev after crc", line)
    return Sealed(said.decode(), prev[1].decode(), line)


class Kinds(Generic[Entry]):
    """Decodes the lines of one format: a closed set of kinds, one struct each."""

    def __init__(self, union: Any) -> None:
        self._decoder: msgspec.json.Decoder[Entry] = msgspec.json.Decoder(union)

    def decode(self, line: bytes) -> tuple[Sealed, Entry]:
        """Check and decode one line. Unknown fields are ignored.

        Raises:
            LineError: the leaf says what is wrong with the line.
        """
        sealed = unseal(line)
        _refuse_other_versions(sealed)
        try:
            return sealed, self._decoder.decode(line)
        except _UNREADABLE as problem:
            raise MalformedLine(str(problem), line) from problem

    @staticmethod
    def encode(entry: Entry, prev: str) -> tuple[bytes, str]:
        """Return the line of an entry, with its newline, and the line's ``crc``."""
        return seal(msgspec.json.encode(fields(entry)), prev)


def _refuse_other_versions(sealed: Sealed) -> None:
    # Where our own writers put it; only a line of another writer needs the slower look.
    if sealed.text.startswith(b'"v":1,', _MINIMUM):
        return
    try:
        header = msgspec.json.decode(sealed.text, type=_Header)
    except _UNREADABLE as problem:
        raise MalformedLine(str(problem), sealed.text) from problem
    if header.v != VERSION:
        raise UnsupportedVersion(f"version {header.v}; this reader knows {VERSION}", sealed.text)
