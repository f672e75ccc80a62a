"""Tests of what the messages of a feed show beside proposals."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from services.client.feeds.feed_notes import binary_note, message_notes, number_notes
from services.client.feeds.json_columns import columns_of
from services.client.feeds.numbering import Numbering


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([{"type": "ping"}, {"n": 1}, {"n": 2}], 'the server sends pings: {"type":"ping"}; if it wants an answer'),
        ([{"heartbeat": 1}, {"heartbeat": 2}, {"type": "keep-alive"}], "all messages seem to be signs of life"),
        ([{"event": "error", "msg": "no"}], 'the server reports an error: {"event":"error","msg":"no"}'),
        ([{"event": "welcome"}], "hardly anything came: many feeds want a message first"),
    ],
)
def test_messages_say_it(values: list[Any], expected: str) -> None:
    """Pings, signs of life, errors and a mere greeting are named."""
    assert [expected] == [note[: len(expected)] for note in message_notes(values)]


def test_a_usual_feed_has_no_notes() -> None:
    """About records there is nothing to be noted."""
    values = [{"n": at} for at in range(9)]

    assert [] == list(message_notes(values))
    assert [] == list(number_notes(Numbering("one", "$.n", None, None, (), 9, 1.0), columns_of(values), values))


def test_names_that_vary() -> None:
    """Where the name of a record's part is the market, the number of one market is not taken for that of all."""
    values = [{"AB"[at % 2]: {"n": at // 2}} for at in range(20)]
    notes = list(number_notes(Numbering("one", "$.A.n", None, None, (), 10, 1.0), columns_of(values), values))

    assert "10 of 20 records have a number at $.A.n" == notes[0]
    assert "the names in the records vary (A, B), and" in notes[1]


def test_a_number_in_a_text() -> None:
    """A text with a number is named with settings that read it."""
    values = [{"id": f"evt-{at:04d}", "v": at * 7 % 5} for at in range(20)]

    assert any(
        """FEED_MATCH='"id": ?"evt-0*([0-9]+)' with FEED_SEQ='$'""" in note
        for note in number_notes(None, columns_of(values), values)
    )


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (msgspec.msgpack.encode({"n": 1, "t": 1795961230220}), "MessagePack, which is not read"),
        (b"\xff\xfe\x80\x01", "protobuf, MessagePack and CBOR are not read"),
        (b"hello", "no message is JSON"),
    ],
)
def test_what_cannot_be_read(message: bytes, expected: str) -> None:
    """Binary formats that are not supported are named."""
    assert expected in binary_note([message] * 3)
