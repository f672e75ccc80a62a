"""Tests of the lines of a server's ledger."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contract import ledger
from services.contract.errors import LineError, MalformedLine, UnsupportedVersion
from services.contract.jsonl import FIRST, LineStruct, fields, seal
from tests.unit.contract.strategies import by_type, flipped, instances, kinds, required

KINDS = kinds(ledger.Entry)
AT = "2026-11-22T07:30:00.000000Z"

a_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
entries = st.one_of(*map(instances, KINDS))


@a_kind
@given(data=st.data())
def test_round_trip(kind: Any, data: st.DataObject) -> None:
    """An entry of any kind with any fields is decoded to the value that was encoded."""
    entry = data.draw(instances(kind))
    line, crc = ledger.codec.encode(entry, FIRST)
    sealed, found = ledger.codec.decode(line)

    assert entry == found
    assert crc == sealed.crc


@given(entries, st.data())
def test_any_bit_flip_is_detected(entry: LineStruct, data: st.DataObject) -> None:
    """A flipped bit anywhere in a line of a ledger is detected."""
    line, _ = ledger.codec.encode(entry, FIRST)  # type: ignore[arg-type]
    changed = flipped(line, data.draw(st.integers(0, len(line) * 8 - 1)))

    with pytest.raises(LineError):
        ledger.codec.decode(changed)


@by_type
@given(entries)
def test_states_its_version(entry: LineStruct) -> None:
    """Every line of a ledger has the version of its format."""
    line, _ = ledger.codec.encode(entry, FIRST)  # type: ignore[arg-type]

    assert b',"v":%d,"kind":"' % ledger.VERSION in line


@a_kind
@by_type
@given(data=st.data())
def test_needs_every_field(kind: Any, data: st.DataObject) -> None:
    """A line that lacks any field without a default is malformed."""
    content = fields(data.draw(instances(kind)))

    for name in required(kind):
        shortened = {field: value for field, value in content.items() if field != name}
        with pytest.raises(MalformedLine, match="missing required field"):
            ledger.codec.decode(seal(msgspec.json.encode(shortened), FIRST)[0])


@a_kind
@by_type
@given(data=st.data())
def test_reads_the_next_minor(kind: Any, data: st.DataObject) -> None:
    """A field that a later writer added is ignored; a version that it raised is refused."""
    entry = data.draw(instances(kind))
    extended = fields(entry) | {"mood": ["added", {"later": 1}]}
    raised = fields(entry) | {"v": ledger.VERSION + 1}

    assert entry == ledger.codec.decode(seal(msgspec.json.encode(extended), FIRST)[0])[1]
    with pytest.raises(UnsupportedVersion):
        ledger.codec.decode(seal(msgspec.json.encode(raised), FIRST)[0])


@a_kind
@by_type
@given(data=st.data())
def test_what_is_absent_is_nothing(kind: Any, data: st.DataObject) -> None:
    """An absent optional field is decoded as False, None or an empty list."""
    content = fields(data.draw(instances(kind)))
    optional = {*kind.__struct_fields__} - {*required(kind)}
    shortened = {name: value for name, value in content.items() if name not in optional}
    entry = ledger.codec.decode(seal(msgspec.json.encode(shortened), FIRST)[0])[1]

    assert not [name for name in optional if getattr(entry, name)]


@a_kind
def test_entries_are_values(kind: Any) -> None:
    """A decoded entry is not changed; a change makes a copy."""
    assert kind.__struct_config__.frozen


@a_kind
def test_kind_is_the_name(kind: Any) -> None:
    """The kind of a line is the name of its class before ``Entry``, in lower case."""
    assert kind.__name__.removesuffix("Entry").lower() == kind.__struct_config__.tag


@a_kind
def test_every_line_is_dated(kind: Any) -> None:
    """Every line begins with the time at which it was written."""
    first, *_ = kind.__struct_fields__

    assert first == "at"


def test_a_pause_is_a_pace() -> None:
    """A pace without a rate, which is a pause, is not decoded as rate 0."""
    pause = ledger.PaceEntry(at=AT, first=7, due_us=0, rate=None)
    flat_out = ledger.PaceEntry(at=AT, first=7, due_us=0, rate=0)

    assert pause != flat_out
    assert [pause, flat_out] == [
        ledger.codec.decode(ledger.codec.encode(pace, FIRST)[0])[1] for pace in (pause, flat_out)
    ]


@pytest.mark.parametrize(
    ("entry", "field", "value"),
    [
        (ledger.EndEntry(at=AT, last=1, count=1, reason="complete"), "reason", "bored"),
        (ledger.LeaveEntry(at=AT, client="a", fence=1, sent=1, receipted=1, cause="bye"), "cause", "tired"),
        (ledger.SentEntry(at=AT, client="a", fence=1, through=1), "fence", 0),
        (ledger.SentEntry(at=AT, client="a", fence=1, through=1), "through", 2**53),
        (ledger.SentEntry(at=AT, client="a", fence=1, through=1), "client", "A"),
        (ledger.PaceEntry(at=AT, first=1, due_us=0, rate=1), "rate", -1),
        (ledger.PaceEntry(at=AT, first=1, due_us=0, rate=1), "first", 0),
    ],
)
def test_refuses_wrong_values(entry: LineStruct, field: str, value: Any) -> None:
    """A line with a value that the format does not allow is malformed."""
    with pytest.raises(MalformedLine):
        ledger.codec.decode(seal(msgspec.json.encode(fields(entry) | {field: value}), FIRST)[0])
