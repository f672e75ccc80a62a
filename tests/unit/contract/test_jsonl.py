"""Tests of the line codec that block log and ledger share."""

from __future__ import annotations

import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contract.errors import (
    ChecksumMismatch,
    LineError,
    MalformedLine,
    TornLine,
    UnsupportedVersion,
)
from services.contract.jsonl import FIRST, Kinds, LineStruct, content, fields, reseal, seal, unseal
from tests.unit.contract.strategies import flipped, single_bit_flips


class Note(LineStruct, tag="note", frozen=True, kw_only=True):
    """The simplest possible kind of line."""

    text: str


class Other(LineStruct, tag="other", frozen=True, kw_only=True):
    """A second kind of line, which a reader has to distinguish."""


codec: Kinds[Note | Other] = Kinds({1: Note | Other})

LINE, CRC = codec.encode(Note(text="a record, received"), "x1d22e870")
NEXT, _ = codec.encode(Note(text="and the one after it"), CRC)

notes = st.builds(Note, text=st.text())


def sealed(content: bytes) -> bytes:
    """Return a line of any content with a correct checksum."""
    return seal(content, FIRST)[0]


def believed(data: bytes) -> list[Note | Other]:
    """Return the lines that a reader of a file with these bytes accepts."""
    entries = []
    for line in data.splitlines(keepends=True):
        try:
            entries.append(codec.decode(line)[1])
        except LineError:
            continue
    return entries


class Sparse(LineStruct, tag="sparse", frozen=True, kw_only=True):
    """A kind with a field that lines lack if it says nothing, and a mutable default."""

    stalls: list[int] = []  # noqa: RUF012 - msgspec copies it
    text: str


@given(st.one_of(notes, st.builds(Other), st.builds(Sparse, stalls=st.lists(st.integers(0, 9)), text=st.text())))
def test_a_line_has_the_fields_in_their_order(entry: LineStruct) -> None:
    """A line that is encoded without the dictionary of its fields has the same bytes as one that is encoded with it."""
    assert seal(msgspec.json.encode(fields(entry)), FIRST) == Kinds.encode(entry, FIRST)


def test_bytes_of_a_line() -> None:
    """A line has crc, prev, version, kind and fields, and the crc covers all that follows it."""
    covered = b'"prev":"x1d22e870","v":1,"kind":"note","text":"a record, received"}'

    assert b'{"crc":"x%08x",%b\n' % (zlib.crc32(covered), covered) == LINE


def test_fields_come_in_order() -> None:
    """Version and kind are written before a kind's own fields."""
    expected = {"v": 1, "kind": "note", "text": "hello"}

    assert list(expected.items()) == list(fields(Note(text="hello")).items())


@given(notes, st.integers(0, 2**32 - 1).map("x{:08x}".format))
def test_round_trip(note: Note, prev: str) -> None:
    """A decoded line has its entry, its own crc and that of the line before."""
    line, crc = codec.encode(note, prev)
    found, entry = codec.decode(line)

    assert note == entry
    assert (crc, prev, line) == (found.crc, found.prev, found.text)


@given(notes)
def test_one_line_stays_one(note: Note) -> None:
    """No text in a field puts a second newline into a line."""
    assert codec.encode(note, FIRST)[0].count(b"\n") == 1


def test_every_bit_flip_is_detected() -> None:
    """After a flipped bit in a line, a file no longer has that line."""
    assert not [changed for changed in single_bit_flips(LINE) if believed(changed)]


def test_every_bit_flip_spares_the_neighbours() -> None:
    """A flipped bit costs the line that it is in and at most the one after it."""
    for changed in single_bit_flips(LINE):
        lost_newline = not changed.endswith(b"\n")

        assert (0 if lost_newline else 1) == len(believed(changed + NEXT))


@given(notes, st.data())
def test_any_bit_flip_is_detected(note: Note, data: st.DataObject) -> None:
    """A flipped bit anywhere in a line is detected."""
    line, _ = codec.encode(note, FIRST)
    bit = data.draw(st.integers(0, len(line) * 8 - 1))

    assert not believed(flipped(line, bit))


