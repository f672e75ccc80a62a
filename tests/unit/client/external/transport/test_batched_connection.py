"""Tests that a connection which parses plain frames itself does what the library alone does with the same bytes."""

from __future__ import annotations

import asyncio
import secrets
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from unittest.mock import patch

from hypothesis import example, given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.uri import parse_uri
from websockets.utils import accept_key

from services.client.connection import StampedConnection, connection_class
from services.client.external.transport.batched_connection import BatchedConnection
from services.runtime.clock import Clock

MOST = 300
"""Most bytes of a message; a further one ends the connection."""
LENGTHS = st.one_of(st.integers(0, 12), st.sampled_from([125, 126, 127, MOST - 1, MOST, MOST + 1]))
CONTENTS = st.one_of(
    st.builds(lambda letter, size: letter * size, st.sampled_from([b"x", b"\xc3\xa9", b"\xff"]), LENGTHS),
    st.text(max_size=20).map(str.encode),
    st.binary(max_size=20),
)


def frame(head: int, content: bytes, form: int = 0, mask: int = 0) -> bytes:
    """Return a frame; ``form`` is 126 or 127 for a length in more bytes than necessary."""
    size = len(content)
    form = max(form, 0 if size < 126 else 126)
    length = bytes([mask | size]) if not form else bytes([mask | form]) + size.to_bytes(2 if form == 126 else 8)
    return bytes([head]) + length + content


