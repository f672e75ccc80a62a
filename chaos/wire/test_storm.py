"""Restarts a server with more than a hundred clients, which reconnect all at once."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from chaos.tally import Tally
from chaos.wire.recovery import heads, p99, recoveries
from services.contract.ledger import SubscribeEntry
from tests.asserts import known
from tests.integration.processes import System
from tests.poll import poll_until

PROCESSES, CONNECTIONS = 4, 30
NAMES = [f"client-{p}.{c}" for p in range(1, PROCESSES + 1) for c in range(1, CONNECTIONS + 1)]
RATE, RECORDS = 10, 150
RESUME_SECONDS = 5.0
"""Deadline from when the server listens until each client has a receipt for a new record."""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "term"])
def test_a_hundred_clients_resume_after_a_restart(number: signal.Signals, tally: Tally, tmp_path: Path) -> None:
    """120 clients whose server is killed or stopped and restarted have new records on disk within 5 s: PASS."""
    settings = {"RATE": RATE, "RECORDS": RECORDS, "CLIENTS": len(NAMES), "BLOCK_SIZES": 5, "BLOCK_SECONDS": 0.5}
    with System(tmp_path, **settings) as system:
        system.start("collector")
        server = system.server()
        for process in range(1, PROCESSES + 1):
            system.client(f"client-{process}", CONNECTIONS=CONNECTIONS)
        poll_until(lambda: {*NAMES} <= {*heads(system.volumes)}, "all clients have a receipt", 60)
        server.signal(number)
        server.wait(20)
        system.server()
        started_at = time.time()
        system.wait()
        summary = system.volumes.summary()
        assert summary is not None
        totals = summary.totals
        tally.add_checks(
            totals.received,
            lost=known(totals.missing) + abs(known(totals.residual)),
            duplicated=known(totals.duplicates),
        )
        recovery_s = recoveries(system.volumes, RECORDS, dict.fromkeys(NAMES, started_at))
        kind = "kill-server" if number == signal.SIGKILL else "term-server"
        tally.add_fault(kind, f"server of {len(NAMES)}", max(recovery_s.values()))
        seconds = sorted(recovery_s.values())
        print(f"{kind}: p50 {seconds[len(seconds) // 2]:.2f} s, p99 {p99(seconds):.2f} s")
        assert len(NAMES) * RECORDS == totals.received
        assert (0, 0, 0, 0) == (totals.missing, totals.duplicates, totals.reordered, totals.residual)
        assert ([], {1}) == (summary.faults, {client.sessions for client in summary.clients})
        subscribed = [entry.client for entry in system.volumes.ledger() if isinstance(entry, SubscribeEntry)]
        assert set(NAMES) == {name for name in subscribed if subscribed.count(name) >= 2}
        assert max(recovery_s.values()) <= RESUME_SECONDS