def test_every_truncation_is_torn() -> None:
    """A line that is truncated anywhere is torn and not damaged: its writer may not have finished it."""
    for length in range(len(LINE)):
        with pytest.raises(TornLine):
            codec.decode(LINE[:length])


@given(notes, st.data())
def test_any_truncation_is_detected(note: Note, data: st.DataObject) -> None:
    """A line that is truncated at any byte is refused, also with a newline after it."""
    line, _ = codec.encode(note, FIRST)
    length = data.draw(st.integers(0, len(line) - 2))

    assert not believed(line[:length])
    assert not believed(line[:length] + b"\n")


def test_every_glued_line_is_refused() -> None:
    """A torn line with the next line directly after it is refused, wherever it was torn."""
    for length in range(1, len(LINE)):
        with pytest.raises(ChecksumMismatch):
            codec.decode(LINE[:length] + NEXT)


def test_two_lines_are_not_one() -> None:
    """Two good lines passed as one are refused."""
    with pytest.raises(ChecksumMismatch):
        codec.decode(LINE + NEXT)


def test_every_lost_byte_is_detected() -> None:
    """A line that lost any one byte is refused."""
    assert not [at for at in range(len(LINE)) if believed(LINE[:at] + LINE[at + 1 :])]


def test_every_doubled_byte_is_detected() -> None:
    """A line with any byte doubled, except its newline, is refused."""
    assert not [at for at in range(len(LINE) - 1) if believed(LINE[: at + 1] + LINE[at:])]


@pytest.mark.parametrize(
    "damage",
    [
        (b'{"crc":"x', b'{"crc":"X'),
        (b'{"crc"', b'{ "crc"'),
        (b'"crc":', b'"crc": '),
        (b'{"crc"', b' {"crc"'),
        (b'{"crc"', b'{"CRC"'),
        (b'","prev"', b'", "prev"'),
        (b'","prev"', b'",,"prev"'),
        (b"}\n", b"}\r\n"),
        (b"}\n", b"} \n"),
    ],
    ids=repr,
)
def test_checks_the_head_as_text(damage: tuple[bytes, bytes]) -> None:
    """White space or another notation around the crc is damage, although JSON allows it."""
    changed = LINE.replace(*damage, 1)

    assert changed != LINE
    with pytest.raises(ChecksumMismatch):
        codec.decode(changed)


def test_refuses_upper_case_digits() -> None:
    """A crc with capital digits is refused, since it is compared as text."""
    changed = LINE.replace(CRC.encode(), b"x" + CRC[1:].upper().encode())

    assert changed != LINE
    with pytest.raises(ChecksumMismatch):
        codec.decode(changed)


def test_crc_must_come_first() -> None:
    """A line with its crc at another place is refused."""
    with pytest.raises(ChecksumMismatch, match="does not begin with its crc"):
        unseal(b'{"v":1,"kind":"note","crc":"x00000000","prev":"x00000000","text":"hello"}\n')


def test_needs_no_canonical_json() -> None:
    """White space after the crc is accepted: the crc covers it."""
    line = sealed(b'{ "v" : 1, "kind": "note",\t"text" : "hello" } ')

    assert Note(text="hello") == codec.decode(line)[1]


@pytest.mark.parametrize("prev", ["", "x", "00000000", "x0000000", "x000000000", "xABCDEF01", "x0000000g"])
def test_refuses_a_malformed_prev(prev: str) -> None:
    """A line with a right crc and without prev is malformed."""
    line, _ = seal(b'{"v":1,"kind":"note","text":"hello"}', prev)

    with pytest.raises(MalformedLine, match="no prev after crc"):
        codec.decode(line)


def test_refuses_a_missing_prev() -> None:
    """A line whose crc is followed by something else than prev is malformed."""
    covered = b'"v":1,"kind":"note","text":"hello, and long enough"}'

    with pytest.raises(MalformedLine, match="no prev after crc"):
        codec.decode(b'{"crc":"x%08x",%b\n' % (zlib.crc32(covered), covered))


def test_ignores_unknown_fields() -> None:
    """A field that this reader does not know is ignored."""
    line = sealed(b'{"v":1,"kind":"note","text":"hello","mood":{"of":["the",1,"writer"]}}')

    assert Note(text="hello") == codec.decode(line)[1]


