"""Tests of undoing the encodings of frames."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.client.external.frame_encoding import FrameDecoder, UndecodableFrame

TEXT = b'{"seq":7}'


def packed(data: bytes) -> bytes:
    """Return data as gzip, whenever it is made."""
    return gzip.compress(data, mtime=0)


def raw_deflate(data: bytes, flush: int = zlib.Z_FINISH) -> bytes:
    """Return data as deflate without a header."""
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush(flush)


def decoded(data: bytes, *encodings: str, most: int = 2**20, binary: bool = True) -> tuple[bytes, bool] | None:
    """Decode one frame."""
    return FrameDecoder(encodings, most).decode(data, binary=binary)


@pytest.mark.parametrize(
    ("encodings", "data"),
    [
        (["gzip"], packed(TEXT)),
        (["gzip"], packed(TEXT[:4]) + packed(TEXT[4:]) + b"\0\0"),
        (["deflate"], raw_deflate(TEXT)),
        (["deflate"], zlib.compress(TEXT)),
        (["deflate"], raw_deflate(TEXT, zlib.Z_SYNC_FLUSH)),
        (["zlib"], zlib.compress(TEXT)),
        (["json"], json.dumps(TEXT.decode()).encode()),
        (["gzip", "json"], packed(json.dumps(TEXT.decode()).encode())),
        (["gzip", "deflate"], packed(raw_deflate(TEXT))),
        (["json", "json"], json.dumps(json.dumps(TEXT.decode())).encode()),
    ],
)
def test_encodings_are_undone_in_their_order(encodings: list[str], data: bytes) -> None:
    """Each encoding gives back the text, and decompressed data may be shown as text."""
    found = decoded(data, *encodings)

    assert found is not None
    assert TEXT == found[0]
    assert not found[1] or encodings[0] == "json"


def test_a_text_frame_is_not_decompressed() -> None:
    """An uncompressed text in a feed of compressed frames is read as it is, and so is JSON that is no string."""
    assert (b'{"op":"pong"}', False) == decoded(b'{"op":"pong"}', "gzip", "json", binary=False)


@pytest.mark.parametrize(
    ("encoding", "data", "why"),
    [
        ("gzip", b"plain", "no gzip: .*incorrect header"),
        ("gzip", packed(TEXT)[:-3], "gzip that is cut off"),
        ("gzip", packed(b"") * 17, "gzip of more than 16 members"),
        ("deflate", b"\xff\xff", "no deflate"),
        ("deflate", raw_deflate(TEXT)[:-3], "deflate that is cut off"),
        ("deflate", zlib.compress(TEXT)[:-3], "deflate that is cut off"),
        ("zlib-stream", b"\xff\x00\x00\xff\xff", "no zlib-stream: .*incorrect header"),
    ],
)
def test_a_frame_that_is_not_so_encoded_is_refused(encoding: str, data: bytes, why: str) -> None:
    """Data that is damaged, cut off or of another kind is refused with the reason."""
    with pytest.raises(UndecodableFrame, match=why):
        decoded(data, encoding)


@pytest.mark.parametrize(
    ("encodings", "bomb"),
    [
        (["gzip"], packed(b"\0" * 2**20)),
        (["deflate"], raw_deflate(b"\0" * 2**20)),
        (["gzip"], packed(b"x" * 600) * 2),
        (["gzip", "gzip"], packed(packed(b"\0" * 2**17))),
        (["zlib-stream"], zlib.compress(b"\0" * 2**20)[:-4] + b"\x00\x00\xff\xff"),
    ],
)
def test_no_frame_becomes_longer_than_permitted(encodings: list[str], bomb: bytes) -> None:
    """A small frame of much data is refused after as many bytes as a message may have."""
    with pytest.raises(UndecodableFrame, match="longer than FEED_MAX_BYTES=1000"):
        decoded(bomb, *encodings, most=1000)


@given(st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=5), st.integers(1, 50))
def test_a_stream_goes_on_over_frames(messages: Sequence[bytes], size: int) -> None:
    """With one zlib stream for a connection, cut into frames of any size, every message comes out once and whole."""
    packer = zlib.compressobj()
    decoder, found = FrameDecoder(["zlib-stream"], 2**16), []
    for message in messages:
        packed = packer.compress(message) + packer.flush(zlib.Z_SYNC_FLUSH)
        for begin in range(0, len(packed), size):
            part = packed[begin : begin + size]
            # A part that happens to end like a message cannot be told from one.
            if part.endswith(b"\x00\x00\xff\xff") and begin + size < len(packed):
                return
            found.append(decoder.decode(part, binary=True))

    assert [(message, False) for message in messages] == [one for one in found if one is not None]
    assert b"" == decoder.rest()


def test_a_stream_that_broke_stays_broken() -> None:
    """After damage nothing more of a stream can be read, and every further frame says so."""
    decoder = FrameDecoder(["zlib-stream"], 100)
    with pytest.raises(UndecodableFrame, match="no zlib-stream"):
        decoder.decode(b"damage\x00\x00\xff\xff", binary=True)
    with pytest.raises(UndecodableFrame, match="after data that is no zlib stream"):
        decoder.decode(zlib.compress(TEXT), binary=True)


def test_what_waits_is_bounded() -> None:
    """A message of a stream that never ends is given up at the length that a message may have."""
    decoder = FrameDecoder(["zlib-stream"], 100)
    assert decoder.decode(b"x" * 60, binary=True) is None
    assert b"x" * 60 == decoder.rest()
    with pytest.raises(UndecodableFrame, match="longer than"):
        decoder.decode(b"x" * 60, binary=True)


@given(st.binary(max_size=300), st.sampled_from(["gzip", "deflate", "zlib", "zlib-stream", "json"]), st.booleans())
def test_any_bytes_are_decoded_or_refused(data: bytes, encoding: str, binary: bool) -> None:
    """Any bytes give data of bounded length, or one kind of error."""
    try:
        found = decoded(data, encoding, most=500, binary=binary)
    except UndecodableFrame:
        return
    assert found is None or len(found[0]) <= 500
