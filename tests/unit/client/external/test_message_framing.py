"""Tests of cutting bytes into messages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.client.external.message_framing import MessageFraming, Pieces

MESSAGES = st.lists(st.binary(max_size=300), max_size=6)


def mqtt(content: bytes, kind: int = 0x30) -> bytes:
    """Return a packet of MQTT."""
    length, size = b"", len(content)
    while True:
        size, low = divmod(size, 128)
        length += bytes([low | 128 * bool(size)])
        if not size:
            return bytes([kind]) + length + content


@pytest.mark.parametrize(
    ("text", "separator"),
    [(r"\n", b"\n"), (r"\x1e", b"\x1e"), ("|", b"|"), (r"\r\n\\", b"\r\n\\"), ("é", "é".encode())],
)
def test_a_separator_has_escapes(text: str, separator: bytes) -> None:
    """Escapes stand for bytes, all other characters for themselves."""
    assert MessageFraming(text, separator) == MessageFraming.of(text)


def test_a_length_is_named() -> None:
    """Two words stand for messages that state their lengths; others are separators."""
    assert [4, 0, None] == [MessageFraming.of(text).length_bytes for text in ("length:4", "mqtt", "length:3")]


@given(MESSAGES, st.sampled_from([1, 2, 4, 8]), st.integers(0, 7))
def test_messages_with_lengths_are_cut_exactly(messages: list[bytes], size: int, missing: int) -> None:
    """Every complete message is found without its length, and an incomplete one is the rest."""
    kept = [message[: 256**size - 1] for message in messages]
    data = b"".join(len(message).to_bytes(size) + message for message in kept)
    cut = MessageFraming.of(f"length:{size}").cut(data, 1000)
    short = MessageFraming.of(f"length:{size}").cut(data[: len(data) - missing], 1000)

    assert Pieces(kept, b"") == cut
    assert kept[: len(short.whole)] == short.whole
    assert not short.is_damaged


@given(MESSAGES, st.integers(1, 400))
def test_packets_of_mqtt_are_cut_exactly(contents: list[bytes], size: int) -> None:
    """Packets that come in pieces of any size are found whole, with their kind and length."""
    packets = [mqtt(content) for content in contents]
    stream, rest, found = b"".join(packets), b"", []
    for at in range(0, len(stream), size):
        cut = MessageFraming.of("mqtt").cut(rest + stream[at : at + size], 1000)
        found += cut.whole
        rest = cut.rest
        assert not cut.is_damaged

    assert (packets, b"") == (found, rest)


@pytest.mark.parametrize(
    ("text", "data"),
    [("length:4", b"\xff\xff\xff\xff{}"), ("mqtt", b"\x30\xff\xff\xff\xff\x7f"), ("length:8", b"\x01" + b"\0" * 12)],
)
def test_a_length_that_no_message_has_is_damage(text: str, data: bytes) -> None:
    """A length above the limit, or one without an end, is damage, and nothing waits for it."""
    assert Pieces([], data, is_damaged=True) == MessageFraming.of(text).cut(data, 1000)


def test_a_message_may_be_as_long_as_the_limit() -> None:
    """A message of the permitted length is whole, and a longer one is damage before its bytes have come."""
    framing = MessageFraming.of("length:1")

    assert Pieces([b"12345"], b"") == framing.cut(b"\x0512345", 6)
    assert Pieces([], b"\x06", is_damaged=True) == framing.cut(b"\x06", 6)


@given(st.binary(max_size=60), st.sampled_from(["mqtt", "length:1", "length:4", "length:8"]))
def test_no_byte_is_lost(data: bytes, text: str) -> None:
    """Of any bytes, all are in the messages, in their lengths, or in the rest."""
    framing = MessageFraming.of(text)
    cut = framing.cut(data, 1000)

    assert len(data) == sum(len(whole) + (framing.length_bytes or 0) for whole in cut.whole) + len(cut.rest)
