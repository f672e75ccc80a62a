"""Tests of reading an external server's frames."""

from __future__ import annotations

import base64
import json
import math
import re
import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.client.external.decoder import DecodedRecord, RecordPaths
from services.client.external.external_batch import ExternalBatch
from services.contract.block_text import longest_record
from services.contract.blocklog import ExternalMessage
from services.contract.json_path import JsonPath
from services.contract.sequence_text import integer
from tests.unit.client.fakes import START_NS

NUMBERED = RecordPaths(seq=JsonPath("$.seq"))
PLAIN = RecordPaths(seq=JsonPath("$.seq"), time=JsonPath("$.ts"), key=(JsonPath("$.k"),))


def read(text: str | bytes, reading: RecordPaths = PLAIN, *, binary: bool = False) -> list[DecodedRecord]:
    """Read one frame."""
    return reading.read(text.encode() if isinstance(text, str) else text, binary=binary)


def test_a_record_has_its_facts() -> None:
    """Number, key and time are found at their paths; the record has the received bytes."""
    text = '{"seq": 7,  "k":"BTC", "ts":"2026-11-22T07:30:00Z"}'

    assert [DecodedRecord(text.encode(), None, 7, "BTC", 1_795_332_600 * 10**9)] == read(text)


def test_newlines_inside_a_record_become_spaces() -> None:
    """A record that was written over several lines is logged on one, with the same meaning."""
    [heard] = read('{\r\n "seq": 1,\n "text": "a\\nb"\n}')

    assert b"\n" not in heard.record
    assert {"seq": 1, "text": "a\nb"} == msgspec.json.decode(heard.record)


@given(st.text(" \t\r\n", max_size=4), st.text(" \t\r\n", max_size=4))
def test_white_space_around_a_record_is_in_no_digest(before: str, after: str) -> None:
    """Readers of a log take JSON without the white space around it, and compute the same digest as the client."""
    batch = ExternalBatch(1, read(f'{before}{{"seq": 1}}{after}'), 10**18)
    [logged] = msgspec.json.decode(b"[" + batch.text()[:-1] + b"]", type=list[ExternalMessage])

    assert (b'{"seq": 1}\n', b'{"seq": 1}') == (batch.lines(), bytes(logged.record))


def test_a_list_is_several_records() -> None:
    """Each item of a message that is a list is a record, with its own bytes."""
    assert [b'{"seq":1}', b'{ "seq":2 }'] == [one.record.strip() for one in read('[{"seq":1}, { "seq":2 } ]')]


def test_records_lie_where_their_path_says() -> None:
    """With FEED_RECORDS the list is read from inside the message."""
    found = read(
        '["event",{"rows":[{"seq":1},{"seq":2}]}]', RecordPaths(seq=JsonPath("$.seq"), records=JsonPath("$[1].rows"))
    )

    assert [1, 2] == [one.seq for one in found]


def test_frames_of_other_protocols_are_matched() -> None:
    """With FEED_MATCH every match in a frame is a record, and the text around it is ignored."""
    reading = RecordPaths(seq=JsonPath("$.n"), match=re.compile(rb"MSG [^\r]*\r\n(.*?)\r\n", re.DOTALL))
    frame = b'MSG a 1 8\r\n{"n":1}\r\nMSG a 1 8\r\n{"n":2}\r\n'

    assert [1, 2] == [one.seq for one in read(frame, reading, binary=True)]
    assert "the frame does not match" == read(b"PING\r\n", reading)[0].remark


@pytest.mark.parametrize(
    ("text", "seq", "remark"),
    [
        ('{"seq":"17"}', 17, "a number written as a text"),
        ('{"seq":4.0}', 4, None),
        ('{"seq":0}', 0, None),
        ('{"seq":4.5}', None, "4.5 at $.seq is no whole number"),
        ('{"seq":"x"}', None, '"x" at $.seq is no whole number'),
        ('{"seq":true}', None, "true at $.seq is no whole number"),
        ('{"seq":null}', None, "null at $.seq is no whole number"),
        ('{"seq":-1}', None, "-1 at $.seq is no number from 0 to 2^64 - 1"),
        (f'{{"seq":{2**53}}}', 2**53, None),
        (f'{{"seq":"{2**64 - 1}"}}', 2**64 - 1, "a number written as a text"),
        (f'{{"seq":{2**64}}}', None, f"{2**64} at $.seq is no number from 0 to 2^64 - 1"),
        ('{"n":1}', None, "nothing at $.seq"),
        ("5", None, "nothing at $.seq"),
        ("[]", None, "an empty list"),
    ],
)
def test_unusable_numbers_have_a_remark(text: str, seq: int | None, remark: str | None) -> None:
    """A record without a usable number keeps its text and has a remark with the reason."""
    [heard] = read(text, NUMBERED)

    assert (text.encode(), seq, remark) == (heard.record, heard.seq, heard.remark)


