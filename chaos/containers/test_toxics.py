"""Injects toxics into TCP between real containers, a different one for each client: they delay, but lose nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from chaos.containers.container_lookup import Target
from chaos.containers.invariants import assert_all_delivered, head_at, recovery_seconds
from chaos.containers.toxics import KILLED_BEFORE, TOKEN, TOXICS, Round, ToxicNetwork, rounds_of, wait_running
from chaos.tally import Tally
from tests.integration.stack import Stack
from tests.poll import poll_until

pytestmark = [pytest.mark.containers, pytest.mark.slow]

RATE, RECORDS = 100, 15_000
CLIENTS = [Target("client", number) for number in range(1, len(TOXICS) + 1)]
NAMES = [str(client) for client in CLIENTS]
TIMES = 10
GONE_SECONDS = 20.0
"""A client that takes longer to recover fails the test."""
FINAL_RATE = 600
"""The rate of the rest of the run, after all rounds."""
SETTINGS = {
    "RATE": RATE,
    "RECORDS": RECORDS,
    "CLIENTS": len(CLIENTS),
    "BLOCK_SIZES": "5,10,25",
    "BLOCK_SECONDS": 0.5,
    "GRACE_SECONDS": 20,
    "CONTROL_TOKEN": TOKEN,
}


def test_a_toxic_network_costs_containers_time_alone(
    folder: Path, engine: None, seed: int, tally: Tally, capsys: pytest.CaptureFixture[str]
) -> None:
    """Eight toxics at once and kills, ten times: every record is logged once, and each client recovers every time."""
    with Stack(folder, **SETTINGS) as stack, capsys.disabled():
        # The host has an address in the network only once the network exists, so the clients are started afterwards.
        stack.up(clients=0)
        with ToxicNetwork(stack, seed) as network:
            stack.settings["SERVER_URL"] = network.url
            stack.scale(len(CLIENTS))
            stack.subscribed()
            for name in NAMES:
                stack.receipted(1, name)
            began = time.monotonic()
            for round_ in rounds_of(CLIENTS, TIMES, seed):
                print(f"\n{time.monotonic() - began:5.1f} s  {round_}", end="", flush=True)
                record_round(tally, round_, run_round(stack, network, round_))
            print(f"\n{len(tally.faults)} faults in {time.monotonic() - began:.0f} s: {json.dumps(recoveries(tally))}")
            network.set_rate(FINAL_RATE)
            stack.wait(timeout=120)
            summary = stack.volumes.verdict()
            if summary is not None:
                tally.add_totals(summary.totals)
            assert_all_delivered(stack.volumes, RECORDS, NAMES)
        assert set(TOXICS) <= {kind for kind, recovery_s in recoveries(tally).items() if recovery_s["times"] >= TIMES}


def run_round(stack: Stack, network: ToxicNetwork, round_: Round) -> dict[str, float]:
    """Begin each toxic, kill a container, end all toxics at once; return each client's recovery time in seconds."""
    ends = time.monotonic() + round_.toxics[0].seconds
    killed = round_.killed
    pid = wait_running(stack, killed) if killed else 0
    try:
        for item in round_.toxics:
            wait_until(ends - item.seconds)
            network.inject(item)
        if killed:
            wait_until(ends - KILLED_BEFORE)
            stack.kill(*killed)
            wait_running(stack, killed, instead_of=pid)
            network.reattach(killed, round_.toxics)
        wait_until(ends)
    finally:
        network.heal()
    assert head_at(stack.volumes, RECORDS, time.time()) < RECORDS, "the run ended before the faults"
    return recovery_seconds(stack.volumes, RECORDS, NAMES, GONE_SECONDS)


def wait_until(time_s: float) -> None:
    """Wait for a time of the monotonic clock."""
    left = time_s - time.monotonic()
    poll_until(lambda: time.monotonic() >= time_s, f"another {left:.1f} s have passed", max(left, 0) + 5, 0.02)


def record_round(tally: Tally, round_: Round, recovery_s: dict[str, float]) -> None:
    """Add the faults of a round to the tally, now that they have ended."""
    print("".join(f"  {name[-1]}: {seconds:.1f}" for name, seconds in recovery_s.items()), end="")
    for item in round_.toxics:
        tally.add_fault(item.kind, str(item.client), recovery_s[str(item.client)], beside=True)
    if round_.killed:
        recovery = max(recovery_s.values()) if round_.killed.service == "server" else recovery_s[str(round_.killed)]
        tally.add_fault(f"kill-{round_.killed.service}", str(round_.killed), recovery, beside=True)


def recoveries(tally: Tally) -> dict[str, dict[str, float]]:
    """Return for each kind the number of faults, and the median and largest recovery time in seconds."""
    kinds: dict[str, list[float]] = {}
    for fault in tally.faults:
        kinds.setdefault(fault.kind, []).append(fault.recovery_s or 0.0)
    return {kind: _figures(sorted(recovery_s)) for kind, recovery_s in sorted(kinds.items())}


def _figures(recovery_s: Sequence[float]) -> dict[str, float]:
    return {"times": len(recovery_s), "p50_s": recovery_s[len(recovery_s) // 2], "max_s": recovery_s[-1]}
