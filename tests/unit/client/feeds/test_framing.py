"""Tests of recognising messages that are not JSON themselves."""

from __future__ import annotations

import gzip
import json
import zlib

import pytest

from services.client.feeds.framing import MAX_BYTES, MAX_TOTAL_BYTES, find_framings, find_protocol, unpacked

TICK = b'{"seq":1}'


def _deflated(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


@pytest.mark.parametrize(
    ("message", "key", "text", "count"),
    [
        (TICK + b"\x1e" + TICK + b"\x1e", "decode.split", r"\x1e", 2),
        (TICK + b"\n" + TICK, "decode.split", r"\n", 2),
        (gzip.compress(TICK, mtime=0), "decode.encoding", "gzip", 1),
        (zlib.compress(TICK), "decode.encoding", "zlib", 1),
        (_deflated(TICK), "decode.encoding", "deflate", 1),
        (b'42["tick",{"seq":1}]', "decode.match", r'^42\["[^"]*",(.*)\]$', 1),
        (b'MSG a 1 9\r\n{"seq":1}\r\n', "decode.match", r"(?<![^\n])MSG [^\r\n]*\r\n(.*?)\r\n", 1),
        (b'MESSAGE\na:b\n\n{"seq":1}\x00', "decode.match", r"^MESSAGE\r?\n(?:[^\r\n]+\r?\n)*\r?\n(.*?)\x00", 1),
    ],
)
def test_a_frame_is_recognised(message: bytes, key: str, text: str, count: int) -> None:
    """Separated, compressed and framed JSON is found with the setting that describes it."""
    framings, parts = find_framings([message] * 3)

    assert [(key, text)] == [(proposal.key, proposal.text) for proposal in framings]
    assert [[TICK] * count] * 3 == parts


def _stream(*texts: bytes) -> list[bytes]:
    compressor = zlib.compressobj()
    return [compressor.compress(text) + compressor.flush(zlib.Z_SYNC_FLUSH) for text in texts]


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([gzip.compress(TICK + b"\n" + TICK)] * 3, [("decode.encoding", "gzip"), ("decode.split", r"\n")]),
        ([gzip.compress(json.dumps(TICK.decode()).encode())] * 3, [("decode.encoding", "gzip,json")]),
        ([json.dumps(TICK.decode()).encode()] * 3, [("decode.encoding", "json")]),
        (_stream(TICK, TICK, TICK), [("decode.encoding", "zlib-stream")]),
        ([b"\x00\x00\x00\x09" + TICK] * 3, [("decode.split", "length:4")]),
        ([b"md/v3|" + TICK] * 3, [("decode.match", r"^md/v3\|(\{.*\})$")]),
    ],
)
def test_framings_within_each_other(messages: list[bytes], expected: list[tuple[str, str]]) -> None:
    """A framing inside of another one is found too, and the outermost comes first."""
    framings, parts = find_framings(messages)

    assert expected == [(framing.key, framing.text) for framing in framings]
    assert {TICK} == {text for texts in parts for text in texts}


def test_other_texts_have_no_frame() -> None:
    """Messages without JSON have no frame."""
    assert ([], [[b"hello"], [b"\x00\x01"]]) == find_framings([b"hello", b"\x00\x01"])
    assert ([], []) == find_framings([])


def test_decompression_is_bounded() -> None:
    """A message that would decompress to very much is not decompressed."""
    assert unpacked(gzip.compress(b"x" * (MAX_BYTES + 1)), "gzip") is None
    assert unpacked(b"no gzip", "gzip") is None
    assert unpacked(gzip.compress(b"x"), "gzip", 0) is None


def test_decompression_is_bounded_over_all_messages() -> None:
    """Of many messages that each decompress to much, those after the limit of all are left."""
    long = gzip.compress(b"[" + b" " * (MAX_BYTES - 2) + b"]")
    _, parts = find_framings([long] * 12)

    assert MAX_TOTAL_BYTES == sum(len(text) for texts in parts for text in texts)


@pytest.mark.parametrize(
    ("message", "preset"),
    [
        (b"{}\x1e", "signalr"),
        (b'0{"sid":"x","upgrades":[],"pingInterval":25000,"pingTimeout":5000}', "engineio2"),
        (b'0{"sid":"x","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}', "socketio"),
        (b'INFO {"server_id":"x"}\r\n', "nats"),
        (b"CONNECTED\nversion:1.2\n\n\x00", "stomp"),
        (b"\x20\x02\x00\x00", "mqtt"),
        (b'{"type":"welcome"}', "actioncable"),
        (b'{"type":"connection_ack"}', "graphql-ws"),
        (b'{"push":{"channel":"news","pub":{"data":1}}}', "centrifugo"),
        (b'{"t": null, "s": null, "op": 10, "d": {"heartbeat_interval": 41250}}', "discord"),
        (b'{"type":"auth_required","ha_version":"2026.1"}', "home-assistant"),
        (b'["1","1","room:lobby","phx_reply",{"status":"ok"}]', "phoenix"),
        (b'{"seq":1}', None),
    ],
)
def test_a_protocol_is_recognised(message: bytes, preset: str | None) -> None:
    """A protocol is known by a message of its own."""
    assert preset == find_protocol([b"other", message])
