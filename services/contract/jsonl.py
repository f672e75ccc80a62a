r"""The line codec of block log and ledger: one JSON object per line, with a checksum and a link to the line before.

::

    {"crc":"x9f3c01ab","prev":"x1d22e870","v":1,"kind":"…", …}\n

``crc`` is the CRC-32 of the raw bytes after ``"crc":"xXXXXXXXX",`` up to, not including, the newline: a reader
checks the bytes before it parses them, and no canonical form of JSON is needed. ``prev`` is the ``crc`` of the
line before, so removed, repeated and moved lines are detected.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from services.contract.errors import ChecksumMismatch, LineError, MalformedLine, TornLine, UnsupportedVersion
from services.contract.scalars import digest, digest_text

FIRST = "x00000000"
"""``prev`` of the first line of a chain."""

_ABSENT_IF_EMPTY = frozenset({"stalls", "lock", "start_us", "end_us"})
"""Fields that are in a line only if they say something. Lines without them have the bytes of earlier versions."""
_HEAD = b'{"crc":"x'
_COVERED = len(b'{"crc":"x00000000",')
_BEGIN = re.compile(rb'\{"crc":"(x[0-9a-f]{8})","prev":"(x[0-9a-f]{8})",')
_VERSION = re.compile(rb'"v":([0-9]{1,9}),')
_VERSION_1 = b'"v":1,'
_MINIMUM = _COVERED + len(b'"prev":"x00000000",')
# The decoder raises the last one for objects that are nested too deeply.
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

Entry = TypeVar("Entry", bound="LineStruct")


class Sealed(NamedTuple):
    """A line whose checksum is right: its ``crc``, the ``crc`` of the line before, and its bytes."""

    crc: str
    prev: str
    text: bytes


class _Header(msgspec.Struct):
    v: int
    kind: str


class LineStruct(msgspec.Struct, tag_field="kind", frozen=True, kw_only=True):
    """Base of all kinds of line. The kind is the tag; `fields` adds ``v``."""

    @property
    def line_version(self) -> int:
        """The version ``v`` under which a line of this kind is written and read."""
        return 1

    def line_fields(self) -> dict[str, Any]:
        """Return the fields as they are written, in their order."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        return {
            name: value for name, value in values.items() if name not in _ABSENT_IF_EMPTY or value not in (None, [])
        }


def fields(entry: LineStruct) -> dict[str, Any]:
    """Return a line's fields in the order in which they are written, without ``crc`` and ``prev``."""
    return {"v": entry.line_version, "kind": entry.__struct_config__.tag, **entry.line_fields()}


def seal(content: bytes | bytearray, prev: str) -> tuple[bytes, str]:
    """Make a line of a JSON object.

    Args:
        content: the object's bytes, not empty, without ``crc`` and ``prev``.
        prev: the ``crc`` of the line before, or `FIRST`.

    Returns:
        The line with its newline, and its ``crc``.
    """
    # Joined once: a block has hundreds of kilobytes, and each copy of it costs measurable time.
    head, rest = b'"prev":"%b",' % prev.encode(), memoryview(content)[1:]
    crc = digest_text(digest(rest, digest(head)))
    return b"".join((b'{"crc":"', crc.encode(), b'",', head, rest, b"\n")), crc


def unseal(line: bytes) -> Sealed:
    """Check the bytes of one line, newline included.

    Raises:
        TornLine: the newline is missing.
        ChecksumMismatch: the bytes do not match the checksum.
        MalformedLine: they do, but it is no line of this codec.
    """
    # Nearly all lines are good. Only for another one it matters what is wrong with it.
    begin = _BEGIN.match(line)
    if begin is not None and line.endswith(b"\n"):
        crc, prev = begin.groups()
        # Compared as text, since a digit that damage turned into a capital still gives the same number.
        # A view, since a slice of the bytes would copy a line that may have megabytes.
        if b"x%08x" % digest(memoryview(line)[_COVERED:-1]) == crc:
            return Sealed(crc.decode(), prev.decode(), line)
    raise _fault(line)


