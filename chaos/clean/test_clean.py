"""Fifty runs without a fault: whatever the settings, nothing is held against any of them."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from chaos.tally import Tally
from services.contract.summary import Summary
from tests.integration.processes import LocalRun
from tests.integration.stack import Stack
from tests.poll import poll_until
from tests.readers import Volumes

RUNS = 10
SECONDS = 120.0
LOCAL = {
    "a trickle": {"CLIENTS": 2, "RATE": 20, "RECORDS": 30, "BLOCK_SIZES": "3,7"},
    "paced": {"CLIENTS": 3, "RATE": 1000, "RECORDS": 1000, "BLOCK_SIZES": "10,250"},
    "flat out": {"CLIENTS": 2, "RATE": 0, "RECORDS": 20_000, "BLOCK_SIZES": "500"},
    "synced together": {"CLIENTS": 2, "RATE": 400, "RECORDS": 400, "FSYNC": "interval", "BLOCK_SECONDS": 0.2},
}


def settled(volumes: Volumes) -> list[Summary]:
    """Wait until all runs have their verdicts; return the summaries."""

    def all_judged() -> list[Summary]:
        found = [made for run in volumes.runs() if (made := volumes.verdict(run)) is not None]
        return found if len(found) >= RUNS else []

    return poll_until(all_judged, f"{RUNS} runs have their verdicts", SECONDS)


def alarms(made: Summary) -> list[str]:
    """Return what is held against a run: its reasons, its damage, and any count that should be 0."""
    sums = made.totals
    counts = {
        "missing": sums.missing, "duplicates": sums.duplicates, "reordered": sums.reordered,
        "corrupt": sums.corrupt, "residual": sums.residual,
    }  # fmt: skip
    found = [*made.reasons, *(fault.detail for fault in made.faults)]
    found += [f"{name} {count}" for name, count in counts.items() if count]
    return found if made.verdict == "PASS" else [f"verdict {made.verdict}", *found]


def hold(tally: Tally, runs: list[Summary], clients: int, records: int) -> None:
    """Hold runs to perfection."""
    raised = [f"{made.run}: {alarm}" for made in runs for alarm in alarms(made)]
    received = sum(made.totals.received for made in runs)
    tally.held(received, lost=RUNS * clients * records - received, alarms=len(raised))
    assert [] == raised
    assert RUNS * clients * records == received
    assert RUNS == len(runs)


@pytest.mark.slow
def test_forty_runs_of_processes_raise_no_alarm(tmp_path: Path, tally: Tally) -> None:
    """Four systems of processes, each with settings of its own, play ten runs each, and all of them pass."""

    def play(name: str) -> tuple[int, list[Summary]]:
        folder = tmp_path / name.replace(" ", "-")
        folder.mkdir()
        with LocalRun(folder, RUNS=RUNS, **LOCAL[name]) as run:
            return run.wait(SECONDS), settled(run.volumes)

    with ThreadPoolExecutor(len(LOCAL)) as pool:
        played = dict(zip(LOCAL, pool.map(play, LOCAL), strict=True))
    for name, (_, runs) in played.items():
        hold(tally, runs, int(str(LOCAL[name]["CLIENTS"])), int(str(LOCAL[name]["RECORDS"])))
    assert [0] * len(LOCAL) == [code for code, _ in played.values()]


@pytest.mark.containers
@pytest.mark.slow
def test_ten_runs_of_containers_raise_no_alarm(folder: Path, engine: None, tally: Tally) -> None:
    """Five containers play ten runs one after the other, and all of them pass."""
    began = time.monotonic()
    with Stack(folder, RUNS=RUNS, RATE=200, RECORDS=200, CLIENTS=5) as stack:
        stack.up(clients=5)
        hold(tally, settled(stack.volumes), 5, 200)
    print(f"{RUNS} runs in {time.monotonic() - began:.0f} s")