def deflated(content: bytes) -> bytes:
    """Return compressed contents, as a message contains them."""
    compressor = zlib.compressobj(wbits=-15)
    return (compressor.compress(content) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


PLAIN = st.builds(frame, st.sampled_from([0x81, 0x82]), CONTENTS, st.sampled_from([0, 0, 0, 0, 126, 127]))
CONTROL = st.builds(frame, st.sampled_from([0x89, 0x8A]), st.binary(max_size=125))
CLOSE = st.one_of(
    st.builds(
        lambda code, reason: frame(0x88, struct.pack(">H", code) + reason),
        st.sampled_from([1000, 1001, 1005, 1011, 3000, 4401, 5000]),
        st.text(max_size=10).map(str.encode),
    ),
    st.builds(frame, st.just(0x88), st.binary(max_size=3)),
)
COMPRESSED = st.builds(
    lambda head, content: frame(head | 0x40, deflated(content)), st.sampled_from([0x81, 0x01]), CONTENTS
)
PIECES = st.builds(frame, st.sampled_from([0x01, 0x02, 0x00, 0x80]), CONTENTS)
WHOLE_IN_PIECES = st.builds(
    lambda head, first, between, last: frame(head, first) + between + frame(0x80, last),
    st.sampled_from([0x01, 0x02]), CONTENTS, st.one_of(st.just(b""), CONTROL), CONTENTS,
)  # fmt: skip
ODD = st.one_of(
    st.builds(frame, st.integers(0, 255), CONTENTS, st.sampled_from([0, 126, 127]), st.sampled_from([0, 0, 0x80])),
    st.builds(lambda content: frame(0x81, content[:100], 127), CONTENTS),
    st.binary(max_size=12),
)
GOOD = st.one_of(PLAIN, PLAIN, CONTROL, WHOLE_IN_PIECES)
"""Frames after which a connection goes on, if it is not compressed and their texts are UTF-8."""
ENDS = st.one_of(st.just(b""), PIECES, CLOSE, COMPRESSED, ODD)
STREAMS = st.builds(
    lambda before, end, after: [*before, end, *after],
    st.lists(GOOD, max_size=5), ENDS, st.lists(GOOD, max_size=3),
)  # fmt: skip


class RecordingTransport(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.is_closed = False

    def write(self, data: Any) -> None:
        """Keep the data."""
        self.written.append(bytes(data))

    def can_write_eof(self) -> bool:
        """Return that the end can be written."""
        return True

    def write_eof(self) -> None:
        """Keep the end."""
        self.written.append(b"")

    def is_closing(self) -> bool:
        """Return whether the transport was closed."""
        return self.is_closed

    def close(self) -> None:
        """Close."""
        self.is_closed = True

    def abort(self) -> None:
        """Close."""
        self.is_closed = True

    def pause_reading(self) -> None:
        """Do nothing: all reads are given."""

    def resume_reading(self) -> None:
        """Do nothing."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Do nothing: there is no buffer."""


@dataclass
class Outcome:
    """What a connection made of a stream."""

    messages: list[bytes | str] = field(default_factory=list)
    written: list[bytes] = field(default_factory=list)
    closed: list[Any] = field(default_factory=list)


def cut(stream: bytes, borders: Sequence[int]) -> list[bytes]:
    """Return a stream in pieces."""
    places = sorted({border % (len(stream) + 1) for border in borders} | {0, len(stream)})
    return [stream[begin:end] for begin, end in pairwise(places) if begin < end]


async def outcome(
    kind: type[StampedConnection],
    stream: bytes,
    borders: Sequence[int],
    handled: Sequence[int],
    *,
    is_compressed: bool,
    has_eof: bool,
) -> Outcome:
    """Give a connection a stream, read by read, and return what it did.

    Args:
        kind: of the connection.
        stream: what the server sends after the handshake.
        borders: where the reads end.
        handled: how many messages each call of the handler accepts at most, if the connection has one.
        is_compressed: whether compression is negotiated.
        has_eof: whether the server ends its stream, or the connection is lost.
    """
    extensions = [ClientPerMessageDeflateFactory()] if is_compressed else []
    protocol = ClientProtocol(parse_uri("ws://feed/"), extensions=extensions, max_size=MOST)
    connection = connection_class(kind, Clock())(protocol, ping_interval=None, close_timeout=None)
    transport, found = RecordingTransport(), Outcome()
    connection.connection_made(transport)
    connection.request = protocol.connect()
    protocol.send_request(connection.request)
    connection.send_data()
    transport.written.clear()
    extension = "Sec-WebSocket-Extensions: permessage-deflate\r\n" if is_compressed else ""
    answer = (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_key(protocol.key)}\r\n{extension}\r\n"
    )
    limits = iter(handled)
    if isinstance(connection, BatchedConnection):

        def handle(messages: Sequence[bytes], is_binary: bool, received_ns: int) -> int:
            assert received_ns == connection.stamps.now_ns
            accepted = messages[: next(limits, len(messages))]
            found.messages.extend(message if is_binary else message.decode() for message in accepted)
            return len(accepted)

        connection.handle_batch = handle

    async def receive() -> None:
        while True:
            message = await connection.recv()
            assert connection.stamps.is_message_waiting
            connection.stamps.pop_ns()
            found.messages.append(message)

    receiving = asyncio.create_task(receive())
    for piece in cut(answer.encode() + stream, borders):
        connection.data_received(piece)
        # The task gets what is queued; both kinds have had the same number of turns then.
        for _ in range(4):
            await asyncio.sleep(0)
    if has_eof:
        connection.eof_received()
    connection.connection_lost(None)
    try:
        await receiving
    except ConnectionClosed as closed:
        found.closed += [str(closed), repr(closed.__cause__), protocol.close_rcvd, protocol.close_sent]
    found.closed += [protocol.state, protocol.close_rcvd_then_sent, str(protocol.parser_exc)]
    found.written = [b"".join(transport.written), *transport.written[-1:]]
    return found


@settings(max_examples=500)
@given(
    frames=STREAMS,
    tail=st.integers(0, 12),
    borders=st.lists(st.integers(0, 3000), max_size=4),
    handled=st.lists(st.sampled_from([0, 0, 1, 2]), max_size=8),
    is_compressed=st.booleans(),
    has_eof=st.booleans(),
)
@example([frame(0x81, b"abc", 126), frame(0x81, b"de"), frame(0x81, b"fg")], 0, [], [2], False, True)
def test_a_stream_has_the_outcome_that_the_library_gives_it(
    frames: list[bytes], tail: int, borders: list[int], handled: list[int], is_compressed: bool, has_eof: bool
) -> None:
    """Messages, answers, close codes and errors are those of the library for any frames, cut at any borders."""
    whole = b"".join(frames)
    stream = whole[: len(whole) - tail] if tail > 6 else whole
    with patch.object(secrets, "token_bytes", bytes):

        async def compare() -> tuple[Outcome, Outcome]:
            options = {"is_compressed": is_compressed, "has_eof": has_eof}
            return (
                await outcome(StampedConnection, stream, borders, (), **options),
                await outcome(BatchedConnection, stream, borders, handled, **options),
            )

        expected, found = asyncio.run(compare())

    assert expected == found