def _fault(line: bytes) -> LineError:
    """Return what is wrong with a line."""
    if not line.endswith(b"\n"):
        return TornLine(f"no newline after {len(line)} bytes", line)
    expected = line[len(_HEAD) - 1 : _COVERED - 2]
    if len(line) < _MINIMUM or not line.startswith(_HEAD) or line[_COVERED - 2 : _COVERED] != b'",':
        return ChecksumMismatch("the line does not begin with its crc", line)
    computed = digest_text(digest(memoryview(line)[_COVERED:-1]))
    if computed.encode() != expected:
        # Damaged bytes need not be UTF-8; any byte can be decoded as Latin-1.
        return ChecksumMismatch(f"crc says {expected.decode('latin-1')}, the bytes give {computed}", line)
    return MalformedLine("no prev after crc", line)


def content(line: bytes) -> memoryview:
    """Return the bytes of a line after its two checksums, without the newline. They are equal in copies of a line."""
    return memoryview(line)[_MINIMUM:-1]


def reseal(line: bytes, prev: str) -> tuple[bytes, str]:
    """Return a line with the same content but other checksums, as `seal` does.

    Args:
        line: a sealed line.
        prev: the ``crc`` of the line that it is to follow.
    """
    return seal(b"{" + content(line), prev)


class Kinds(Generic[Entry]):
    """Decodes the lines of one format: a closed set of kinds, one struct each.

    Args:
        unions: the kinds of each version that this reader knows, by the number of the version.
    """

    def __init__(self, unions: Mapping[int, Any]) -> None:
        self._decoders: dict[int, msgspec.json.Decoder[Entry]] = {
            version: msgspec.json.Decoder(union) for version, union in unions.items()
        }

    def decode(self, line: bytes) -> tuple[Sealed, Entry]:
        """Check and decode one line. Unknown fields are ignored.

        Raises:
            LineError: the class of the error names the fault of the line.
        """
        sealed = unseal(line)
        version = _version(sealed)
        # The version is checked before the content: a later one may have kinds and fields that this reader would report
        # as malformed, and so hide the cause.
        decoder = self._decoders.get(version)
        if decoder is None:
            known = " and ".join(map(str, self._decoders))
            raise UnsupportedVersion(f"version {version}; this reader knows {known}", line)
        try:
            entry = decoder.decode(line)
        except _UNREADABLE as problem:
            raise MalformedLine(str(problem), line) from problem
        # The open line is a kind of both versions of a block log, and which of them is right follows from its fields.
        if entry.line_version != version:
            raise MalformedLine(f"version {version} in a line that has version {entry.line_version}", line)
        return sealed, entry

    @staticmethod
    def encode(entry: Entry, prev: str) -> tuple[bytes, str]:
        """Return the line of an entry, with its newline, and the line's ``crc``."""
        return seal(_content(entry), prev)


def _content(entry: LineStruct) -> bytes:
    """Return a line's fields as JSON, as `fields` has them."""
    if not _is_written_whole(type(entry)):
        return msgspec.json.encode(fields(entry))
    # A server writes one for each receipt: without the dictionary this takes a third of the time.
    return b'{"v":%d,' % entry.line_version + msgspec.json.encode(entry)[1:]


@functools.cache
def _is_written_whole(kind: type[LineStruct]) -> bool:
    """Return whether lines of a kind always have all of its fields, in their order."""
    return _ABSENT_IF_EMPTY.isdisjoint(kind.__struct_fields__) and kind.line_fields is LineStruct.line_fields


def _version(sealed: Sealed) -> int:
    # The position at which this project writes it. A line of another writer is decoded, which takes longer.
    if sealed.text.startswith(_VERSION_1, _MINIMUM):
        return 1
    match = _VERSION.match(sealed.text, _MINIMUM)
    if match is not None:
        return int(match[1])
    try:
        return msgspec.json.decode(sealed.text, type=_Header).v
    except _UNREADABLE as problem:
        raise MalformedLine(str(problem), sealed.text) from problem