def test_without_seq_no_number_is_missed() -> None:
    """A record of a feed without numbers has no number and no remark."""
    assert [DecodedRecord(b'{"a":1}')] == read('{"a":1}', RecordPaths())


def test_without_paths_no_json_is_missed() -> None:
    """A record of a feed of plain texts, without any path, has no remark."""
    assert [DecodedRecord(b'"tick"', "text")] == read("tick", RecordPaths())


def test_an_empty_list_differs_from_no_list() -> None:
    """A message with an empty list at the path, or without a list, is one record with a remark."""
    reading = RecordPaths(records=JsonPath("$.data"))

    assert "an empty list at $.data" == read('{"data":[]}', reading)[0].remark
    assert "no list at $.data" == read('{"data":{}}', reading)[0].remark


def test_text_that_is_no_json_becomes_json() -> None:
    """A frame that is not JSON is logged as a JSON text."""
    assert [DecodedRecord(b'"what?"', "text", remark="not JSON")] == read("what?")


def test_bytes_become_base64() -> None:
    """A binary frame that is not JSON, and a text that is not UTF-8, are logged as base64."""
    raw = b"\x10\xff\x00"

    assert [DecodedRecord(b'"%b"' % base64.b64encode(raw), "binary", remark="not JSON")] == read(raw, binary=True)
    assert "binary" == read(raw)[0].form


def test_a_key_is_a_text() -> None:
    """A key of any type is represented by a text; null is no key."""
    assert ["5", None, "x" * 200] == [
        read(text)[0].key for text in ('{"k":5}', '{"k":null}', '{"k":"%s"}' % ("x" * 200))
    ]


@given(st.binary(max_size=200), st.booleans())
def test_no_received_byte_is_lost(data: bytes, binary: bool) -> None:
    """Any bytes give at least one record, and each record is JSON on one line."""
    found = PLAIN.read(data, binary=binary)

    assert found
    for heard in found:
        check_strict(heard.record)


@pytest.mark.parametrize(
    ("text", "binary", "form"),
    [
        ('{"seq":5,"k":"a","ts":1795332600,"x":NaN}', False, "text"),
        ('{"seq":5,"k":"a","ts":1795332600,"x":"\\ud83d"}', False, "text"),
        ('{"seq":5,"k":"a","ts":1795332600,"x":[1e400]}', False, "text"),
        ('\ufeff{"seq":5,"k":"a","ts":1795332600}', False, "text"),
        ('\ufeff{"seq":5,"k":"a","ts":1795332600}', True, "binary"),
        ('{"seq":5,"k":"a","ts":1795332600}\0', False, "text"),
        ('{"seq":5,"k":"a","ts":1795332600,"x":%s}' % ("[" * 101 + "]" * 101), False, "text"),
    ],
)
def test_a_record_that_is_no_strict_json_has_its_facts(text: str, binary: bool, form: str) -> None:
    """A record that is not strict JSON is logged as a text, with its number, key and time."""
    [heard] = read(text, binary=binary)

    assert (form, 5, "a", 1_795_332_600 * 10**9, "not strict JSON") == heard[1:6]
    shown = json.loads(heard.record)
    assert text.encode() == (base64.b64decode(shown) if binary else shown.encode())
    check_strict(heard.record)


def test_strict_json_is_logged_unchanged() -> None:
    """Numbers that only Python keeps exact, equal names and deep nesting up to a bound are JSON for every reader."""
    for text in (
        '{"seq":1,"x":-0,"y":%s}' % ("9" * 100),
        '{"seq":1,"seq":1}',
        '{"seq":1,"x":%s}' % ("[" * 99 + "]" * 99),
    ):
        assert [DecodedRecord(text.encode(), None, 1)] == read(text, NUMBERED)


def test_in_a_list_only_the_odd_records_are_texts() -> None:
    """A list that is not strict JSON is split nevertheless, and its strict records stay JSON."""
    found = read('[{"seq":1}, {"seq":2,"x":Infinity}, {"seq":3,"x":"\\udc00"},\n{"seq":4}]')
    within = read(
        '{"rows":[{"seq":8,"x":NaN},{"seq":9}]}\0',
        RecordPaths(seq=JsonPath("$.seq"), records=JsonPath("$.rows")),
        binary=True,
    )

    assert [(None, 1), ("text", 2), ("text", 3), (None, 4)] == [(one.form, one.seq) for one in found]
    assert b'{"seq":4}' == found[3].record
    assert [("binary", 8), (None, 9)] == [(one.form, one.seq) for one in within]