@pytest.mark.parametrize(
    "content",
    [
        b'{"v":2,"kind":"note","text":"hello"}',
        b'{"v":0,"kind":"note","text":"hello"}',
        b'{"v":11,"kind":"note","text":"hello"}',
        b'{"kind":"note","text":"hello","v":2}',
        b'{"v":2,"kind":"something of version 2"}',
        b'{"v": 2,"kind":"note","text":"hello"}',
    ],
)
def test_refuses_an_unknown_version(content: bytes) -> None:
    """The error names an unknown version, at any place in the line and beside any field."""
    with pytest.raises(UnsupportedVersion, match=r"this reader knows 1"):
        codec.decode(sealed(content))


def test_finds_the_version_elsewhere() -> None:
    """A version at another place than the usual one is found."""
    assert Note(text="hello") == codec.decode(sealed(b'{"kind":"note","text":"hello","v":1}'))[1]


@pytest.mark.parametrize(
    "content",
    [
        b'{"kind":"note","text":"hello"}',
        b'{"v":"1","kind":"note","text":"hello"}',
        b'{"v":null,"kind":"note","text":"hello"}',
        b'{"v":1,"kind":"letter","text":"hello"}',
        b'{"v":1,"text":"hello"}',
        b'{"v":1,"kind":"note"}',
        b'{"v":1,"kind":"note","text":7}',
        b'{"v":1,"kind":"note","text":"hello"',
        b'{"v":1,"kind":"note","text":"hello"}}',
        b'{"v":1,"kind":"note","text":"hello"}{"v":1}',
        b'{"v":1,"kind":"note","text":"\xff\xfe"}',
        b'{"v":1,"kind":"note","text":"\x00"}',
        b'{"v":1,"kind":"note","text":"hello","deep":' + b"[" * 20_000 + b"}",
        b'{"kind":"note","deep":' + b"[" * 20_000 + b"}",
        b"{}",
        b"{",
        b"[1]",
    ],
    ids=lambda content: content[:60].decode("latin-1"),
)
def test_refuses_malformed_content(content: bytes) -> None:
    """Malformed content with a right checksum raises a line error, and no other one."""
    with pytest.raises(MalformedLine):
        codec.decode(sealed(content))


@given(st.binary())
def test_any_bytes_are_refused_properly(data: bytes) -> None:
    """Any bytes in a file are decoded to an entry or raise a line error."""
    assert not believed(data)
    assert not believed(data + b"\n")


@given(st.binary(min_size=1))
def test_any_sealed_bytes_are_refused_properly(content: bytes) -> None:
    """Any malformed content with a right checksum raises a line error."""
    with pytest.raises(LineError):
        codec.decode(sealed(content))


def test_error_carries_the_line() -> None:
    """An error has the first bytes of the refused line."""
    with pytest.raises(TornLine) as caught:
        codec.decode(LINE[:-1])

    assert LINE[:200].rstrip() == caught.value.data
    assert f"no newline after {len(LINE) - 1} bytes" == caught.value.detail


@given(st.lists(notes, min_size=2, max_size=6), st.data())
def test_a_removed_line_shows(entries: list[Note], data: st.DataObject) -> None:
    """If a line of a chain is removed, the line after it names another predecessor."""
    lines, prev = [], FIRST
    for entry in entries:
        line, prev = codec.encode(entry, prev)
        lines.append(line)
    removed = data.draw(st.integers(0, len(lines) - 2))
    del lines[removed]

    links = [codec.decode(line)[0] for line in lines]
    expected = [FIRST, *(link.crc for link in links)]
    broken = [at for at, link in enumerate(links) if link.prev != expected[at]]

    assert [removed] == broken


def test_a_line_can_be_resealed() -> None:
    """A resealed line has the same content, follows another line, and is intact."""
    line, _ = seal(b'{"v":1,"kind":"open"}', FIRST)
    again, crc = reseal(line, "x01234567")
    sealed = unseal(again)

    assert bytes(content(line)) == bytes(content(again)) == b'"v":1,"kind":"open"}'
    assert ("x01234567", crc) == (sealed.prev, sealed.crc)
    assert line == reseal(again, FIRST)[0]
