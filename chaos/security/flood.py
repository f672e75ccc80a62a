"""``python -m chaos.security.flood HOST PORT KIND SECONDS``: a peer that sends as much as it can, and returns at once.

Prints how often it connected and how many bytes it sent.
"""

from __future__ import annotations

import socket
import sys
import time

from chaos.security.raw_peer import PING, PONG, frame, message, request

_FAT = [f"Authorization: {'x' * 7900}"] * 120
_OBSERVE = message("subscribe", client="flood", observe=True)
_NAMED = b"".join(
    message("subscribe", client=f"flood-{number}", run="20200101T000000Z") for number in range(200)
)  # fmt: skip
OPENINGS = {"fat handshakes": request(*_FAT)}
"""Opening requests other than the usual one, by kind."""
FLOODS = {
    "handshakes": b"",
    "fat handshakes": b"",
    "WebSocket pings": frame("", PING) * 8000,
    "WebSocket pongs": frame("", PONG) * 8000,
    "pings": message("ping", t1_us=1) * 2000,
    "byes": message("bye") * 2000,
    "subscriptions to another run": _NAMED * 4,
    "pings of an observer": _OBSERVE + message("ping", t1_us=1) * 2000,
    "malformed messages": frame("x") * 8000,
    "messages of 64 KB": frame("[" + "1," * 32_000 + "1]") * 8,
}
"""What is sent on each connection, by kind."""
NEW_NAMES = "new names"
"""Kind of a flood that takes part in the run: on each connection a subscription under another name."""


def flood(host: str, port: int, kind: str, seconds: float) -> tuple[int, int]:
    """Connect and send until the time is over; return the number of connections and of bytes."""
    opening = OPENINGS.get(kind, request())
    until, connections, sent = time.monotonic() + seconds, 0, 0
    while time.monotonic() < until:
        with socket.socket() as peer:
            peer.settimeout(1)
            connections += 1
            data = FLOODS[kind] if kind in FLOODS else message("subscribe", client=f"flood-{connections}")
            try:
                peer.connect((host, port))
                peer.sendall(opening)
                sent += len(opening)
                while data and time.monotonic() < until:
                    peer.sendall(data)
                    sent += len(data)
                peer.recv(4096)
            except OSError:
                # It was cut off, or its connection is full because the server does not read it.
                continue
    return connections, sent


if __name__ == "__main__":
    print(*flood(sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4])))
