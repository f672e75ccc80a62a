"""Recognises how messages contain JSON: separated, compressed, or in the frame of a protocol. Pure."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Sequence

import msgspec

from services.client.feeds.proposal import Proposal

MAX_BYTES, MAX_TOTAL_BYTES = 4 * 1024 * 1024, 32 * 1024 * 1024
"""Bytes of a message, and of all messages, after decompression; longer ones are not taken for compressed JSON."""
_MIN_SHARE = 0.5
_COMPRESSED = {"gzip": 16 + zlib.MAX_WBITS, "zlib": zlib.MAX_WBITS, "deflate": -zlib.MAX_WBITS}
"""Parameters of the decompressor by the name of the encoding."""
_SPLIT = {r"\x1e": b"\x1e", r"\n": b"\n", r"\x00": b"\x00"}
_PROTOCOLS = (
    ("signalr", rb"^\{\}\x1e|^\{\"type\":[1-7].*\x1e$"),
    ("engineio2", rb"^0\{\"sid\".*\"upgrades\":(?!.*\"maxPayload\")"),
    ("socketio", rb"^0\{\"sid\".*\"maxPayload\"|^42\[\""),
    ("nats", rb"^INFO \{|^MSG \S+ \S+ .*\r\n"),
    ("stomp", rb"^(?:CONNECTED|MESSAGE|ERROR)\r?\n"),
    ("mqtt", rb"^\x20\x02\x00[\x00-\x05]$"),
    ("actioncable", rb"^\{\"type\":\"welcome\"\}"),
    ("graphql-ws", rb"^\{\"type\":\"connection_ack\"|^\{\"id\":\"[^\"]*\",\"type\":\"next\""),
    ("centrifugo", rb"^\{\"push\":\{\"channel\":"),
    ("discord", rb"\"op\":10,.*\"heartbeat_interval\":"),
    ("home-assistant", rb"^\{\"type\": ?\"auth_required\",.*\"ha_version\""),
    ("phoenix", rb"^\[(?:null|\"[^\"]*\"),(?:null|\"[^\"]*\"),\"[^\"]*\",\"phx_"),
    ("mattermost", rb"^\{\"event\": ?\"hello\",.*\"server_version\""),
    ("coinbase-advanced", rb"\"sequence_num\":[0-9]"),
    ("deribit", rb"\"method\":\"subscription\",\"params\":\{\"channel\":\"book\."),
    ("jsonrpc", rb"\"method\":\"eth_subscription\""),
)
"""Presets, and the messages by which each is known."""


def find_framing(messages: Sequence[bytes]) -> tuple[Proposal, list[list[bytes]]] | None:
    """Return how most messages contain JSON, and the JSON texts of each message; None if nothing fits."""
    for proposal, take_apart in _candidates(messages):
        parts = [take_apart(message) for message in messages]
        good = sum(bool(texts) and all(map(is_json, texts)) for texts in parts)
        if good >= max(1, _MIN_SHARE * len(messages)):
            return proposal, parts
    return None


def find_protocol(messages: Iterable[bytes]) -> str | None:
    """Return the preset whose protocol these messages speak, None if it is none of those that are known."""
    return next(
        (
            name
            for message in map(_compact, messages)
            for name, pattern in _PROTOCOLS
            if re.search(pattern, message, re.DOTALL)
        ),
        None,
    )


def _compact(message: bytes) -> bytes:
    # Many servers write JSON with a space after each colon and comma.
    return re.sub(rb'(?<=["\w\]}])([:,])\s+(?=["{\[\w-])', rb"\1", message)


def is_json(text: bytes) -> bool:
    """Return whether a text is JSON with parts; a bare number or word may be anything."""
    try:
        return isinstance(msgspec.json.decode(text), dict | list)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False


def unpacked(data: bytes, encoding: str, most_bytes: int = MAX_BYTES) -> bytes | None:
    """Return decompressed data, None if it is not compressed in this way or longer than ``most_bytes``."""
    if most_bytes <= 0:
        # To the decompressor 0 means no limit.
        return None
    decompressor = zlib.decompressobj(_COMPRESSED[encoding])
    try:
        found = decompressor.decompress(data, most_bytes)
    except zlib.error:
        return None
    return found if decompressor.eof or not decompressor.unconsumed_tail else None


_TakeApart = Callable[[bytes], list[bytes]]


def _candidates(messages: Sequence[bytes]) -> Iterable[tuple[Proposal, _TakeApart]]:
    for text, separator in _SPLIT.items():
        if any(separator in message for message in messages):
            yield Proposal("decode.split", text, f"messages are separated by {text}"), _split_by(separator)
    for encoding in _COMPRESSED:
        yield Proposal("decode.encoding", encoding, f"messages are compressed: {encoding}"), _unpacked_by(encoding)
    events = r'^42\["[^"]*",(.*)\]$'
    yield Proposal("decode.match", events, "Socket.IO events"), _matched_by(events.encode())
    payload = r"(?<![^\n])MSG [^\r\n]*\r\n(.*?)\r\n"
    yield Proposal("decode.match", payload, "messages of NATS"), _matched_by(payload.encode())
    body = r"^MESSAGE\r?\n(?:[^\r\n]+\r?\n)*\r?\n(.*?)\x00"
    yield Proposal("decode.match", body, "messages of STOMP"), _matched_by(body.encode())


def _split_by(separator: bytes) -> _TakeApart:
    return lambda message: [part for part in message.split(separator) if part.strip()]


def _unpacked_by(encoding: str) -> _TakeApart:
    left_bytes = MAX_TOTAL_BYTES

    def take_apart(message: bytes) -> list[bytes]:
        nonlocal left_bytes
        found = unpacked(message, encoding, min(left_bytes, MAX_BYTES))
        left_bytes -= len(found or b"")
        return [] if found is None else [found]

    return take_apart


def _matched_by(pattern: bytes) -> _TakeApart:
    compiled = re.compile(pattern, re.DOTALL)
    return lambda message: [match[1] for match in compiled.finditer(message)]
