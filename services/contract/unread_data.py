"""What data seems to be in which no JSON was found, so that a setting can be proposed. Pure."""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from typing import Literal, get_args

UnreadKind = Literal[
    "gzip", "deflate", "zlib-stream", "base64", "json", "lines", "joined", "damaged", "inside", "binary", "text"
]
"""What data seems to be.

``gzip``, ``deflate``: compressed by itself. ``zlib-stream``: a part of one compressed stream. ``base64``: compressed,
in base64. ``json``: one JSON text, which has no number. ``lines``: several JSON texts, a line each. ``joined``: several
JSON texts one after the other. ``damaged``: the beginning of a JSON text. ``inside``: a text with JSON in it.
``binary``: other data that is not UTF-8, or came in a binary frame. ``text``: any other text.
"""
KINDS: tuple[UnreadKind, ...] = get_args(UnreadKind)
FLUSHED = b"\x00\x00\xff\xff"
"""The end of compressed data after which more of the same stream may follow."""
# The beginning of data shows what it is.
_LOOK = 16_384
_BASE64 = re.compile(rb"(?:H4sI|eJ|eN|eA)[A-Za-z0-9+/]{12,}")
_JSON_INSIDE = re.compile(rb'[\[{]\s*["\[{]')
_DECODER = json.JSONDecoder(strict=False)


def probable_encoding(data: bytes) -> Literal["gzip", "deflate", "zlib-stream"] | None:
    """Return the encoding of ``FEED_ENCODING`` that data seems to have, None if it has none of these."""
    if data[:2] == b"\x1f\x8b":
        return "gzip"
    for wbits in (zlib.MAX_WBITS, -zlib.MAX_WBITS):
        try:
            content = zlib.decompressobj(wbits).decompress(data[:64], 16)
        except zlib.error:
            continue
        # By chance other data can be decompressed too, but hardly ever to the beginning of JSON.
        if content.lstrip()[:1] in (b"{", b"["):
            return "deflate"
    # Only the first part of a stream can be decompressed by itself.
    return "zlib-stream" if data.endswith(FLUSHED) else None


def unread_kind(record: bytes, form: str) -> UnreadKind:
    """Return what a record of a block log seems to be that contains data in which no number was found.

    Args:
        record: a JSON string, as it is logged.
        form: ``text``, or ``binary`` for base64.
    """
    try:
        text = json.loads(record)
        if not isinstance(text, str):
            return "json"
        data = base64.b64decode(text) if form == "binary" else text.encode(errors="surrogatepass")
    except (ValueError, binascii.Error):
        return "binary" if form == "binary" else "text"
    known = probable_encoding(data) or _begun(data[:_LOOK])
    if known is not None or form == "binary":
        return known or "binary"
    if _BASE64.match(data):
        return "base64"
    return "inside" if _JSON_INSIDE.search(data[:_LOOK]) else "text"


def _begun(data: bytes) -> UnreadKind | None:
    """Return how data that begins as JSON goes on, None for other data."""
    text = data.decode(errors="replace").lstrip("\ufeff \t\r\n")
    if text[:1] not in ("{", "["):
        return None
    try:
        _, end = _DECODER.raw_decode(text)
    except (ValueError, RecursionError):
        # Of a longer text the end was not looked at.
        return "damaged" if len(data) < _LOOK else "json"
    rest = text[end:].lstrip()
    if rest[:1] not in ("{", "["):
        return "damaged" if rest else "json"
    return "lines" if "\n" in text[end : len(text) - len(rest)] else "joined"
