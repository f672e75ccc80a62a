"""Tests of the frames that are whole messages."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.client.external.transport.plain_frames import BINARY, TEXT, frame_end, plain_run, size_in_frames

MESSAGES = st.lists(
    st.sampled_from([b"", b"x", b"ab", b"x" * 125, b"x" * 126, b"y" * 65535, b"z" * 65536]), min_size=1, max_size=5
)


def framed(messages: list[bytes], head: int = BINARY) -> bytes:
    """Return plain frames with these messages."""
    frames = b""
    for message in messages:
        size = len(message)
        if size < 126:
            length = bytes([size])
        else:
            length = b"\x7e" + size.to_bytes(2) if size < 65536 else b"\x7f" + size.to_bytes(8)
        frames += bytes([head]) + length + message
    return frames


@given(MESSAGES, st.binary(max_size=3))
def test_messages_are_cut_out(messages: list[bytes], before: bytes) -> None:
    """All whole frames of a kind are found, and their size is that of their bytes."""
    data = before + framed(messages)
    run = plain_run(data + b"\x89\x00\x89\x00", len(before), 2**20)

    assert messages == run.messages
    assert len(data) == run.end == len(before) + size_in_frames(messages)


def test_a_run_ends_before_a_frame_of_another_kind() -> None:
    """Texts and binary messages are not mixed; a text that is not UTF-8 and a message that is too long are left."""
    texts = framed([b"one", b"two"], TEXT)
    for other in (framed([b"three"]), framed([b"\xff\xff\xff"], TEXT), framed([b"too long"], TEXT), b"\x81\x83masked!"):
        assert ([b"one", b"two"], len(texts)) == plain_run(texts + other, 0, 5)


def test_the_end_of_a_frame_is_known_from_its_first_bytes() -> None:
    """It may lie beyond the data; a frame that the library refuses has no content to wait for."""
    assert [None, None, 7] == [frame_end(framed([b"12345"])[:size], 0, 99) for size in (0, 1, 2)]
    assert [None, 204] == [frame_end(framed([b"x" * 200])[:size], 0, 999) for size in (3, 4)]
    assert 4 == frame_end(framed([b"x" * 200]), 0, 199)
    assert 10 == frame_end(framed([b"x" * 70000]), 0, 199)
    assert [2, 2] == [frame_end(head, 0, 99) for head in (b"\x81\x85", b"\x83\x05")]
