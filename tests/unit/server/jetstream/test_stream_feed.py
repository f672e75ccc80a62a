"""Tests of a feed that is made of the messages of a stream."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contract.scalars import digest, digest_text
from services.contract.wire import MAX_RECORD
from services.runtime.errors import UnusableStream
from services.server.feed.batch_cache import BatchCache
from services.server.feed.schedule import RateSegment, Schedule
from services.server.jetstream.client import StreamState
from services.server.jetstream.stream_feed import DELETED, StreamFeed, record_of
from tests.poll import poll_until
from tests.unit.server.jetstream.fakes import ADDRESS, FakeClient, FakeStream


@pytest.mark.parametrize(
    ("message", "record"),
    [
        (b'{"b": 1, "a": 1.50}', b'{"b": 1, "a": 1.50}'),
        (b'{\n "a": [1,\r\n 2.0]\n}\n', b'{"a":[1,2.0]}'),
        (b" 7 ", b"7"),
        (b"", b'""'),
        (b"two\nlines", b'"two\\nlines"'),
        (b"{broken", b'"{broken"'),
        (b"\xff\x00", b'{"base64":"/wA="}'),
        (b"[" * 100_000, b'{"omitted_bytes":100000,"digest":"xc2daa3f3"}'),
    ],
)
def test_a_message_becomes_one_record(message: bytes, record: bytes) -> None:
    """JSON stays as it is, without line breaks; text, bytes and messages that are too big become JSON."""
    if b"omitted" in record:
        record = record.replace(b"xc2daa3f3", digest_text(digest(message)).encode())

    assert record == record_of(message)


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode) | st.recursive(
    st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
).map(lambda value: msgspec.json.format(msgspec.json.encode(value), indent=2)))  # fmt: skip
def test_every_message_is_one_line_of_json(message: bytes) -> None:
    """Any message becomes valid JSON on one line, and JSON keeps its value."""
    record = record_of(message)

    assert not {b"\n", b"\r"} & {record[at : at + 1] for at in range(len(record))}
    assert len(record) < MAX_RECORD
    value = msgspec.json.decode(record)
    try:
        expected = msgspec.json.decode(message)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return
    assert expected == value


@pytest.fixture
def stream() -> FakeStream:
    """A stream with five messages, of which the third one was deleted."""
    made = FakeStream()
    for number in range(1, 6):
        made.store("test.x", b"%d" % number)
    del made.messages[2]
    made.state = StreamState("2026", 1, is_readable=True)
    return made


@pytest.fixture
def feed(stream: FakeStream, tmp_path: Path) -> Iterator[StreamFeed]:
    """A feed of four records, from the second message on."""
    made = StreamFeed(FakeClient(stream, ADDRESS._replace(first=2)), tmp_path, total=4)
    made.start()
    yield made
    made.close()


def test_numbers_are_those_of_the_stream(feed: StreamFeed, tmp_path: Path) -> None:
    """Record n is message from + n - 1, a deleted message included, and the file leaves no trace."""
    poll_until(lambda: feed.available == 4, "all records are read", 5, 0.01)

    assert b"2\n" + DELETED + b"\n4\n5\n" == feed.lines(1, 4)
    assert b"4\n" == feed.lines(3, 3)
    assert digest_text(digest(b"2\n4\n")) == feed.digest(1, 3, [(2, 2)])
    assert "stream:test" == feed.schema
    assert feed.identity.endswith("-from2")
    assert [] == list(tmp_path.iterdir())


def test_a_gap_of_any_size_costs_no_memory(stream: FakeStream, tmp_path: Path) -> None:
    """A message whose sequence is far ahead fills the feed with deleted records up to its end."""
    stream.messages.append(stream.messages[-1]._replace(seq=2**62))
    feed = StreamFeed(FakeClient(stream), tmp_path, total=25_000)
    feed.start()
    try:
        poll_until(lambda: feed.available == 25_000, "the feed is complete", 10, 0.01)
        assert b"5\n" + DELETED + b"\n" == feed.lines(5, 6)
        assert DELETED + b"\n" == feed.lines(25_000, 25_000)
    finally:
        feed.close()


def test_batches_are_made_of_it(feed: StreamFeed) -> None:
    """The batches that clients receive have the records of the stream and their digest."""
    poll_until(lambda: feed.available == 4, "all records are read", 5, 0.01)
    schedule = Schedule(4)
    schedule.add(RateSegment(1, 0, 0))
    batch = BatchCache(feed).batch(3, 4, schedule)

    assert (b"4\n5\n", digest_text(digest(b"4\n5\n"))) == (batch.body, batch.crc)


def test_records_come_as_they_are_published(stream: FakeStream, tmp_path: Path) -> None:
    """A record is available as soon as its message is in the stream, and not before."""
    feed = StreamFeed(FakeClient(stream), tmp_path, total=6)
    feed.start()
    try:
        poll_until(lambda: feed.available == 5, "what is there is read", 5, 0.01)
        stream.messages.append(stream.messages[-1]._replace(seq=6, data=b"6"))
        poll_until(lambda: feed.available == 6, "the new message is read", 5, 0.01)
        assert b"6\n" == feed.lines(6, 6)
    finally:
        feed.close()


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (StreamState("2026", 9, is_readable=True), r"number 9, not 1; end the setting with \?from=9"),
        (StreamState("2026", 1, is_readable=False), "does not allow direct reads"),
    ],
)
def test_an_unusable_stream_is_refused(stream: FakeStream, tmp_path: Path, state: StreamState, expected: str) -> None:
    """A stream without its beginning, or without direct reads, is refused with the remedy."""
    stream.state = state
    feed = StreamFeed(FakeClient(stream), tmp_path, total=6)

    with pytest.raises(UnusableStream, match=expected):
        feed.start()
    feed.close()
