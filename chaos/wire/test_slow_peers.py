"""A peer that does not read is disconnected in time, and costs neither server memory nor other clients' latency."""

from __future__ import annotations

import base64
import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from chaos.tally import Tally
from chaos.wire.recovery import p99
from services.contract import wire
from services.contract.ledger import LeaveEntry, PaceEntry
from services.contract.scalars import utc_us
from tests.asserts import known
from tests.integration.processes import System
from tests.poll import poll_until

RATE = 2000
SEND_SECONDS = 2
STOP_SECONDS = 5.0
FAST = 10_000
"""A rate that stalls a peer that does not read within three seconds."""
HONEST = ["client.1", "client.2"]
SLOW = [f"never-reading-{number}" for number in range(1, 51)] + [f"slow-reading-{number}" for number in range(1, 11)]
SLOW_BYTES = 1024
MOST_GROWTH_KIB = 512
"""Per slow peer: the server's send buffer limit plus one frame."""
MOST_DELAY_MS = 50.0


@contextmanager
def never_reading(port: int, name: str, receive_buffer: int = 4096) -> Iterator[socket.socket]:
    """Subscribe through a raw socket with a small receive buffer, and never read again."""
    with socket.socket() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        peer.settimeout(10)
        peer.connect(("127.0.0.1", port))
        key = base64.b64encode(os.urandom(16)).decode()
        lines = ["GET / HTTP/1.1", f"Host: 127.0.0.1:{port}", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", "", ""]
        peer.sendall("\r\n".join(lines).encode())
        reply = peer.recv(2048)
        assert reply.startswith(b"HTTP/1.1 101"), reply
        peer.sendall(_masked(wire.encode(wire.Subscribe(client=name, instance=name))))
        yield peer


def _masked(payload: bytes) -> bytes:
    assert len(payload) < 65_536
    length = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + struct.pack(">H", len(payload))
    return b"\x81" + length + bytes(4) + payload


def resident_kib(pid: int) -> int:
    """Return the resident memory of a process, in KiB."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


def leave_entries(system: System, name: str) -> list[LeaveEntry]:
    """Return the leave entries of a client in the ledger."""
    return [entry for entry in system.volumes.ledger() if isinstance(entry, LeaveEntry) and entry.client == name]


def stalled_seconds(system: System, name: str, joined: float) -> float:
    """Return the seconds between the last record that was sent to a peer and its disconnection.

    The last record was sent when it was due, or when the peer ``joined`` (epoch seconds) if that was later.
    """
    (leave,) = leave_entries(system, name)
    pace = next(entry for entry in system.volumes.ledger() if isinstance(entry, PaceEntry))
    due = (pace.due_us + (leave.sent - pace.first) * 1e6 / RATE) / 1e6
    return utc_us(leave.at) / 1e6 - max(due, joined)


class SlowReaders:
    """Reads 1 KB per second from each of some peers, in a thread, until they are disconnected."""

    def __init__(self, peers: list[socket.socket]) -> None:
        self._peers = peers
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        open_peers = list(self._peers)
        while not self._stop.wait(0.25):
            for peer in list(open_peers):
                try:
                    data = peer.recv(SLOW_BYTES // 4)
                except OSError:
                    data = b""
                if not data:
                    open_peers.remove(peer)

    def close(self) -> None:
        """Stop reading."""
        self._stop.set()
        self._thread.join(15)


def latencies(system: System, client: str, since: float, until: float) -> list[float]:
    """Return the latencies (ms) of the messages that a client received in a span of time (epoch seconds)."""
    return [
        message.latency_ns / 1e6
        for message in system.volumes.messages(client)
        if since <= utc_us(message.received_at) / 1e6 < until
    ]


def test_slow_peers_are_cut_and_nobody_else_notices(tally: Tally, tmp_path: Path) -> None:
    """50 peers that never read and 10 that read 1 KB/s are cut in time, with flat memory; other clients get all."""
    records = RATE * 9
    settings = {"RATE": RATE, "RECORDS": records, "CLIENTS": len(HONEST), "SEND_SECONDS": SEND_SECONDS}
    with System(tmp_path, **settings, BLOCK_SIZES=250, GRACE_SECONDS=3) as system, ExitStack() as resources:
        system.start("collector")
        server = system.server()
        system.client("client", CONNECTIONS=len(HONEST))
        poll_until(lambda: system.volumes.head(HONEST[0]) > RATE * 3, "three seconds of records are receipted", 30)
        before_kib, peak_kib, began, peers = resident_kib(server.pid), 0, time.time(), dict[str, float]()
        for name in SLOW:
            peers[name] = time.time()
            peer = resources.enter_context(never_reading(system.port, name))
            if name.startswith("slow"):
                resources.callback(SlowReaders([peer]).close)

        def all_cut() -> bool:
            nonlocal peak_kib
            peak_kib = max(peak_kib, resident_kib(server.pid))
            return {entry.client for entry in system.volumes.ledger() if isinstance(entry, LeaveEntry)} >= set(SLOW)

        poll_until(all_cut, "all slow peers are disconnected", 20, 0.1)
        ended = time.time()
        system.wait()
        summary = system.volumes.summary()
        assert summary is not None
        after_s = {name: stalled_seconds(system, name, peers[name]) for name in SLOW}
        for name in SLOW:
            tally.add_fault(name.rsplit("-", 1)[0], name, beside=True)
        clients = {client.client: client for client in summary.clients}
        honest = [clients[name] for name in HONEST]
        tally.add_checks(
            sum(client.received for client in honest),
            lost=sum(known(client.missing) + abs(known(client.residual)) for client in honest)
            + abs(known(summary.totals.residual)),
            duplicated=sum(known(client.duplicates) for client in honest),
            undetected=sum(clients[name].state != "lost" for name in SLOW),
        )
        quiet = p99([ms for name in HONEST for ms in latencies(system, name, began - 1.5, began)])
        beside = p99([ms for name in HONEST for ms in latencies(system, name, began, ended)])
        print(f"cut after {min(after_s.values()):.2f} to {max(after_s.values()):.2f} s")
        print(f"memory {before_kib} KiB, at most {peak_kib} KiB")
        print(f"p99 of the other clients {quiet:.1f} ms before, {beside:.1f} ms with slow peers")
        assert {"slow"} == {leave_entries(system, name)[0].cause for name in SLOW}
        assert SEND_SECONDS - 0.5 <= min(after_s.values())
        assert max(after_s.values()) <= SEND_SECONDS + 1
        assert peak_kib - before_kib <= MOST_GROWTH_KIB * len(SLOW)
        assert beside <= quiet + MOST_DELAY_MS
        assert {"lost"} == {clients[name].state for name in SLOW}
        for client in honest:
            assert ("finished", records, 0, 0) == (client.state, client.received, client.duplicates, client.residual)
        assert 0 == summary.totals.residual


@pytest.mark.parametrize("stalled", [1, 20])
def test_a_stalled_client_does_not_hold_up_the_stop(stalled: int, tally: Tally, tmp_path: Path) -> None:
    """A server that is stopped while clients do not read leaves a complete ledger, and ends within 5 s."""
    settings = {"RATE": FAST, "RECORDS": FAST * 60, "CLIENTS": stalled + 1, "SEND_SECONDS": 60}
    with System(tmp_path, **settings) as system, ExitStack() as peers:
        server = system.server()
        system.client("client-1")
        for number in range(1, stalled + 1):
            peers.enter_context(never_reading(system.port, f"stalled-{number}"))
        poll_until(
            lambda: system.volumes.head("client-1") > FAST * 3, "three seconds of records are receipted", 60, 0.3
        )
        began = time.monotonic()
        server.signal(signal.SIGTERM)
        assert 0 == server.wait(20)
        took = time.monotonic() - began
        print(f"stopped within {took:.2f} s with {stalled} stalled clients")
        for number in range(1, stalled + 1):
            tally.add_fault("never-reading", f"stalled-{number} at a stop", beside=stalled > 1)
        tally.add_checks(system.volumes.head("client-1"))
        assert took <= STOP_SECONDS
        (reading,) = leave_entries(system, "client-1")
        for number in range(1, stalled + 1):
            assert all(leave.sent < reading.sent - FAST // 2 for leave in leave_entries(system, f"stalled-{number}"))
            assert ["draining"] == [leave.cause for leave in leave_entries(system, f"stalled-{number}")]
