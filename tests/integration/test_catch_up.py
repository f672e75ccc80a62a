"""Clients that join a run in progress: records due before they tried to connect count as catch-up, not as latency."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from services.contract.summary import ClientSummary, Summary
from tests.integration.processes import System
from tests.poll import poll_until

RATE = 200
BEFORE = 400
"""Records that are due before the late clients are started: two seconds of them."""
STALL_NS = 1_500_000_000


def began(system: System) -> None:
    """Start a run with two clients, and wait until the first records have been logged."""
    for name in ("client-1", "client-2"):
        system.client(name)
    system.start("collector", PAGE_PORT=0)
    poll_until(lambda: system.volumes.head("client-1") >= BEFORE, f"client-1 has logged {BEFORE} records", 30)


def closed(system: System) -> Summary:
    """Wait for the verdict, PASS, and return the summary."""
    code, text = system.wait()
    made = system.volumes.verdict()

    assert 0 == code, text
    assert made is not None
    return made


def client(made: Summary, name: str) -> ClientSummary:
    """Return a client's part of a summary."""
    return next(one for one in made.clients if one.client == name)


def test_a_run_that_begins_before_all_have_joined_has_no_seconds_of_latency(tmp_path: Path) -> None:
    """Of five clients three join two seconds after the start: their catch-up is counted separately."""
    with System(tmp_path, RATE=RATE, RECORDS=1600, CLIENTS=2) as system:
        system.server()
        began(system)
        for name in ("client-3", "client-4", "client-5"):
            system.client(name)
        made = closed(system)

    late = [client(made, name) for name in ("client-3", "client-4", "client-5")]
    counts = [one.catch_up or 0 for one in late]
    assert ("PASS", 5) == (made.verdict, len(made.clients))
    assert all(count >= BEFORE for count in counts)
    assert sum(counts) == made.totals.catch_up
    assert made.headline.endswith(f" · {sum(counts):,} caught up")
    assert made.latency_ns.p99 is not None
    assert made.catch_up_ns.max is not None
    # p99 would exceed two seconds if catch-up counted as latency.
    assert made.latency_ns.p99 < 1e9 < BEFORE / RATE * 1e9 <= made.catch_up_ns.max


def test_a_server_that_is_slow_to_admit_shows_as_latency(tmp_path: Path) -> None:
    """For a client that tries to connect while the server is stopped, records due from then on count as latency."""
    with System(tmp_path, RATE=RATE, RECORDS=1600, CLIENTS=2) as system:
        server = system.server()
        began(system)
        server.signal(signal.SIGSTOP)
        late = system.client("client-3")
        late.wait_for_line('"client"')
        # This sleep is the time during which the client is not admitted.
        time.sleep(STALL_NS / 1e9)
        server.signal(signal.SIGCONT)
        made = closed(system)

    found = client(made, "client-3")
    assert "PASS" == made.verdict
    assert found.latency_ns.max is not None
    assert (found.catch_up or 0) >= BEFORE
    assert found.latency_ns.max >= 0.9 * STALL_NS
