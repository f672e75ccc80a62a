"""Tests of the lines of a foreign feed's block log."""

from __future__ import annotations

import msgspec
import pytest

from services.contract import blocklog, external_blocklog
from services.contract.errors import MalformedLine
from services.contract.jsonl import FIRST

BLOCK = external_blocklog.ExternalBlock(
    run="20261122T073000Z", client="client-1", session=1, block=1, heard=(1, 2), first=0, last=0, count=2,
    unsequenced=1, closed_by="count", started_at="2026-11-22T07:30:00.000000Z",
    ended_at="2026-11-22T07:30:00.000000Z", duration_ns=0, idle_ns=0, digest="x00000000",
    messages=[
        external_blocklog.ExternalMessage(0, "2026-11-22T07:30:00.000000Z", -5, msgspec.Raw(b'{"seq":0}')),
        external_blocklog.ExternalMessage(None, "2026-11-22T07:30:00.000000Z", None, msgspec.Raw(b'"hi"'), form="text"),
    ],
)  # fmt: skip


def test_a_block_survives_its_line() -> None:
    """What is written is read; what is not known is null."""
    line, _ = external_blocklog.codec.encode(BLOCK, FIRST)

    assert BLOCK == external_blocklog.codec.decode(line)[1]
    assert b'"clock_offset_us":null,"clock_error_us":null' in line


def test_readers_of_our_own_feed_refuse_it() -> None:
    """A foreign block is none of our own feed: it does not pass for one."""
    line, _ = external_blocklog.codec.encode(BLOCK, FIRST)
    with pytest.raises(MalformedLine):
        blocklog.codec.decode(line)


def test_whether_a_block_is_new_is_only_said_where_it_is_certain() -> None:
    """A block without numbers may be held already."""
    assert not BLOCK.begins_after(0)
    assert msgspec.structs.replace(BLOCK, first=7).begins_after(6)
    assert not msgspec.structs.replace(BLOCK, first=None).begins_after(6)


@pytest.mark.parametrize(("key", "beside"), [(None, 0), ("\x00" * 120, external_blocklog.BESIDE_KEY)])
def test_the_bound_on_a_line_holds(key: str | None, beside: int) -> None:
    """No message takes more bytes beside its record than the contract says, with a gap before each of them."""
    count, at = 1_000, "2026-11-22T07:30:00.000000Z"
    message = external_blocklog.ExternalMessage("1" + "9" * 19, at, -(2**63), msgspec.Raw(b""), key, "binary")
    gap = "1" + "9" * 19, "1" + "9" * 19
    message_size = len(msgspec.json.encode(message).replace(b'"record":', b'"transit_ns":null,"record":')) + 1
    gap_size = len(msgspec.json.encode(gap)) + 1

    assert message_size + gap_size <= external_blocklog.BESIDE_RECORD + beside
    assert count * (message_size + gap_size) < blocklog.longest_line(
        count, 0, 0, external_blocklog.BESIDE_RECORD + beside
    )
