"""Tests of reading texts that are nearly JSON."""

from __future__ import annotations

import json
import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.client.external.lenient_json import decode, is_beginning, rows


@pytest.mark.parametrize(
    "text",
    [
        b'\xef\xbb\xbf{"seq":5}', b'{"seq":5}\0', b'\0\xef\xbb\xbf \x1e{"seq":5}\x1e\0\0', b'{"seq":5}\n\xef\xbb\xbf',
        b'{"seq":5,"a":NaN}', b'{"seq":5,"a":-Infinity}', b'{"seq":5,"a":[1e400,-1E+999]}', b'{"seq":5,"a":"\\ud83d"}',
        b'{"seq":5,"a":"\x01\n"}', b'{"seq":5,"a":"\xe9"}', '{"seq":5}'.encode("utf-16"), '{"seq":5}'.encode("utf-32"),
        b'{"seq":5,"a":nan,"b":-inf,"c":+1,"d":.5,"e":0x1F,"f":undefined}', b'{"seq":5,"a":"\\x41 \\\\ \\""}',
        b'{"seq":5,}', b'{"seq":5,"a":[1,2, ],}', b"{'seq':5,'a':None,'b':True}", b"{seq:5}",
        b'{"seq":5,"a":' + b"9" * 5000 + b"}",
    ],
)  # fmt: skip
def test_the_number_of_an_odd_record_is_read(text: bytes) -> None:
    """Errors that most readers tolerate do not prevent the decoding of a record's values."""
    assert 5 == decode(text)["seq"]


@pytest.mark.parametrize(
    "text",
    [
        b"", b"\0", b"hello, world", b"\x00\xff", b'{"seq":5', b'{"seq":5}{"seq":6}', b'{"seq":5}\n{"seq":6}',
        b'{"seq":5} tail', b'"cut', b"[" * 100_000, b'{"seq" 5}', b"\xff\xfe\x00",
    ],
)  # fmt: skip
def test_ambiguous_texts_are_refused(text: bytes) -> None:
    """Two records in one text, a truncated record and a text that is not JSON raise an error."""
    with pytest.raises(ValueError, match=r"."):
        decode(text)


def test_numbers_beyond_a_float_are_infinite() -> None:
    """Values beside the tolerated errors are decoded correctly."""
    assert [math.inf, -math.inf] == decode(b"[1e400,-Infinity]")


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Any bytes are either decoded or raise ValueError."""
    try:
        decode(data)
    except ValueError:
        return


@pytest.mark.parametrize("piece", [b'"\\"', b"'\\'", b'["', b",  ", b'"', b"{'", b"\\", b'"\\\\', b"[ ,"])
def test_no_text_takes_long(piece: bytes) -> None:
    """The time for a hostile text grows linearly with its length."""
    began = time.process_time()
    for text in (b'{"' + piece * (2**17 // len(piece)), b"[" + piece * (2**17 // len(piece))):
        with pytest.raises(ValueError, match=r"."):
            decode(text)
        for path in ((), ("a", 0)):
            try:
                rows(text, path)
            except ValueError:
                continue

    assert time.process_time() - began < 5


def test_the_items_of_a_list_are_returned_unchanged() -> None:
    """Every item at the end of a path is returned unchanged, with any characters in its strings."""
    text = b'\xef\xbb\xbf["event", {"rows":[0], "x":"[{,", "rows" : [ {"a":NaN} , "]\\",", [1,[2]],\n5, ]}, 7]\0'

    assert [b'{"a":NaN}', b'"]\\","', b"[1,[2]]", b"5"] == rows(text, (1, "rows"))
    assert [] == rows(b"[ ]", ())
    with pytest.raises(ValueError, match="nothing at 'data'"):
        rows(text, (1, "data"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(st.lists(JSON, max_size=6), st.sampled_from([None, 2]), st.text(max_size=5))
def test_items_are_those_of_the_list(items: list[object], indent: int | None, name: str) -> None:
    """There is one text for each item of a list, and it decodes to that item."""
    text = json.dumps({"first": [1], name: [0, items]}, indent=indent).encode()
    found = rows(text, (name, 1))

    assert len(found) == len(items)
    assert repr(items) == repr([json.loads(one) for one in found])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'{"seq":1,"x":', True),
        (b'{"seq":1,"x":[1]', True),
        (b'{"x":"ab{}', True),
        (b'\xef\xbb\xbf{"a"', True),
        (b'{"seq":1}', False),
        (b'{"seq":1,{"seq":2}', False),
        (b'{"x":"ab{"seq":2}', False),
        (b"[" * 100_000, False),
        (b"hello", False),
    ],
)
def test_the_beginning_of_json_is_recognised(text: bytes, expected: bool) -> None:
    """A text is a beginning of JSON if nothing but its end is missing."""
    assert expected == is_beginning(text)


@given(
    st.recursive(st.integers() | st.text(max_size=4), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
)
def test_every_part_of_an_object_up_to_its_end_is_a_beginning(value: object) -> None:
    """JSON that is cut off right after any string, list or object may go on."""
    text = json.dumps({"x": value})
    for end in range(1, len(text) - 1):
        if text[end - 1] in '"]}':
            assert is_beginning(text[:end].encode())


@pytest.mark.parametrize(("text", "value"), [(b"000017", "000017"), (b" 0x1B4\n", "0x1B4"), (b"0", 0), (b"17", 17)])
def test_a_number_by_itself_may_be_written_otherwise(text: bytes, value: object) -> None:
    """A line of another format may have a number with leading zeros, or a hexadecimal one."""
    assert value == decode(text)
