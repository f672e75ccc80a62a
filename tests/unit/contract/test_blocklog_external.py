"""Tests of the lines of an external feed's block log."""

from __future__ import annotations

import msgspec
import pytest

from services.contract import blocklog
from services.contract.errors import LineError
from services.contract.feed_description import FeedDescription
from services.contract.jsonl import FIRST, fields, seal

BLOCK = blocklog.ExternalBlock(
    run="20261122T073000Z", client="client-1", session=1, block=1, positions=(1, 2), first=0, last=0, count=2,
    unsequenced=1, closed_by="count", started_at="2026-11-22T07:30:00.000000Z",
    ended_at="2026-11-22T07:30:00.000000Z", duration_ns=0, idle_ns=0, digest="x00000000",
    messages=[
        blocklog.ExternalMessage(0, "2026-11-22T07:30:00.000000Z", -5, None, msgspec.Raw(b'{"seq":0}')),
        blocklog.ExternalMessage(None, "2026-11-22T07:30:00.000000Z", None, None, msgspec.Raw(b'"hi"'), form="text"),
    ],
)  # fmt: skip
OPEN = blocklog.OpenLine(
    run=BLOCK.run, client=BLOCK.client, session=1, segment=1, instance="i", fence=0, block_size=2, fsync="block",
    after=0, boot="b", host="h", software="s", opened_at=BLOCK.started_at,
    external=FeedDescription(url="wss://feed.example"),
)  # fmt: skip
CONNECTION = blocklog.ConnectionLine(
    run=BLOCK.run, client=BLOCK.client, session=1, connection=1, event="opened", at=BLOCK.started_at, connected=True
)
END = blocklog.ExternalEndLine(reason="finished", block_count=1, message_count=2, byte_count=2, sha256="")


def test_a_block_survives_its_line() -> None:
    """A line is decoded to the value that was encoded; an unknown field is null."""
    line, _ = blocklog.codec.encode(BLOCK, FIRST)

    assert BLOCK == blocklog.codec.decode(line)[1]
    assert b'"clock_offset_us":null,"clock_error_us":null' in line


def test_counts_that_are_not_known_are_not_in_the_line() -> None:
    """A line has the counts of passed-over messages and of missing keys and times only if they are known."""
    counted = msgspec.structs.replace(BLOCK, without_key=0, without_time=1, ignored=2, pings=0)
    names = b"without_key", b"without_time", b"ignored", b"pings"
    line, known = (blocklog.codec.encode(block, FIRST)[0] for block in (BLOCK, counted))

    assert ([False] * 4, [True] * 4) == ([name in line for name in names], [name in known for name in names])
    assert counted == blocklog.codec.decode(known)[1]


def test_numbers_beyond_2_to_the_53rd_are_texts_in_the_line() -> None:
    """Numbers that JSON readers may round are written as texts, and read as integers."""
    high = 2**63
    message = msgspec.structs.replace(BLOCK.messages[0], seq=high + 1, first_seq=high, prev_seq=high - 1)
    block = msgspec.structs.replace(BLOCK, first=high, last=high + 1, missing=[(high, high)], messages=[message])
    line, _ = blocklog.codec.encode(block, FIRST)

    assert block == blocklog.codec.decode(line)[1]
    assert b'"first":"%d","last":"%d"' % (high, high + 1) in line
    assert b'"missing":[["%d","%d"]]' % (high, high) in line
    assert b'"seq":"%d"' % (high + 1) in line
    assert b'"first_seq":"%d","prev_seq":"%d"' % (high, high - 1) in line


def test_lines_have_the_version_of_their_feed() -> None:
    """Every line of an external feed has version 2, every line of the own feed version 1."""
    for line in (BLOCK, OPEN, END, CONNECTION):
        assert b'"v":2,' in blocklog.codec.encode(line, FIRST)[0]
    assert b'"v":1,' in blocklog.codec.encode(msgspec.structs.replace(OPEN, external=None), FIRST)[0]


@pytest.mark.parametrize("line", [BLOCK, OPEN, CONNECTION], ids=["block", "open", "connection"])
@pytest.mark.parametrize("version", [1, 3])
def test_a_line_with_another_version_is_refused(line: blocklog.LogLine, version: int) -> None:
    """A line of an external feed is not accepted as one of the own feed, nor of a later version."""
    text, _ = seal(msgspec.json.encode(fields(line) | {"v": version}), FIRST)

    with pytest.raises(LineError):
        blocklog.codec.decode(text)


def test_whether_a_block_is_new_is_only_stated_where_it_is_certain() -> None:
    """A block without numbers may be held already."""
    assert not BLOCK.begins_after(0)
    assert msgspec.structs.replace(BLOCK, first=7).begins_after(6)
    assert not msgspec.structs.replace(BLOCK, first=None).begins_after(6)
