"""Tests of frames that are read together."""

from __future__ import annotations

import pytest

from services.client.external.transport.batch_reader import BatchReader
from tests.unit.client.external.fakes import feed_settings

FRAMES = [b'{"seq":%d}' % seq for seq in range(10, 16)]


def reader(**changed: str) -> BatchReader:
    """Return a reader of a feed."""
    settings = feed_settings(**changed)
    return BatchReader(settings.frame_reader(), settings.ending)


@pytest.mark.parametrize(
    ("changed", "received", "count"),
    [
        ({}, 0, 6),
        ({"FEED_IGNORE": "nothing"}, 0, 6),
        ({"FEED_END": "last 13"}, 0, 3),
        ({"FEED_END": "last 13", "FEED_IGNORE": "nothing"}, 0, 3),
        ({"FEED_END": "messages 100"}, 95, 4),
        ({"FEED_END": 'message "seq":12'}, 0, 2),
        ({"FEED_PING": r'"seq":(14)', "FEED_PONG": r"\1"}, 0, 4),
    ],
)
def test_frames_are_read_up_to_one_that_needs_more(changed: dict[str, str], received: int, count: int) -> None:
    """The frame that ends the feed or has to be answered is read next, once."""
    made = reader(**changed)
    contents, handled = made.read_together(FRAMES, received, binary=False)

    assert count == handled == len(contents.records)
    assert (count < len(FRAMES)) == made.is_ahead
    if count < len(FRAMES):
        alone = made.read(FRAMES[count].decode())
        assert not made.is_ahead
        assert alone.answers or [10 + count] == [record.seq for record in alone.records]


def test_pings_and_ignored_messages_are_counted() -> None:
    """Messages that need no answer are counted together."""
    made = reader(FEED_PING="seq.:11", FEED_IGNORE="seq.:1[23]")
    contents, handled = made.read_together(FRAMES, 0, binary=False)

    assert (6, 1, 2) == (handled, contents.pings, contents.ignored)
    assert [10, 14, 15] == [record.seq for record in contents.records]


def test_a_message_goes_on_in_the_next_frame() -> None:
    """Frames that are read together are joined as if they came one by one."""
    made = reader(FEED_SPLIT=r"\n")
    contents, handled = made.read_together([b'{"seq":1}\n{"se', b'q":2}\n', b'{"seq":'], 0, binary=False)

    assert 3 == handled
    assert [1, 2] == [record.seq for record in contents.records]
    assert [b'"{\\"seq\\":"'] == [record.record for record in made.end().records]
