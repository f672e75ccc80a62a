"""Tests of the lines of a client's block log."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contract import blocklog
from services.contract.block_text import block_digest
from services.contract.blocklog import Block, OwnMessage, file_name, parse_file_name
from services.contract.errors import LineError, MalformedLine, UnsupportedVersion
from services.contract.jsonl import FIRST, LineStruct, fields, seal
from tests.unit.contract.strategies import by_type, flipped, instances, kinds, required

KINDS = [*kinds(blocklog.LogLine), blocklog.ExternalEndLine]

a_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
entries = st.one_of(*map(instances, KINDS))

MESSAGES = [
    OwnMessage(3, "2026-11-22T07:30:00.000003Z", 5, 4, msgspec.Raw(b'{"id":3,"name":"Zo\xc3\xab"}')),
    OwnMessage(1, "2026-11-22T07:30:00.000003Z", 7, 6, msgspec.Raw(b'{"id":1}')),
]


@a_kind
@given(data=st.data())
def test_round_trip(kind: Any, data: st.DataObject) -> None:
    """A line of any kind with any fields is decoded to the value that was encoded."""
    entry = data.draw(instances(kind))
    line, crc = blocklog.codec.encode(entry, FIRST)
    sealed, found = blocklog.codec.decode(line)

    assert entry == found
    assert crc == sealed.crc


@given(entries, st.data())
def test_any_bit_flip_is_detected(entry: LineStruct, data: st.DataObject) -> None:
    """A flipped bit anywhere in a line of a block log is detected."""
    line, _ = blocklog.codec.encode(entry, FIRST)  # type: ignore[arg-type]
    changed = flipped(line, data.draw(st.integers(0, len(line) * 8 - 1)))

    with pytest.raises(LineError):
        blocklog.codec.decode(changed)


@given(entries, st.data())
def test_any_truncation_is_detected(entry: LineStruct, data: st.DataObject) -> None:
    """A line of a block log that is truncated anywhere is refused."""
    line, _ = blocklog.codec.encode(entry, FIRST)  # type: ignore[arg-type]

    with pytest.raises(LineError):
        blocklog.codec.decode(line[: data.draw(st.integers(0, len(line) - 1))])


@by_type
@given(entries)
def test_states_its_version(entry: LineStruct) -> None:
    """Every line of a block log has the version of its format."""
    line, _ = blocklog.codec.encode(entry, FIRST)  # type: ignore[arg-type]

    assert b',"v":%d,"kind":"' % entry.line_version in line


@a_kind
@by_type
@given(data=st.data())
def test_needs_every_field(kind: Any, data: st.DataObject) -> None:
    """A line that lacks any field without a default is malformed."""
    content = fields(data.draw(instances(kind)))

    for name in required(kind):
        shortened = {field: value for field, value in content.items() if field != name}
        with pytest.raises(MalformedLine, match="missing required field"):
            blocklog.codec.decode(seal(msgspec.json.encode(shortened), FIRST)[0])


@a_kind
@by_type
@given(data=st.data())
def test_reads_the_next_minor(kind: Any, data: st.DataObject) -> None:
    """A field that a later writer added is ignored; a version that it raised is refused."""
    entry = data.draw(instances(kind))
    extended = fields(entry) | {"mood": ["added", {"later": 1}]}
    raised = fields(entry) | {"v": blocklog.EXTERNAL_VERSION + 1}

    assert entry == blocklog.codec.decode(seal(msgspec.json.encode(extended), FIRST)[0])[1]
    with pytest.raises(UnsupportedVersion):
        blocklog.codec.decode(seal(msgspec.json.encode(raised), FIRST)[0])


@given(instances(Block))
def test_records_stay_byte_for_byte(block: Block) -> None:
    """The bytes of a record are the same in the line and in the decoded message."""
    line, _ = blocklog.codec.encode(block, FIRST)
    found = blocklog.codec.decode(line)[1]

    assert isinstance(found, Block)
    assert all(b'"record":%b}' % bytes(message.record) in line for message in block.messages)
    assert [bytes(message.record) for message in block.messages] == [
        bytes(message.record) for message in found.messages
    ]


@pytest.mark.parametrize("kind", [*KINDS, blocklog.OwnMessage, blocklog.Torn], ids=lambda kind: kind.__name__)
def test_entries_are_values(kind: Any) -> None:
    """A decoded line is not changed; a change makes a copy."""
    assert kind.__struct_config__.frozen


@a_kind
@by_type
@given(data=st.data())
def test_what_is_absent_is_nothing(kind: Any, data: st.DataObject) -> None:
    """An absent optional field is decoded as 0, as empty or as None, and the connection as 1."""
    entry = data.draw(instances(kind))
    optional = {*kind.__struct_fields__} - {*required(kind)}
    if kind is blocklog.OpenLine:
        entry = msgspec.structs.replace(entry, external=None)
    content = fields(entry)
    entry = blocklog.codec.decode(
        seal(msgspec.json.encode({k: v for k, v in content.items() if k not in optional}), FIRST)[0]
    )[1]

    assert not [name for name in optional if getattr(entry, name) not in (0, [], None, "") and name != "connection"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("closed_by", "boredom"),
        ("client", "Client 1"),
        ("run", "today"),
        ("first", 0),
        ("block", 0),
        ("session", 0),
        ("count", -1),
        ("digest", "12345678"),
        ("missing", [[1]]),
        ("duration_ns", 1.5),
        ("messages", None),
    ],
)
def test_refuses_wrong_values(field: str, value: Any) -> None:
    """A block with a value that the format does not allow is malformed."""
    block = Block(
        run="20261122T073000Z",
        client="client-1",
        session=1,
        block=1,
        first=1,
        last=3,
        count=2,
        missing=[(2, 2)],
        closed_by="count",
        started_at="2026-11-22T07:30:00.000003Z",
        ended_at="2026-11-22T07:30:00.000003Z",
        duration_ns=0,
        idle_ns=0,
        clock_offset_us=0,
        clock_error_us=0,
        digest=block_digest(MESSAGES),
        messages=MESSAGES,
    )
    line, _ = seal(msgspec.json.encode(fields(block) | {field: value}), FIRST)

    assert block == blocklog.codec.decode(blocklog.codec.encode(block, FIRST)[0])[1]
    with pytest.raises(MalformedLine):
        blocklog.codec.decode(line)


@given(st.integers(1, 100_000), st.integers(1, 100_000))
def test_file_name_round_trip(session: int, segment: int) -> None:
    """Session and segment are parsed from a file name, also beyond four digits."""
    assert (session, segment) == parse_file_name(file_name(session, segment))


def test_file_name_example() -> None:
    """The first file of a client is 0001-0001.jsonl, so that a listing shows files in order."""
    expected = "0001-0001.jsonl"

    assert expected == file_name(1, 1)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "0001-0001.json",
        "0001-0001.jsonl.gz",
        "0001-0001.jsonl\n",
        "1-1.jsonl",
        "0001.jsonl",
        "0001-0001",
        "x0001-0001.jsonl",
        ".0001-0001.jsonl",
        "٠٠٠١-٠٠٠١.jsonl",  # digits, but not ours
    ],
)
def test_file_name_refuses(name: str) -> None:
    """A file with another name is not a file of a block log."""
    assert parse_file_name(name) is None
