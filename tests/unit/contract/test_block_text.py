"""Tests of the text and the digest of a block's messages."""

from __future__ import annotations

import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contract import block_text, blocklog
from services.contract.block_text import block_digest, messages_text, records_digest
from services.contract.blocklog import OwnMessage
from services.contract.sequence_text import seq_text
from tests.unit.contract.strategies import records

MESSAGES = [
    OwnMessage(3, "2026-11-22T07:30:00.000003Z", 5, 4, msgspec.Raw(b'{"id":3,"name":"Zo\xc3\xab"}')),
    OwnMessage(1, "2026-11-22T07:30:00.000003Z", 7, 6, msgspec.Raw(b'{"id":1}')),
]


@given(
    st.integers(1, 2**50),
    st.lists(records, min_size=1, max_size=20),
    st.one_of(st.integers(-(2**50), 2**50), st.just(None)),
    st.integers(-(2**50), 2**50),
    st.data(),
)
def test_messages_formatted_at_once_are_those_encoded_one_by_one(
    first: int, lines: list[bytes], late: int | None, transit: int, data: st.DataObject
) -> None:
    """The text of messages that arrived together is, byte for byte, that of each `Message`."""
    each = st.lists(st.integers(-(2**50), 2**50), min_size=len(lines), max_size=len(lines))
    latencies: list[int] | int = data.draw(each) if late is None else late
    alike = [latencies] * len(lines) if isinstance(latencies, int) else latencies
    at = "2026-11-22T07:30:00.000003Z"
    one_by_one = [
        OwnMessage(first + place, at, latency, transit, msgspec.Raw(line))
        for place, (line, latency) in enumerate(zip(lines, alike, strict=True))
    ]
    text = messages_text(first, lines, at.encode(), latencies, transit)

    assert msgspec.json.encode(one_by_one) == b"[" + text[:-1] + b"]"


@given(st.lists(records))
def test_digest_of_records(lines: list[bytes]) -> None:
    """The digest of records is the CRC-32 of each with a newline, for bytes and for raw JSON."""
    expected = f"x{zlib.crc32(b''.join(line + bytes([10]) for line in lines)):08x}"

    assert expected == records_digest(lines)
    assert expected == records_digest([msgspec.Raw(line) for line in lines])


def test_digest_in_order_of_seq() -> None:
    """The digest of a block is of its messages in the order of seq, not in the order received."""
    expected = records_digest([b'{"id":1}', b'{"id":3,"name":"Zo\xc3\xab"}'])

    assert expected == block_digest(MESSAGES)
    assert expected == block_digest(MESSAGES[::-1])


@pytest.mark.parametrize(("key", "beside"), [(None, 0), ("\x00" * 120, block_text.BESIDE_KEY)])
@pytest.mark.parametrize("links", [0, 1, 2])
def test_the_bound_on_a_line_holds(links: int, key: str | None, beside: int) -> None:
    """A message takes at most the bytes beside its record that the contract states, with a gap before each message."""
    count, at = 1_000, "2026-11-22T07:30:00.000000Z"
    number = int("1" + "9" * 19)
    first, before = [number] * links + [None] * (2 - links)
    message = blocklog.ExternalMessage(number, at, -(2**63), None, msgspec.Raw(b""), key, "binary", first, before)
    beside += links * block_text.BESIDE_LINK
    gap = "1" + "9" * 19, "1" + "9" * 19
    message_size = len(msgspec.json.encode(message.with_numbers(seq_text))) + 1
    gap_size = len(msgspec.json.encode(gap)) + 1

    assert message_size + gap_size <= block_text.BESIDE_RECORD + beside
    assert count * (message_size + gap_size) < block_text.longest_line(count, 0, 0, block_text.BESIDE_RECORD + beside)
