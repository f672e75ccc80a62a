"""A rate plan follows the clock: a crash shifts nothing, a stop shifts the rest, a rate set by hand ends it."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from services.contract import ledger
from tests.integration.processes import System
from tests.poll import poll_until
from tests.readers import Volumes

PLAN = "100:2s,1000:1s,pause:1s,100"
RECORDS = 1300
STAGES = [(1, 1, 0.0), (2, 201, 2.0), (3, 1201, 3.0), (4, 1201, 4.0)]
"""Number, first record and start of each stage without interruptions."""


def paces(volumes: Volumes) -> list[ledger.PaceEntry]:
    """Return the ``pace`` lines of the run."""
    return [entry for entry in volumes.ledger() if isinstance(entry, ledger.PaceEntry)]


def stages(volumes: Volumes) -> list[tuple[int | None, int, float]]:
    """Return number, first record and start, in seconds since the run's, of the stages in the ledger."""
    found = paces(volumes)
    return [(pace.stage, pace.first, (pace.due_us - found[0].due_us) / 1e6) for pace in found]


def assert_all_is_there(volumes: Volumes) -> None:
    """Assert that every client has every record once and that the run passes."""
    summary = volumes.summary()
    assert summary is not None
    assert ("PASS", 2 * RECORDS, 0) == (summary.verdict, summary.totals.received, summary.totals.residual)
    for client in ("client-1", "client-2"):
        assert list(range(1, RECORDS + 1)) == [message.seq for message in volumes.messages(client)]


@pytest.mark.parametrize("fault", [None, signal.SIGKILL, signal.SIGTERM])
def test_a_plan_is_played(tmp_path: Path, fault: signal.Signals | None) -> None:
    """Undisturbed and after a crash every stage starts as planned; a stop delays the remaining stages."""
    with System(tmp_path, RATE=PLAN, RECORDS=RECORDS, CLIENTS=2) as system:
        system.start("collector").wait_for_line('"ready"')
        server = system.server()
        for name in ("client-1", "client-2"):
            system.client(name)
        if fault is not None:
            poll_until(lambda: system.volumes.head("client-1") > 400, "the burst is on", 30)
            server.signal(fault)
            server.wait()
            system.server()
        code, output = system.wait()

    assert 0 == code, output
    assert_all_is_there(system.volumes)
    played = stages(system.volumes)
    if fault is signal.SIGTERM:
        assert [1, 2, None, 2, 3, 4] == [number for number, _, _ in played]
        assert STAGES[:2] == played[:2]
        stopped = played[3][2] - played[2][2]
        # An interrupted stage continues with a record at once, which is one more than fits its duration.
        assert [(number, first + 1) for number, first, _ in STAGES[2:]] == [pace[:2] for pace in played[4:]]
        assert [at + stopped for *_, at in STAGES[2:]] == pytest.approx([at for *_, at in played[4:]], abs=1e-5)
    else:
        assert STAGES == played
