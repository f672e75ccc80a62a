"""The least that a subscriber must say to each kind of server, on a plain socket."""

from __future__ import annotations

import base64
import os
import socket
from collections.abc import Callable, Sequence
from typing import NamedTuple

TOPIC = b"feed"

_JOIN_SECONDS = 30.0


class NotSubscribed(Exception):
    """A server closed the connection, or stayed silent, instead of confirming a subscription."""


class Dialect(NamedTuple):
    """How one kind of server is spoken to.

    ``join`` subscribes on a connected socket and returns when the server has confirmed it; ``start`` makes a server
    that has the records itself send so many messages; ``publish`` wraps a payload for a server that is given them, and
    ``greet`` opens the connection on which it is given them.
    """

    join: Callable[[socket.socket, int], None]
    start: Callable[[Sequence[socket.socket], int], None] = lambda _, __: None
    publish: Callable[[bytes], bytes] | None = None
    greet: Callable[[socket.socket], None] = lambda _: None


def masked(text: bytes) -> bytes:
    """Return a short text message as a WebSocket client sends it."""
    # A client masks what it says (RFC 6455, section 5.3); a mask of zeros leaves it readable.
    return bytes([0x81, 0x80 | len(text)]) + bytes(4) + text


def _await(connection: socket.socket, word: bytes, heard: bytes = b"") -> bytes:
    """Read until this has come; return all that was read."""
    connection.settimeout(_JOIN_SECONDS)
    while word not in heard:
        try:
            received = connection.recv(4096)
        except TimeoutError as problem:
            raise NotSubscribed(f"no {word!r} within {_JOIN_SECONDS:.0f} s, only {heard!r}") from problem
        if not received:
            raise NotSubscribed(f"closed before {word!r}, after {heard!r}")
        heard += received
    return heard


def _upgrade(connection: socket.socket, path: str = "/") -> bytes:
    """Ask for a WebSocket, without compression; return what came after the answer's head."""
    key = base64.b64encode(os.urandom(16)).decode()
    connection.sendall(
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    head, _, rest = _await(connection, b"\r\n\r\n").partition(b"\r\n\r\n")
    if b" 101 " not in head:
        raise NotSubscribed(f"not a WebSocket: {head!r}")
    return rest


def _join_ours(connection: socket.socket, _: int) -> None:
    _await(connection, b'"type":"welcome"', _upgrade(connection))


def _start_ours(connections: Sequence[socket.socket], _: int) -> None:
    # Ours begins when as many as it was told have subscribed, and sends the run that it was told.
    for number, connection in enumerate(connections):
        connection.sendall(masked(b'{"type":"subscribe","client":"peer-%d","instance":"%d"}' % (number, number)))


def _join_websocket(connection: socket.socket, _: int) -> None:
    _upgrade(connection)


def _start_websocket(connections: Sequence[socket.socket], messages: int) -> None:
    connections[0].sendall(masked(b"%d" % messages))


def _join_socketio(connection: socket.socket, _: int) -> None:
    opened = _await(connection, b'0{"sid"', _upgrade(connection, "/socket.io/?EIO=4&transport=websocket"))
    connection.sendall(masked(b"40"))
    _await(connection, b'40{"sid"', opened[-1:])


def _start_socketio(connections: Sequence[socket.socket], messages: int) -> None:
    connections[0].sendall(masked(b'42["go",%d]' % messages))


def _join_redis(connection: socket.socket, _: int) -> None:
    connection.sendall(b"*2\r\n$9\r\nSUBSCRIBE\r\n$%d\r\n%b\r\n" % (len(TOPIC), TOPIC))
    _await(connection, b":1\r\n")


def _publish_redis(payload: bytes) -> bytes:
    return b"*3\r\n$7\r\nPUBLISH\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(TOPIC), TOPIC, len(payload), payload)


def _greet_nats(connection: socket.socket) -> None:
    connection.sendall(b'CONNECT {"verbose":false,"pedantic":false}\r\nPING\r\n')
    _await(connection, b"PONG\r\n")


def _join_nats(connection: socket.socket, _: int) -> None:
    connection.sendall(b'CONNECT {"verbose":false,"pedantic":false}\r\nSUB %b 1\r\nPING\r\n' % TOPIC)
    _await(connection, b"PONG\r\n")


def _publish_nats(payload: bytes) -> bytes:
    return b"PUB %b %d\r\n%b\r\n" % (TOPIC, len(payload), payload)


def _mqtt(kind: int, content: bytes) -> bytes:
    # The length is in groups of seven bits, the lowest first (MQTT 3.1.1, section 2.2.3).
    length, left = b"", len(content)
    while True:
        left, group = left >> 7, left & 0x7F
        length += bytes([group | (0x80 if left else 0)])
        if not left:
            return bytes([kind]) + length + content


def _text(value: bytes) -> bytes:
    return len(value).to_bytes(2, "big") + value


def _greet_mqtt(connection: socket.socket, name: bytes = b"publisher") -> None:
    # Protocol level 4, a clean session, no keepalive.
    connection.sendall(_mqtt(0x10, _text(b"MQTT") + b"\x04\x02\x00\x00" + _text(name)))
    _await(connection, b"\x20\x02\x00\x00")


def _join_mqtt(connection: socket.socket, number: int) -> None:
    _greet_mqtt(connection, b"peer-%d" % number)
    connection.sendall(_mqtt(0x82, b"\x00\x01" + _text(TOPIC) + b"\x00"))
    _await(connection, b"\x90\x03\x00\x01\x00")


def _publish_mqtt(payload: bytes) -> bytes:
    return _mqtt(0x30, _text(TOPIC) + payload)


DIALECTS = {
    "ours": Dialect(_join_ours, _start_ours),
    "websocket": Dialect(_join_websocket, _start_websocket),
    "socket.io": Dialect(_join_socketio, _start_socketio),
    "redis": Dialect(_join_redis, publish=_publish_redis),
    "nats": Dialect(_join_nats, publish=_publish_nats, greet=_greet_nats),
    "mqtt": Dialect(_join_mqtt, publish=_publish_mqtt, greet=_greet_mqtt),
}
"""By the name of what is spoken."""
