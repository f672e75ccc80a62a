"""Part (b): ``make local SERVERS=4`` with one of the server processes killed; the supervisor replaces it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from chaos.scale import run_check
from chaos.scale.part import Part, PartOutcome
from services.contract import ledger
from services.server.runs import process_identity
from tests.integration.processes import LocalRun
from tests.integration.shared_runs import ledgers
from tests.poll import poll_until

_SERVERS, _CLIENTS = 4, 12
_STEP_SECONDS, _VERDICT_SECONDS = 30.0, 60.0


def _play(folder: Path) -> PartOutcome:
    with LocalRun(folder, SERVERS=_SERVERS, CLIENTS=_CLIENTS, RATE=100, RECORDS=1200) as run:
        poll_until(lambda: _busiest(run) is not None, "a server has clients and sends", _STEP_SECONDS)
        victim = _busiest(run)
        assert victim is not None
        os.kill(victim, signal.SIGKILL)
        code = run.wait(_VERDICT_SECONDS)
        outcome = run_check.judge(folder, runs=1, servers=_SERVERS + 1)
        if code:
            outcome.problems.append(f"the invocation ends with {code}:\n{run.text}")
    return outcome


def _busiest(run: LocalRun) -> int | None:
    """Return the process number of the server with most clients, once it sends; None before."""
    if not run.volumes.runs():
        return None
    most, victim = 0, None
    for entries in ledgers(run.volumes, run.volumes.newest()):
        sent = {entry.client for entry in entries if isinstance(entry, ledger.SentEntry)}
        opening = entries[0] if entries else None
        if len(sent) > most and isinstance(opening, ledger.OpenEntry):
            process = process_identity.parse(opening.process)
            most, victim = len(sent), process.pid if process is not None else None
    return victim


ONE_PORT = Part(
    letter="b",
    what=f"{_SERVERS} server processes on one port × {_CLIENTS} clients, one killed -9 and replaced",
    is_short=True,
    play=_play,
)
