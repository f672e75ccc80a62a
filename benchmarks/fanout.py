"""Measures the server alone: deliveries per second of its CPU time, to peers that only count records.

The peers are plain sockets in one process. They send the minimum that a WebSocket client has to, and count records by
searching the received bytes, so that they take little CPU time themselves.
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

from benchmarks.measure import Figures, InvalidRun, Metric, cpu_seconds, environment, free_port

PEERS = 5
FAN_OUT = Metric(f"raw fan-out to {PEERS} counting peers: per server CPU second", "deliveries", "more")
WALL = Metric(f"raw fan-out to {PEERS} counting peers: wall time, both sides on this machine", "deliveries/s", "more")

_RECORD = b'\n{"id":'
_END = b'{"type":"end"'
_DEADLINE_SECONDS = 120.0


class CountResult(NamedTuple):
    """The records that the process of peers received, the time it took, and the server's CPU time."""

    records: int
    seconds: float
    server_cpu_seconds: float


class Peer:
    """One subscriber that counts records."""

    def __init__(self, port: int, name: str) -> None:
        self.records, self.ended, self._carry = 0, False, b""
        self.socket = _connect(port)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        head = b""
        while b"\r\n\r\n" not in head:
            head += self.socket.recv(4096)
        self.socket.sendall(_masked(b'{"type":"subscribe","client":"%b","instance":"%b"}' % ((name.encode(),) * 2)))

    def receive(self, buffer: memoryview) -> None:
        """Receive once, and count the records in it."""
        received = self.socket.recv_into(buffer)
        if not received:
            raise InvalidRun(f"the server closed a peer after {self.records} records")
        data = self._carry + bytes(buffer[:received])
        self.records += data.count(_RECORD)
        self.ended |= _END in data
        self._carry = data[-len(_RECORD) + 1 :]


def measure(figures: Figures, folder: Path, records: int) -> None:
    """Start a server, count a whole run with the peers, and measure the server's CPU time."""
    folder.mkdir()
    port = free_port()
    variables = environment(RATE=0, RECORDS=records, CLIENTS=PEERS, PORT=port, VOLUMES=folder, GRACE_SECONDS=60)
    with (folder / "output").open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "services.server"], env=variables, stdout=output, stderr=output
        )
    try:
        peers_process = subprocess.run(
            [sys.executable, "-m", "benchmarks.fanout", str(port), str(server.pid)],
            env=variables,
            capture_output=True,
            check=False,
            timeout=_DEADLINE_SECONDS + 30,
        )
    finally:
        server.terminate()
        server.wait(30)
    if peers_process.returncode:
        raise InvalidRun(
            f"the peers ended with code {peers_process.returncode}: {peers_process.stderr.decode()[-2000:]}"
        )
    total, seconds, cpu = map(float, peers_process.stdout.split())
    if total != PEERS * records:
        raise InvalidRun(f"the peers counted {total:.0f} of {PEERS * records} records")
    figures.add(FAN_OUT, total / cpu)
    figures.add(WALL, total / seconds)


def count(port: int, server: int) -> CountResult:
    """Subscribe all peers, and count until each has received the end of the run."""
    peers = [Peer(port, f"peer-{number}") for number in range(1, PEERS + 1)]
    cpu_before, began = cpu_seconds(server) or 0.0, 0.0
    buffer = memoryview(bytearray(1 << 20))
    deadline = time.monotonic() + _DEADLINE_SECONDS
    with selectors.DefaultSelector() as selector:
        for peer in peers:
            selector.register(peer.socket, selectors.EVENT_READ, peer)
        while not all(peer.ended for peer in peers):
            for key, _ in selector.select(1.0):
                key.data.receive(buffer)
                began = began or (time.perf_counter() if key.data.records else 0.0)
            if time.monotonic() > deadline:
                raise InvalidRun(f"the peers waited longer than {_DEADLINE_SECONDS:.0f} s")
        seconds = time.perf_counter() - began
    used = (cpu_seconds(server) or 0.0) - cpu_before
    for peer in peers:
        peer.socket.close()
    return CountResult(sum(peer.records for peer in peers), seconds, used)


def _connect(port: int) -> socket.socket:
    deadline = time.monotonic() + 30
    while True:
        try:
            connection = socket.create_connection(("127.0.0.1", port), timeout=5)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return connection


def _masked(text: bytes) -> bytes:
    # A client has to mask its frames (RFC 6455, section 5.3); a mask of zeros leaves the payload unchanged.
    return bytes([0x81, 0x80 | len(text)]) + bytes(4) + text


if __name__ == "__main__":
    print(*count(int(sys.argv[1]), int(sys.argv[2])))
