"""A peer that never reads is cut in time, costs the server no memory and the other clients nothing."""

from __future__ import annotations

import base64
import os
import signal
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from services.contract import wire
from services.contract.fields import utc_us
from services.contract.ledger import Leave, Pace
from tests.integration.processes import System
from tests.poll import poll_until

RATE = 10_000
SEND_SECONDS = 2
STOP_SECONDS = 5.0
MOST_GROWTH_KIB = 16 * 1024


@contextmanager
def never_reading(port: int, name: str, receive_buffer: int = 4096) -> Iterator[socket.socket]:
    """Subscribe by a raw socket with a small receive buffer, and never read again."""
    with socket.socket() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        peer.settimeout(10)
        peer.connect(("127.0.0.1", port))
        key = base64.b64encode(os.urandom(16)).decode()
        lines = ["GET / HTTP/1.1", f"Host: 127.0.0.1:{port}", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", "", ""]
        peer.sendall("\r\n".join(lines).encode())
        answer = peer.recv(2048)
        assert answer.startswith(b"HTTP/1.1 101"), answer
        peer.sendall(_masked(wire.encode(wire.Subscribe(client=name, instance=name))))
        yield peer


def _masked(payload: bytes) -> bytes:
    assert len(payload) < 65_536
    length = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + struct.pack(">H", len(payload))
    return b"\x81" + length + bytes(4) + payload


def resident_kib(pid: int) -> int:
    """Return how much memory a process has in RAM."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


def leaves(system: System, name: str) -> list[Leave]:
    """Return the ends of a client's subscriptions, from the ledger."""
    return [entry for entry in system.volumes.ledger() if isinstance(entry, Leave) and entry.client == name]


def due_us(system: System, seq: int) -> float:
    """Return when a record was due."""
    pace = next(entry for entry in system.volumes.ledger() if isinstance(entry, Pace))
    return pace.due_us + (seq - pace.first) * 1e6 / RATE


def test_a_never_reading_client_is_cut_and_nobody_else_notices(tmp_path: Path) -> None:
    """It is cut SEND_SECONDS after it took its last byte, by name, with memory flat; the others hold everything."""
    records, clients = RATE * 8, 2
    settings = {
        "RATE": RATE,
        "RECORDS": records,
        "CLIENTS": clients + 1,
        "SEND_SECONDS": SEND_SECONDS,
    }
    with System(tmp_path, **settings, BLOCK_SIZES=250, GRACE_SECONDS=3) as system:
        system.start("collector")
        server = system.server()
        for number in range(1, clients + 1):
            system.client(f"client-{number}")
        with never_reading(system.port, "stalled"):
            poll_until(lambda: system.volumes.head("client-1") > RATE, "a second has been played", 30)
            before, most = resident_kib(server.pid), 0

            def is_cut() -> bool:
                nonlocal most
                most = max(most, resident_kib(server.pid))
                return bool(leaves(system, "stalled"))

            poll_until(is_cut, "the stalled client is cut", 20, 0.05)
        (leave,) = leaves(system, "stalled")
        stalled_for = (utc_us(leave.at) - due_us(system, leave.sent)) / 1e6
        print(f"cut after {stalled_for:.2f} s, memory {before} KiB, at most {most} KiB")
        assert "slow" == leave.cause
        assert SEND_SECONDS - 0.5 <= stalled_for <= SEND_SECONDS + 1
        assert most - before <= MOST_GROWTH_KIB
        system.wait()
        summary = system.volumes.summary()
        assert summary is not None
        *others, stalled = summary.clients
        assert ("stalled", "lost") == (stalled.client, stalled.state)
        for client in others:
            assert ("finished", records, 0, 0) == (client.state, client.received, client.duplicates, client.residual)
        assert 0 == summary.totals.residual


@pytest.mark.parametrize("stalled", [1, 20])
def test_a_stalled_client_does_not_hold_up_the_stop(stalled: int, tmp_path: Path) -> None:
    """A server that is told to stop while clients do not read says so, leaves a whole ledger, and ends within 5 s."""
    settings = {"RATE": RATE, "RECORDS": RATE * 60, "CLIENTS": stalled + 1, "SEND_SECONDS": 60}
    with System(tmp_path, **settings) as system, ExitStack() as peers:
        server = system.server()
        system.client("client-1")
        for number in range(1, stalled + 1):
            peers.enter_context(never_reading(system.port, f"stalled-{number}"))
        poll_until(lambda: system.volumes.head("client-1") > RATE * 3, "three seconds have been played", 60, 0.3)
        began = time.monotonic()
        server.signal(signal.SIGTERM)
        assert 0 == server.wait(20)
        took = time.monotonic() - began
        print(f"stopped within {took:.2f} s beside {stalled} stalled clients")
        assert took <= STOP_SECONDS
        (reading,) = leaves(system, "client-1")
        for number in range(1, stalled + 1):
            assert all(leave.sent < reading.sent - RATE // 2 for leave in leaves(system, f"stalled-{number}"))
            assert ["draining"] == [leave.cause for leave in leaves(system, f"stalled-{number}")]
