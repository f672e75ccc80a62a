"""The server alone: how much it can send for a second of its processor time, to peers that only count.

The peers are plain sockets in one process of their own. They say the least that a WebSocket client must, count the
records in the bytes as they come, and are otherwise in nobody's way.
"""

from __future__ import annotations

import base64
import os
import selectors
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import BooksOpen, Figures, Metric, cpu_seconds, environment, free_port

PEERS = 5
FAN_OUT = Metric(f"raw fan-out to {PEERS} counting peers: per server CPU second", "deliveries", "more")
WALL = Metric(f"raw fan-out to {PEERS} counting peers: wall time, both sides on this machine", "deliveries/s", "more")

_RECORD = b'\n{"id":'
_END = b'{"type":"end"'
_DEADLINE_SECONDS = 120.0


class Counted(NamedTuple):
    """What one process of peers received."""

    records: int
    seconds: float
    server_cpu_seconds: float


class Peer:
    """One subscriber that counts."""

    def __init__(self, port: int, name: str) -> None:
        self.records, self.ended, self._carry = 0, False, b""
        self.socket = _connected(port)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        head = b""
        while b"\r\n\r\n" not in head:
            head += self.socket.recv(4096)
        self.socket.sendall(_masked(b'{"type":"subscribe","client":"%b","instance":"%b"}' % ((name.encode(),) * 2)))

    def take(self, buffer: memoryview) -> None:
        """Count what has come."""
        received = self.socket.recv_into(buffer)
        if not received:
            raise BooksOpen(f"the server closed a peer after {self.records} records")
        data = self._carry + bytes(buffer[:received])
        self.records += data.count(_RECORD)
        self.ended |= _END in data
        self._carry = data[-len(_RECORD) + 1 :]


def measure(figures: Figures, folder: Path, records: int) -> None:
    """Start a server, let the peers count a whole run, and read what it cost the server."""
    folder.mkdir()
    port = free_port()
    given = environment(RATE=0, RECORDS=records, CLIENTS=PEERS, PORT=port, VOLUMES=folder, GRACE_SECONDS=60)
    with (folder / "output").open("wb") as output:
        server = subprocess.Popen([sys.executable, "-m", "services.server"], env=given, stdout=output, stderr=output)
    try:
        counting = subprocess.run(
            [sys.executable, "-m", "benchmarks.fanout", str(port), str(server.pid)],
            env=given,
            capture_output=True,
            check=False,
            timeout=_DEADLINE_SECONDS + 30,
        )
    finally:
        server.terminate()
        server.wait(30)
    if counting.returncode:
        raise BooksOpen(f"the peers ended with code {counting.returncode}: {counting.stderr.decode()[-2000:]}")
    total, seconds, cpu = map(float, counting.stdout.split())
    if total != PEERS * records:
        raise BooksOpen(f"the peers counted {total:.0f} of {PEERS * records} records")
    figures.add(FAN_OUT, total / cpu)
    figures.add(WALL, total / seconds)


def count(port: int, server: int) -> Counted:
    """Subscribe all peers and count until each has been told the end."""
    peers = [Peer(port, f"peer-{number}") for number in range(1, PEERS + 1)]
    spent, began = cpu_seconds(server) or 0.0, 0.0
    buffer = memoryview(bytearray(1 << 20))
    deadline = time.monotonic() + _DEADLINE_SECONDS
    with selectors.DefaultSelector() as selector:
        for peer in peers:
            selector.register(peer.socket, selectors.EVENT_READ, peer)
        while not all(peer.ended for peer in peers):
            for key, _ in selector.select(1.0):
                key.data.take(buffer)
                began = began or (time.perf_counter() if key.data.records else 0.0)
            if time.monotonic() > deadline:
                raise BooksOpen(f"the peers waited longer than {_DEADLINE_SECONDS:.0f} s")
        seconds = time.perf_counter() - began
    used = (cpu_seconds(server) or 0.0) - spent
    for peer in peers:
        peer.socket.close()
    return Counted(sum(peer.records for peer in peers), seconds, used)


def _connected(port: int) -> socket.socket:
    deadline = time.monotonic() + 30
    while True:
        try:
            made = socket.create_connection(("127.0.0.1", port), timeout=5)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return made


def _masked(text: bytes) -> bytes:
    # A client masks what it says (RFC 6455, section 5.3); a mask of zeros leaves it readable.
    return bytes([0x81, 0x80 | len(text)]) + bytes(4) + text


if __name__ == "__main__":
    print(*count(int(sys.argv[1]), int(sys.argv[2])))
