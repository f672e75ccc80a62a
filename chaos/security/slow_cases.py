"""Peers that wait, do not read, or come in numbers (T3, T4, T5)."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

from chaos.security.case import Case
from chaos.security.raw_peer import PING, RawPeer, frame, message, request
from services.contract import bounds

_LIMIT = bounds.UNSUBSCRIBED.value
PEERS = _LIMIT + 300
"""Peers of the crowd."""
_LONGEST = bounds.SILENT_SECONDS.value + 5.0


def cases() -> Iterator[Case]:
    """Yield the cases that take seconds each, and can be tried at the same time."""
    yield Case("T4", "no request", ("closed in time",), lambda port: _waits(port, b""))
    yield Case("T4", "half a request", ("closed in time",), lambda port: _waits(port, request()[:60]))
    yield Case("T4", "a request byte by byte", ("closed in time",), _drips)
    yield Case("T4", "no subscription", ("error:unsubscribed 4408",), _silent)
    yield Case("T4", "half a frame", ("error:unsubscribed 4408",), lambda port: _silent(port, b"\x81\xfe"))
    yield Case("T5", "pings of a peer that reads nothing", ("cut",), lambda port: _deaf(port, frame("p" * 125, PING)))
    yield Case(
        "T5", "requests of a peer that reads nothing", ("cut",), lambda port: _deaf(port, message("ping", t1_us=1))
    )


def crowd_cases() -> Iterator[Case]:
    """Yield the cases that need all places of an address: nothing else may be tried meanwhile."""
    yield Case("T3", f"{PEERS:,} peers without a subscription", (f"{_LIMIT:,} admitted, healthy",), _crowd)


def _waits(port: int, data: bytes) -> str:
    with socket.create_connection(("127.0.0.1", port), _LONGEST) as peer:
        peer.sendall(data)
        with contextlib.suppress(ConnectionError):
            while peer.recv(4096):
                pass
    return "closed in time"


def _drips(port: int) -> str:
    until = time.monotonic() + _LONGEST
    with socket.create_connection(("127.0.0.1", port), 1) as peer:
        for byte in b"GET / HTTP/1.1\r\nX: " + b"y" * 1000:
            try:
                peer.sendall(bytes([byte]))
                peer.settimeout(0.1)
                if not peer.recv(1):
                    return "closed in time"
            except TimeoutError:
                if time.monotonic() > until:
                    return "open"
            except OSError:
                return "closed in time"
    return "open"


def _silent(port: int, data: bytes = b"") -> str:
    with RawPeer(port) as peer:
        peer.send(data)
        return peer.closing(_LONGEST)


def _deaf(port: int, data: bytes) -> str:
    until = time.monotonic() + 20
    with socket.socket() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.settimeout(0.5)
        peer.connect(("127.0.0.1", port))
        peer.sendall(request())
        while time.monotonic() < until:
            try:
                peer.sendall(data * 500)
            except TimeoutError:
                continue
            except OSError:
                return "cut"
    return "open"


def _crowd(port: int) -> str:
    peers = list[RawPeer]()
    try:
        for _ in range(PEERS):
            peers.append(peer := RawPeer(port))
            # One that sends a frame may stay until all of them have come.
            peer.send(message("ping", t1_us=1))
        refused = [peer for peer in peers if peer.status == "503" and "Retry-After: " in peer.head]
        admitted = [peer for peer in peers if peer.status == "101"]
        if len(refused) + len(admitted) < len(peers):
            return "other answers"
        with RawPeer(port, request("X: y", path="/healthz")) as probe:
            health = "healthy" if probe.status == "200" else "not healthy"
        return f"{len(admitted):,} admitted, {health}"
    finally:
        for peer in peers:
            peer.close()
