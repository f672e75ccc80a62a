"""The honest part of a run that is attacked: a server, its clients, what they received, and what the server costs."""

from __future__ import annotations

import math
import resource
from pathlib import Path
from typing import NamedTuple

from chaos.security.raw_peer import RawPeer, message
from services.contract.ledger import PaceEntry
from tests.integration.processes import System

CLIENTS = ("client-1", "client-2", "client-3")
RATE = 10
"""Low, since the server keeps the records of up to 128,000 seqs that it has played: 0.2 MB a minute at this rate."""
RECORDS = 50_000


class Window(NamedTuple):
    """What the honest clients received in a period.

    Attributes:
        messages: number.
        p50_ms: median of the latency.
        p99_ms: 99th percentile.
        max_ms: the largest.
    """

    messages: int
    p50_ms: float
    p99_ms: float
    max_ms: float


class HonestRun:
    """A server with three clients that receive 10 records a second until `finish`.

    Attributes:
        system: the processes.
        server: the server's process.
    """

    def __init__(self, system: System) -> None:
        self.system = system
        # Few and small records, since the server's cache of records grows with those that it has played.
        self.server = system.server(RATE=RATE, RECORDS=RECORDS, SCHEMA="sensor", CLIENTS=len(CLIENTS))
        system.start("collector")
        self.clients = [system.client(name, BLOCK_SIZES="5") for name in CLIENTS]
        for client in self.clients:
            client.wait_for_line('"subscribed"')

    def due_us(self, seq: int) -> float:
        """Return when a record was due."""
        pace = next(entry for entry in self.system.volumes.ledger() if isinstance(entry, PaceEntry))
        return pace.due_us + (seq - pace.first) * 1_000_000 / RATE

    def window(self, began: float, ended: float) -> Window:
        """Return the latencies of the records that were due in a period (epoch seconds), from the block logs."""
        zero_us = self.due_us(0)
        seqs = range(*(int((at * 1_000_000 - zero_us) * RATE / 1_000_000) for at in (began, ended)))
        latencies = sorted(
            received.latency_ns
            for name in CLIENTS
            for received in self.system.volumes.messages(name)
            if received.seq in seqs
        )
        if not latencies:
            return Window(0, math.inf, math.inf, math.inf)
        p50, p99 = (latencies[int(len(latencies) * share)] / 1e6 for share in (0.5, 0.99))
        return Window(len(latencies), p50, p99, latencies[-1] / 1e6)

    @property
    def resident_bytes(self) -> int:
        """Resident memory of the server."""
        return resident_bytes(self.server.pid)

    def finish(self) -> tuple[int, str]:
        """Send the rest of the feed at once; return the verdict's exit code and text."""
        with RawPeer(self.system.port) as operator:
            operator.send(message("control", set={"rate": 0}))
            assert operator.outcome() == "open controlled"
        return self.system.wait()


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process."""
    pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * resource.getpagesize()
