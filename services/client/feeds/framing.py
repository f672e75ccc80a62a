"""Recognises how messages contain JSON: separated, compressed, or inside longer texts. Pure."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Sequence

import msgspec

from services.client.feeds.embedded_json import MIN_SHARE, find_pattern, is_json
from services.client.feeds.proposal import Proposal
from services.contract.unread_data import FLUSHED

MAX_BYTES, MAX_TOTAL_BYTES = 4 * 1024 * 1024, 32 * 1024 * 1024
"""Bytes of a message, and of all messages, after decompression; longer ones are not taken for compressed JSON."""
_COMPRESSED = {"gzip": 16 + zlib.MAX_WBITS, "zlib": zlib.MAX_WBITS, "deflate": -zlib.MAX_WBITS}
"""Parameters of the decompressor by the name of the encoding."""
_STREAM = "zlib-stream"
_CERTAIN = ("gzip", "zlib")
"""Encodings that other data does not have by chance."""
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


def find_framings(messages: Sequence[bytes]) -> tuple[list[Proposal], list[list[bytes]]]:
    """Return how most messages contain JSON, the outermost framing first, and the texts in each message.

    Without JSON the texts are the messages, decompressed if that is certain.
    """
    as_they_are: tuple[list[Proposal], list[list[bytes]]] = ([], [[message] for message in messages])
    unpacked = None
    for framings, parts in (as_they_are, *_encodings(messages)):
        texts = [text for inner in parts for text in inner]
        if sum(map(is_json, texts)) >= max(1, MIN_SHARE * len(texts)):
            return framings, parts
        inside = _find_inner(texts)
        if inside is not None:
            apart = iter(inside[1])
            return [*framings, inside[0]], [[text for _ in inner for text in next(apart)] for inner in parts]
        if unpacked is None and framings and framings[0].text in _CERTAIN:
            unpacked = framings, parts
    return unpacked or as_they_are


def _encodings(messages: Sequence[bytes]) -> Iterable[tuple[list[Proposal], list[list[bytes]]]]:
    """Yield the encodings that most messages may have, in the order in which they are undone, and their contents."""
    for encoding in (_STREAM, *_COMPRESSED):
        parts = _unpacked_stream(messages) if encoding == _STREAM else list(map(_unpacked_by(encoding), messages))
        if not _is_most(parts):
            continue
        yield [Proposal("decode.encoding", encoding, f"messages are compressed: {encoding}")], parts
        inner = [[text for one in texts for text in _unquoted(one)] for texts in parts]
        if _is_most(inner):
            yield [Proposal("decode.encoding", f"{encoding},json", f"compressed JSON texts: {encoding}")], inner
    parts = [_unquoted(message) for message in messages]
    if _is_most(parts):
        yield [Proposal("decode.encoding", "json", "a message is a JSON text in a JSON string")], parts


def _is_most(parts: Sequence[list[bytes]]) -> bool:
    return sum(map(bool, parts)) >= max(1, MIN_SHARE * len(parts))


def _unquoted(message: bytes) -> list[bytes]:
    try:
        text = msgspec.json.decode(message, type=str).encode()
    except (msgspec.MsgspecError, UnicodeError):
        return []
    return [text] if is_json(text) else []


def _find_inner(messages: Sequence[bytes]) -> tuple[Proposal, list[list[bytes]]] | None:
    """Return how most messages contain JSON, and the JSON texts of each message; None if nothing fits."""
    for proposal, take_apart in _candidates(messages):
        parts = [take_apart(message) for message in messages]
        good = sum(bool(texts) and all(map(is_json, texts)) for texts in parts)
        if good >= max(1, MIN_SHARE * len(messages)):
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
    for size in (4, 2, 8):
        yield Proposal("decode.split", f"length:{size}", f"a length in {size} bytes is before each"), _lengths_of(size)
    for text, separator in _SPLIT.items():
        if any(separator in message for message in messages):
            yield Proposal("decode.split", text, f"messages are separated by {text}"), _split_by(separator)
    events = r'^42\["[^"]*",(.*)\]$'
    yield Proposal("decode.match", events, "Socket.IO events"), _matched_by(events.encode())
    payload = r"(?<![^\n])MSG [^\r\n]*\r\n(.*?)\r\n"
    yield Proposal("decode.match", payload, "messages of NATS"), _matched_by(payload.encode())
    body = r"^MESSAGE\r?\n(?:[^\r\n]+\r?\n)*\r?\n(.*?)\x00"
    yield Proposal("decode.match", body, "messages of STOMP"), _matched_by(body.encode())
    pattern = find_pattern(messages)
    if pattern is not None:
        yield Proposal("decode.match", pattern, "the JSON inside of longer texts"), _matched_by(pattern.encode())


def _split_by(separator: bytes) -> _TakeApart:
    return lambda message: [part for part in message.split(separator) if part.strip()]


def _lengths_of(size: int) -> _TakeApart:
    def take_apart(message: bytes) -> list[bytes]:
        parts, at = [], 0
        while at < len(message):
            end = at + size + int.from_bytes(message[at : at + size], "big")
            parts.append(message[at + size : end])
            at = end
        return parts if at == len(message) else []

    return take_apart


def _unpacked_by(encoding: str) -> _TakeApart:
    left_bytes = MAX_TOTAL_BYTES

    def take_apart(message: bytes) -> list[bytes]:
        nonlocal left_bytes
        found = unpacked(message, encoding, min(left_bytes, MAX_BYTES))
        left_bytes -= len(found or b"")
        return [found] if found else []

    return take_apart


def _unpacked_stream(messages: Sequence[bytes]) -> list[list[bytes]]:
    """Return the contents of messages that are one stream, each of which ends with a flush; nothing for any other."""
    decompressor = zlib.decompressobj()
    parts: list[list[bytes]] = []
    left_bytes = MAX_TOTAL_BYTES
    for message in messages:
        if not message.endswith(FLUSHED) or left_bytes <= 0 or decompressor.unconsumed_tail:
            # After a message that is left out, the stream cannot go on.
            parts.append([])
            continue
        try:
            found = decompressor.decompress(message, min(left_bytes, MAX_BYTES))
        except zlib.error:
            return []
        left_bytes -= len(found)
        parts.append([found] if found and not decompressor.unconsumed_tail else [])
    return parts


def _matched_by(pattern: bytes) -> _TakeApart:
    compiled = re.compile(pattern, re.DOTALL)
    return lambda message: [match[1] for match in compiled.finditer(message)]
