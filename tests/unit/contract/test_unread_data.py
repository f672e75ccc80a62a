"""Tests of recognising data in which no JSON was found."""

from __future__ import annotations

import base64
import gzip
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contract.unread_data import KINDS, probable_encoding, unread_kind

TEXT = b'{"seq":7}'
PACKED = gzip.compress(TEXT, mtime=0)


def raw_deflate(data: bytes, flush: int = zlib.Z_FINISH) -> bytes:
    """Return data as deflate without a header."""
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush(flush)


def later_part(*texts: bytes) -> bytes:
    """Return the last of these texts as a part of one zlib stream."""
    packer = zlib.compressobj()
    return [packer.compress(text) + packer.flush(zlib.Z_SYNC_FLUSH) for text in texts][-1]


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (PACKED, "gzip"),
        (zlib.compress(TEXT * 50), "deflate"),
        (raw_deflate(b" [" + TEXT), "deflate"),
        (raw_deflate(TEXT, zlib.Z_SYNC_FLUSH), "deflate"),
        (later_part(TEXT, TEXT), "zlib-stream"),
        (b"", None),
        (b"\x10\x0e\x00\x04MQTT", None),
        (b"plain", None),
        (PACKED[5:], None),
    ],
    ids=range(9),
)
def test_an_encoding_is_recognised(data: bytes, encoding: str | None) -> None:
    """Compressed JSON is recognised, so that the setting for it can be proposed."""
    assert encoding == probable_encoding(data)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"seq":1}\n{"seq":2}', "lines"),
        ('{"seq":1,"x":{}}{"seq":2}', "joined"),
        ("[1] [2]", "joined"),
        ('42["tick",{"seq":1}]', "inside"),
        ("1,100.5,BTC", "text"),
        ("!AIVDM,1,1,,B,15N4cJ`005Jrek0H@9n`DW5608EP,0*13", "text"),
        ('{"seq":NaN} ', "json"),
        ('{"seq":1', "damaged"),
        ('{"seq":1} and more', "damaged"),
        ("", "text"),
        (base64.b64encode(PACKED).decode(), "base64"),
    ],
)
def test_a_text_is_recognised(text: str, kind: str) -> None:
    """Several JSON texts, JSON in a text, and compressed data in base64 are distinguished."""
    assert kind == unread_kind(json.dumps(text).encode(), "text")


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (PACKED, "gzip"),
        (b"\x08\xac\x02\x12\x03BTC", "binary"),
        (b"\x83\xa3seq\xcd\x01\x02", "binary"),
        (TEXT * 2, "joined"),
    ],
)
def test_binary_data_is_recognised(data: bytes, kind: str) -> None:
    """Data of a binary frame is compressed, JSON, or of another format."""
    assert kind == unread_kind(b'"%b"' % base64.b64encode(data), "binary")


@given(st.binary(max_size=200), st.sampled_from(["text", "binary"]))
def test_anything_has_a_kind(record: bytes, form: str) -> None:
    """No record raises an error, not even one that no client writes."""
    assert unread_kind(record, form) in KINDS
    assert unread_kind(b'"%b"' % base64.b64encode(record), form) in KINDS