def test_an_unreadable_record_has_a_form_and_no_number() -> None:
    """A text that the lenient reader cannot decode is logged as a text without a number."""
    for text in ('{"seq":5', '{"seq":5}{"seq":6}', "[" * 5000):
        [heard] = read(text)

        assert ("text", None, "not JSON") == (heard.form, heard.seq, heard.remark)


def test_half_a_surrogate_pair_in_a_key_can_be_written() -> None:
    """A key that cannot be encoded in UTF-8 is represented by its escape sequence."""
    [heard] = read('{"seq":5,"k":"x\\ud83d"}')

    assert "x\\ud83d" == heard.key


ODD = st.recursive(
    st.none()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None, min_codepoint=0, max_codepoint=0x11000), max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(ODD, st.integers(0, 2**64 - 1), st.booleans(), st.sampled_from(["", "\ufeff", "\0", " "]))
def test_the_number_is_read_from_any_record(value: object, seq: int, binary: bool, around: str) -> None:
    """A record with any value that Python encodes as JSON keeps its number, and is logged as strict JSON."""
    for text in (json.dumps({"x": value, "seq": seq}), json.dumps([{"seq": seq, "x": value}])):
        [heard] = read(around + text + around, NUMBERED, binary=binary)

        assert seq == heard.seq
        check_strict(heard.record)


@given(
    ODD | st.integers(-(10**400), 10**400),
    ODD | st.integers(-(10**400), 10**400) | st.from_regex(r"[0-9:TZ.+-]{1,30}"),
    ODD,
)
def test_values_of_any_type_raise_no_error(seq: object, ts: object, key: object) -> None:
    """Any values at the paths of number, time and key give a message that a reader can decode."""
    found = read(json.dumps({"seq": seq, "ts": ts, "k": key}))
    text = ExternalBatch(1, found, START_NS).text()
    [message] = msgspec.json.decode(b"[" + text[:-1] + b"]", type=list[ExternalMessage])

    assert found[0].seq == message.with_numbers(integer).seq
    assert found[0].key == message.key


def check_strict(record: bytes) -> None:
    """Assert that a record is JSON on one line for the strictest reader."""

    def refuse(what: str) -> float:
        raise ValueError(what)

    def finite(digits: str) -> float:
        value = float(digits)
        assert math.isfinite(value)
        return value

    assert b"\n" not in record
    value = json.loads(record.decode("utf-8"), parse_constant=refuse, parse_float=finite)
    json.dumps(value, ensure_ascii=False).encode("utf-8")


def test_a_long_text_of_escapes_is_logged_as_base64() -> None:
    """A text that would be far longer as a JSON text is logged as base64, so that its line is never too long."""
    long, short = b"\x01" * 100_000, b"\x01" * 10_000
    found = [RecordPaths().read(data, binary=False)[0] for data in (long, short)]

    assert ["binary", "text"] == [one.form for one in found]
    assert len(found[0].record) == longest_record(len(long)) < 6 * len(long)


def test_a_message_that_is_a_list_may_be_one_record() -> None:
    """With FEED_LIST=record number and time are found in the list itself, also from its end."""
    reading = RecordPaths(seq=JsonPath("$[-2]"), time=JsonPath("$[-1]"), list_is_record=True)
    text = "[11,[100.5,2,0.25],7,1795332600000]"

    assert [DecodedRecord(text.encode(), None, 7, None, 1_795_332_600 * 10**9)] == read(text, reading)
    assert "nothing at $[-2]" == read("[1]", reading)[0].remark
    assert [(7, "text")] == [(one.seq, one.form) for one in read("[11,NaN,7,0]", reading)]


def test_values_beside_the_list_of_records_are_of_every_record() -> None:
    """A path that begins at the message gives all records of a list the same key and time."""
    reading = RecordPaths(
        seq=JsonPath("$.i"),
        key=JsonPath.several("$$.arg.channel, $$.arg.instId"),
        time=JsonPath("$$.ts"),
        records=JsonPath("$.data"),
    )
    text = '{"arg":{"channel":"books","instId":"BTC-USDT"},"ts":1795332600000,"data":[{"i":1},{"i":2}%s]}'

    expected = [(1, "books|BTC-USDT", 1_795_332_600 * 10**9), (2, "books|BTC-USDT", 1_795_332_600 * 10**9)]
    assert expected == [(one.seq, one.key, one.sent_ns) for one in read(text % "", reading)]
    assert expected == [(one.seq, one.key, one.sent_ns) for one in read(text % ',{"i":NaN}', reading)[:2]]
    assert {None} == {one.remark for one in read(text % "", reading)}


