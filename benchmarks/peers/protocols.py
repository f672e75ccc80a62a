"""The minimum that a subscriber has to send to each kind of server, on a plain socket."""

from __future__ import annotations

import base64
import os
import socket
from collections.abc import Callable, Sequence
from typing import NamedTuple

TOPIC = b"feed"

_JOIN_SECONDS = 30.0


class NotSubscribed(Exception):
    """A server closed the connection, or did not answer, instead of confirming a subscription."""


class Dialect(NamedTuple):
    """The protocol of one kind of server.

    ``join`` subscribes on a connected socket, and returns when the server has confirmed it; ``start`` makes a server
    that has its own records send a number of messages; ``publish`` encodes a payload for a broker, and
    ``open_publisher`` opens the connection on which they are published.
    """

    join: Callable[[socket.socket, int], None]
    start: Callable[[Sequence[socket.socket], int], None] = lambda _, __: None
    publish: Callable[[bytes], bytes] | None = None
    open_publisher: Callable[[socket.socket], None] = lambda _: None


def masked(text: bytes) -> bytes:
    """Return a short text message as a WebSocket client sends it."""
    # A client has to mask its frames (RFC 6455, section 5.3); a mask of zeros leaves the payload unchanged.
    return bytes([0x81, 0x80 | len(text)]) + bytes(4) + text


def _read_until(connection: socket.socket, expected: bytes, received_bytes: bytes = b"") -> bytes:
    """Read until ``expected`` was received; return all bytes."""
    connection.settimeout(_JOIN_SECONDS)
    while expected not in received_bytes:
        try:
            received = connection.recv(4096)
        except TimeoutError as problem:
            raise NotSubscribed(f"no {expected!r} within {_JOIN_SECONDS:.0f} s, only {received_bytes!r}") from problem
        if not received:
            raise NotSubscribed(f"closed before {expected!r}, after {received_bytes!r}")
        received_bytes += received
    return received_bytes


def _upgrade(connection: socket.socket, path: str = "/") -> bytes:
    """Open a WebSocket without compression; return the bytes after the head of the response."""
    key = base64.b64encode(os.urandom(16)).decode()
    connection.sendall(
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    head, _, rest = _read_until(connection, b"\r\n\r\n").partition(b"\r\n\r\n")
    if b" 101 " not in head:
        raise NotSubscribed(f"not a WebSocket: {head!r}")
    return rest


def _join_ours(connection: socket.socket, _: int) -> None:
    _read_until(connection, b'"type":"welcome"', _upgrade(connection))


def _start_ours(connections: Sequence[socket.socket], _: int) -> None:
    # The project's server starts its run when all clients have subscribed; its settings decide the length.
    for number, connection in enumerate(connections):
        connection.sendall(masked(b'{"type":"subscribe","client":"peer-%d","instance":"%d"}' % (number, number)))


def _join_websocket(connection: socket.socket, _: int) -> None:
    _upgrade(connection)


def _start_websocket(connections: Sequence[socket.socket], messages: int) -> None:
    connections[0].sendall(masked(b"%d" % messages))


def _join_socketio(connection: socket.socket, _: int) -> None:
    opened = _read_until(connection, b'0{"sid"', _upgrade(connection, "/socket.io/?EIO=4&transport=websocket"))
    connection.sendall(masked(b"40"))
    _read_until(connection, b'40{"sid"', opened[-1:])


def _start_socketio(connections: Sequence[socket.socket], messages: int) -> None:
    connections[0].sendall(masked(b'42["go",%d]' % messages))


def _join_redis(connection: socket.socket, _: int) -> None:
    connection.sendall(b"*2\r\n$9\r\nSUBSCRIBE\r\n$%d\r\n%b\r\n" % (len(TOPIC), TOPIC))
    _read_until(connection, b":1\r\n")


def _publish_redis(payload: bytes) -> bytes:
    return b"*3\r\n$7\r\nPUBLISH\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(TOPIC), TOPIC, len(payload), payload)


def _open_nats(connection: socket.socket) -> None:
    connection.sendall(b'CONNECT {"verbose":false,"pedantic":false}\r\nPING\r\n')
    _read_until(connection, b"PONG\r\n")


def _join_nats(connection: socket.socket, _: int) -> None:
    connection.sendall(b'CONNECT {"verbose":false,"pedantic":false}\r\nSUB %b 1\r\nPING\r\n' % TOPIC)
    _read_until(connection, b"PONG\r\n")


def _publish_nats(payload: bytes) -> bytes:
    return b"PUB %b %d\r\n%b\r\n" % (TOPIC, len(payload), payload)


def _mqtt(kind: int, content: bytes) -> bytes:
    # The length is encoded in groups of seven bits, lowest first (MQTT 3.1.1, section 2.2.3).
    length, left = b"", len(content)
    while True:
        left, group = left >> 7, left & 0x7F
        length += bytes([group | (0x80 if left else 0)])
        if not left:
            return bytes([kind]) + length + content


def _mqtt_string(value: bytes) -> bytes:
    return len(value).to_bytes(2, "big") + value


def _open_mqtt(connection: socket.socket, name: bytes = b"publisher") -> None:
    # Protocol level 4, a clean session, no keepalive.
    connection.sendall(_mqtt(0x10, _mqtt_string(b"MQTT") + b"\x04\x02\x00\x00" + _mqtt_string(name)))
    _read_until(connection, b"\x20\x02\x00\x00")


def _join_mqtt(connection: socket.socket, number: int) -> None:
    _open_mqtt(connection, b"peer-%d" % number)
    connection.sendall(_mqtt(0x82, b"\x00\x01" + _mqtt_string(TOPIC) + b"\x00"))
    _read_until(connection, b"\x90\x03\x00\x01\x00")


def _publish_mqtt(payload: bytes) -> bytes:
    return _mqtt(0x30, _mqtt_string(TOPIC) + payload)


DIALECTS = {
    "ours": Dialect(_join_ours, _start_ours),
    "websocket": Dialect(_join_websocket, _start_websocket),
    "socket.io": Dialect(_join_socketio, _start_socketio),
    "redis": Dialect(_join_redis, publish=_publish_redis),
    "nats": Dialect(_join_nats, publish=_publish_nats, open_publisher=_open_nats),
    "mqtt": Dialect(_join_mqtt, publish=_publish_mqtt, open_publisher=_open_mqtt),
}
"""The dialects by name."""
