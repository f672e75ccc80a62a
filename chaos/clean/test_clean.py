"""Fifty runs without a fault, with different settings: every one passes without a reason against it."""

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


def wait_for_verdicts(volumes: Volumes) -> list[Summary]:
    """Wait until all runs have a verdict; return their summaries."""

    def all_verdicts() -> list[Summary]:
        summaries = [summary for run in volumes.runs() if (summary := volumes.verdict(run)) is not None]
        return summaries if len(summaries) >= RUNS else []

    return poll_until(all_verdicts, f"{RUNS} runs have their verdicts", SECONDS)


def alarms(summary: Summary) -> list[str]:
    """Return everything that a summary reports against a run: reasons, damage, and counts that should be 0."""
    sums = summary.totals
    counts = {
        "missing": sums.missing, "duplicates": sums.duplicates, "reordered": sums.reordered,
        "corrupt": sums.corrupt, "residual": sums.residual,
    }  # fmt: skip
    reported = [*summary.reasons, *(fault.detail for fault in summary.faults)]
    reported += [f"{name} {count}" for name, count in counts.items() if count]
    return reported if summary.verdict == "PASS" else [f"verdict {summary.verdict}", *reported]


def assert_no_alarms(tally: Tally, runs: list[Summary], clients: int, records: int) -> None:
    """Check that runs have every record and no alarm."""
    all_alarms = [f"{summary.run}: {alarm}" for summary in runs for alarm in alarms(summary)]
    received = sum(summary.totals.received for summary in runs)
    tally.add_checks(received, lost=RUNS * clients * records - received, alarms=len(all_alarms))
    assert [] == all_alarms
    assert RUNS * clients * records == received
    assert RUNS == len(runs)


@pytest.mark.slow
def test_forty_runs_of_processes_raise_no_alarm(tmp_path: Path, tally: Tally) -> None:
    """Four systems of processes with different settings make ten runs each, and all of them pass."""

    def run_ten(name: str) -> tuple[int, list[Summary]]:
        folder = tmp_path / name.replace(" ", "-")
        folder.mkdir()
        with LocalRun(folder, RUNS=RUNS, **LOCAL[name]) as run:
            return run.wait(SECONDS), wait_for_verdicts(run.volumes)

    with ThreadPoolExecutor(len(LOCAL)) as pool:
        results = dict(zip(LOCAL, pool.map(run_ten, LOCAL), strict=True))
    for name, (_, runs) in results.items():
        assert_no_alarms(tally, runs, int(str(LOCAL[name]["CLIENTS"])), int(str(LOCAL[name]["RECORDS"])))
    assert [0] * len(LOCAL) == [code for code, _ in results.values()]


@pytest.mark.containers
@pytest.mark.slow
def test_ten_runs_of_containers_raise_no_alarm(folder: Path, engine: None, tally: Tally) -> None:
    """Server, collector and five clients in containers make ten runs one after the other, and all of them pass."""
    began = time.monotonic()
    with Stack(folder, RUNS=RUNS, RATE=200, RECORDS=200, CLIENTS=5) as stack:
        stack.up(clients=5)
        assert_no_alarms(tally, wait_for_verdicts(stack.volumes), 5, 200)
    print(f"{RUNS} runs in {time.monotonic() - began:.0f} s")
