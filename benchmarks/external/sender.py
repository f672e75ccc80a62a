"""Sends an external feed: prepared frames, each with one record of 260 bytes, to every connection at the same time.

The frames are made before the first connection, and the handshake is answered by hand, so that the sender needs a
small part of the time of any client. A feed with a rate is stamped in place just before it is sent.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import struct
import sys
import threading
import time

SIZE = 260
"""Bytes of a record."""
SYMBOLS = ("BTC-USD", "ETH-USD", "SOL-USD", "XRP-USD")
"""Keys of the sequences; the records take them in turn."""
TICK_SECONDS = 0.001
"""A feed with a rate sends the records of such a time at once."""

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_HEAD = struct.Struct(">BBH")
# Of all numbers as many digits, so that the times are in the same place of each record.
_FIRST = 1_000_000
_STAMP_DIGITS = 19
_PIECE_BYTES = 256 * 1024
FRAME_BYTES = _HEAD.size + SIZE
"""Bytes of a record with the head of its frame."""


def record(number: int, sent_ns: int) -> bytes:
    """Return the record with this number, from 0, as JSON of `SIZE` bytes."""
    content = {
        "seq": _FIRST + number // len(SYMBOLS),
        "ts": sent_ns,
        "sym": SYMBOLS[number % len(SYMBOLS)],
        "side": "buy",
        "bids": [[100.5, 2.25], [100.25, 3.5]],
        "asks": [[101.5, 1.5]],
        "text": "",
    }
    content["text"] = "x" * (SIZE - len(json.dumps(content, separators=(",", ":"))))
    return json.dumps(content, separators=(",", ":")).encode()


def frames(first: int, count: int, sent_ns: int) -> bytearray:
    """Return the frames of consecutive records."""
    head = _HEAD.pack(0x81, 126, SIZE)
    return bytearray(b"".join(head + record(number, sent_ns) for number in range(first, first + count)))


def accept(listener: socket.socket) -> socket.socket:
    """Return the next connection, after the opening handshake."""
    connection = listener.accept()[0]
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    request = b""
    while b"\r\n\r\n" not in request:
        request += connection.recv(65536)
    key = re.search(rb"(?i)sec-websocket-key: *(\S+)", request)
    if key is None:
        raise ValueError(f"no handshake: {request!r}")
    answer = base64.b64encode(hashlib.sha1(key[1] + _GUID).digest())
    connection.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + answer + b"\r\n\r\n"
    )
    return connection


def send_flat_out(connections: list[socket.socket], content: memoryview) -> None:
    """Send everything as fast as the connections take it."""
    for begin in range(0, len(content), _PIECE_BYTES):
        for connection in connections:
            connection.sendall(content[begin : begin + _PIECE_BYTES])


def send_paced(connections: list[socket.socket], content: bytearray, rate: int) -> None:
    """Send at a rate, records per second; each record has the time at which its tick is sent."""
    each, stamp_at = FRAME_BYTES, content.index(b'"ts":') + len(b'"ts":')
    total, per_tick = len(content) // each, max(1, round(rate * TICK_SECONDS))
    view, began = memoryview(content), time.monotonic()
    for first in range(0, total, per_tick):
        due = began + first / rate
        while (ahead := due - time.monotonic()) > 0:
            time.sleep(ahead)
        last = min(first + per_tick, total)
        stamp = b"%d" % time.time_ns()
        for number in range(first, last):
            at = number * each + stamp_at
            content[at : at + _STAMP_DIGITS] = stamp
        for connection in connections:
            connection.sendall(view[first * each : last * each])


def answer_pings(connection: socket.socket) -> None:
    """Answer the pings of a client until it goes; all of its frames are short."""
    while frame := connection.recv(2, socket.MSG_WAITALL):
        rest = connection.recv(4 + (frame[1] & 127), socket.MSG_WAITALL)
        if frame[0] == 0x89:
            payload = bytes(byte ^ rest[at % 4] for at, byte in enumerate(rest[4:]))
            connection.sendall(bytes((0x8A, len(payload))) + payload)


def main() -> None:
    """Listen, and print ``listening``; after the connections print ``connected``, wait for a line, send, close.

    The last line is the processor time of the sending, in seconds.
    """
    port, count, rate, readers = map(int, sys.argv[1:])
    content = frames(0, count, time.time_ns())
    with socket.create_server(("127.0.0.1", port)) as listener:
        print("listening", flush=True)
        connections = [accept(listener) for _ in range(readers)]
    readings = [threading.Thread(target=answer_pings, args=(connection,), daemon=True) for connection in connections]
    for reading in readings:
        reading.start()
    print("connected", flush=True)
    sys.stdin.readline()
    began = time.process_time()
    if rate:
        send_paced(connections, content, rate)
    else:
        send_flat_out(connections, memoryview(content))
    print(time.process_time() - began, flush=True)
    for connection in connections:
        connection.sendall(b"\x88\x02" + struct.pack(">H", 1000))
    for reading in readings:
        reading.join(30)


if __name__ == "__main__":
    main()