@pytest.mark.parametrize("rows", ['[{"seq":1},{"seq":2}]', '[{"seq":1,"x":NaN},{"seq":2}]'])
def test_records_may_be_in_a_list_in_a_text(rows: str) -> None:
    """A list of records inside a JSON string is a list of records if it is strict JSON, and else one record."""
    found = read(json.dumps({"data": rows}), RecordPaths(seq=JsonPath("$.seq"), records=JsonPath("$.data")))

    assert ([1, 2] if "NaN" not in rows else [None]) == [one.seq for one in found]
    assert ["no list at $.data"] * ("NaN" in rows) == [one.remark for one in found if one.remark]


def test_records_are_found_from_the_end_of_a_list() -> None:
    """A path of the list of records may count from the end, in JSON and in a text that is nearly JSON."""
    reading = RecordPaths(seq=JsonPath("$.seq"), records=JsonPath("$[-1]"))

    assert [[1, 2]] * 2 == [
        [one.seq for one in read(text % '[{"seq":1},{"seq":2}]', reading)] for text in ("[0,%s]", "[NaN,%s]")
    ]


@pytest.mark.parametrize(
    ("text", "remark"),
    [
        ('{"seq":1,"ts":1795332600}', "nothing at $.k"),
        ('{"seq":1,"k":null,"ts":1795332600}', "nothing at $.k"),
        ('{"seq":1,"k":"a"}', "nothing at $.ts"),
        ('{"seq":1,"k":"a","ts":"soon"}', '"soon" at $.ts is no time'),
        ('{"k":"a"}', "nothing at $.seq"),
    ],
)
def test_a_missing_key_or_time_has_a_remark(text: str, remark: str) -> None:
    """A record without a key or time where the operator named a path says so."""
    assert [remark] == [one.remark for one in read(text)]


@pytest.mark.parametrize(
    ("frame", "seq"),
    [
        (b'{"seq":5,"x":NaN}', 5),
        (b'{"seq":5,"x":-Infinity}', 5),
        (b'{"seq":5,"x":"\\ud83d"}', 5),
        (b'{"seq":5,"x":1e400}', 5),
        (b'\xef\xbb\xbf{"seq":5}', 5),
        (b'{"seq":5}\0', 5),
        (b'{"seq":5,"x":"\xff"}', 5),
        (b'{"seq":4,"seq":5}', 5),
        ('{"seq":5}'.encode("utf-16"), 5),
        ('{"seq":5}'.encode("utf-16-le"), 5),
        (b'{"seq":NaN}', None),
        (b'{"seq":1e400}', None),
        (b'{"seq":5', None),
    ],
)
def test_an_odd_record_is_read_or_called_unreadable(frame: bytes, seq: int | None) -> None:
    """A text that lenient readers understand has its number; any other text has a form and no number."""
    [found] = read(frame, NUMBERED, binary=True)

    assert seq == found.seq
    assert seq is not None or found.form is not None


def test_compressed_records_have_a_proposal() -> None:
    """Data that is no JSON, but compressed JSON, names the setting that would decode it."""
    [found] = read(zlib.compress(b'{"seq":5}'), binary=True)

    assert "not JSON, but probably deflate: set FEED_ENCODING=deflate" == found.remark


def test_ranges_and_links_are_read_and_logged() -> None:
    """The first number of a range and the number before are in the message; an absent one is not."""
    paths = RecordPaths(seq=JsonPath("$.u"), first=JsonPath("$.U"), previous=JsonPath("$.pu"))
    texts = (b'{"U":5,"u":9,"pu":4}', b'{"u":12,"pu":-1}', b'{"u":18446744073709551615,"pu":"18446744073709551614"}')
    records = [paths.read(text, binary=False)[0] for text in texts]
    batch = ExternalBatch(1, records, 0)
    messages = msgspec.json.decode(b"[" + batch.text()[:-1] + b"]")

    assert [(5, 4), (None, -1), (None, 2**64 - 2)] == [(record.first_seq, record.prev_seq) for record in records]
    assert [(5, 4), (None, -1), (None, str(2**64 - 2))] == [
        (message.get("first_seq"), message.get("prev_seq")) for message in messages
    ]
