"""Tests of reading a foreign server's frames."""

from __future__ import annotations

import base64
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.client.foreign.read import Heard, Reading
from services.contract.fields import MAX_INTEGER
from services.contract.path import Path

PLAIN = Reading(seq=Path("$.seq"), time=Path("$.ts"), key=Path("$.k"))


def read(text: str | bytes, reading: Reading = PLAIN, *, binary: bool = False) -> list[Heard]:
    """Read one frame."""
    return reading.read(text.encode() if isinstance(text, str) else text, binary=binary)


def test_a_record_has_its_facts() -> None:
    """Number, key and time are found at their places; the record is what came, byte for byte."""
    text = '{"seq": 7,  "k":"BTC", "ts":"2026-11-22T07:30:00Z"}'

    assert [Heard(text.encode(), None, 7, "BTC", 1_795_332_600 * 10**9)] == read(text)


def test_newlines_inside_a_record_become_spaces() -> None:
    """A record that was written over several lines stands on one, and means the same."""
    [heard] = read('{\r\n "seq": 1,\n "text": "a\\nb"\n}')

    assert b"\n" not in heard.record
    assert {"seq": 1, "text": "a\nb"} == msgspec.json.decode(heard.record)


def test_a_list_is_several_records() -> None:
    """Each item of a message that is a list is a record, with its own bytes."""
    assert [b'{"seq":1}', b'{ "seq":2 }'] == [one.record.strip() for one in read('[{"seq":1}, { "seq":2 } ]')]


def test_records_lie_where_their_path_says() -> None:
    """With FEED_RECORDS the list is sought inside the message."""
    found = read('["event",{"rows":[{"seq":1},{"seq":2}]}]', Reading(seq=Path("$.seq"), records=Path("$[1].rows")))

    assert [1, 2] == [one.seq for one in found]


def test_frames_of_other_protocols_are_matched() -> None:
    """With FEED_MATCH every match in a frame is a record, whatever stands around it."""
    reading = Reading(seq=Path("$.n"), match=re.compile(rb"MSG [^\r]*\r\n(.*?)\r\n", re.DOTALL))
    frame = b'MSG a 1 8\r\n{"n":1}\r\nMSG a 1 8\r\n{"n":2}\r\n'

    assert [1, 2] == [one.seq for one in read(frame, reading, binary=True)]
    assert "the frame does not match" == read(b"PING\r\n", reading)[0].trouble


@pytest.mark.parametrize(
    ("text", "seq", "trouble"),
    [
        ('{"seq":"17"}', 17, "a number written as a text"),
        ('{"seq":4.0}', 4, None),
        ('{"seq":0}', 0, None),
        ('{"seq":4.5}', None, "4.5 at $.seq is no whole number"),
        ('{"seq":"x"}', None, '"x" at $.seq is no whole number'),
        ('{"seq":true}', None, "true at $.seq is no whole number"),
        ('{"seq":null}', None, "null at $.seq is no whole number"),
        ('{"seq":-1}', None, "-1 at $.seq is no number from 0 to 2^53 - 1"),
        (f'{{"seq":{MAX_INTEGER + 1}}}', None, f"{MAX_INTEGER + 1} at $.seq is no number from 0 to 2^53 - 1"),
        ('{"n":1}', None, "nothing at $.seq"),
        ("5", None, "nothing at $.seq"),
        ("[]", None, "an empty list"),
    ],
)
def test_numbers_that_cannot_be_used_are_told(text: str, seq: int | None, trouble: str | None) -> None:
    """A record without a usable number keeps its text and says why."""
    [heard] = read(text)

    assert (text.encode(), seq, trouble) == (heard.record, heard.seq, heard.trouble)


def test_without_seq_no_number_is_missed() -> None:
    """A feed without numbers has none, and that is no trouble."""
    assert [Heard(b'{"a":1}')] == read('{"a":1}', Reading())


def test_without_paths_no_json_is_missed() -> None:
    """A feed of plain texts, of which nothing is to be found in a record, is no trouble either."""
    assert [Heard(b'"tick"', "text")] == read("tick", Reading())


def test_an_empty_list_is_told_from_none() -> None:
    """Where the list of records ought to be there is an empty one, or none."""
    reading = Reading(records=Path("$.data"))

    assert "an empty list at $.data" == read('{"data":[]}', reading)[0].trouble
    assert "no list at $.data" == read('{"data":{}}', reading)[0].trouble


def test_text_that_is_no_json_becomes_json() -> None:
    """What is not JSON is logged as a JSON text of itself."""
    assert [Heard(b'"what?"', "text", trouble="not JSON")] == read("what?")


def test_bytes_become_base64() -> None:
    """A binary frame that is not JSON, and a text that is no UTF-8, are logged as base64."""
    raw = b"\x10\xff\x00"

    assert [Heard(b'"%b"' % base64.b64encode(raw), "binary", trouble="not JSON")] == read(raw, binary=True)
    assert "binary" == read(raw)[0].form


def test_a_key_is_a_text() -> None:
    """Whatever stands at the key's place is known by its text, of bounded length; null is no key."""
    assert ["5", None, "x" * 120] == [
        read(text)[0].key for text in ('{"k":5}', '{"k":null}', '{"k":"%s"}' % ("x" * 200))
    ]


@given(st.binary(max_size=200), st.booleans())
def test_nothing_that_comes_is_lost(data: bytes, binary: bool) -> None:
    """Any bytes give one record at least, each of which is JSON on one line."""
    found = PLAIN.read(data, binary=binary)

    assert found
    for heard in found:
        msgspec.json.decode(heard.record)
        assert b"\n" not in heard.record
