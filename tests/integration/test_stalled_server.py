"""A server that stalls: latency (from the due time) shows it, transit (from the send time) does not."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from services.contract import summary, timeline
from tests.integration.processes import System

pytestmark = pytest.mark.serial

RATE, STALL_NS = 500, 1_000_000_000


def test_a_stall_moves_latency_from_the_due_time_alone(tmp_path: Path) -> None:
    """After a stop of one second at 500 records/s latency rises by a second and transit does not."""
    with System(tmp_path, RATE=RATE, RECORDS=3000, CLIENTS=2) as system:
        server = system.server()
        for name in ("client-1", "client-2"):
            system.client(name)
        collector = system.start("collector", PAGE_PORT=0)
        collector.wait_for_line("running")
        server.signal(signal.SIGSTOP)
        # This sleep is the stall.
        time.sleep(STALL_NS / 1e9)
        server.signal(signal.SIGCONT)
        code, _ = system.wait()
        folder = tmp_path / "summary" / system.volumes.newest()
        made = summary.decode((folder / "summary.json").read_bytes())
        drawn = timeline.decode((folder / "timeline.json").read_bytes())

    assert 0 == code
    assert made.latency_ns.p99 is not None
    assert made.transit_ns.p99 is not None
    assert made.latency_ns.p99 > STALL_NS / 2 > 4 * made.transit_ns.p99
    assert any(slot.messages == 0 or (slot.latency and slot.latency[2] > STALL_NS / 2) for slot in drawn.slots)
    assert made.silence is not None
    assert made.silence.duration_ns > STALL_NS * 0.8
