"""Whatever TCP suffers between real containers, every client something else and all at once: it costs time alone."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from chaos.containers.container_lookup import Place
from chaos.containers.invariants import assert_all_held, head_at, recovery_seconds
from chaos.containers.toxics import KILLED_BEFORE, TOKEN, TOXICS, Round, ToxicNetwork, rounds_of, running
from chaos.tally import Tally
from tests.asserts import known
from tests.integration.stack import Stack
from tests.poll import poll_until

pytestmark = [pytest.mark.containers, pytest.mark.slow]

RATE, RECORDS = 100, 15_000
CLIENTS = [Place("client", number) for number in range(1, len(TOXICS) + 1)]
NAMES = [str(client) for client in CLIENTS]
TIMES = 10
GONE_SECONDS = 20.0
"""Beyond which a client counts as gone for good."""
HURRIED = 600
"""The rate of what is left of the run when all rounds are over."""
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
    """Eight toxics at once, ten times, with kills beside: all is logged once, and fresh again after each heal."""
    with Stack(folder, **SETTINGS) as stack, capsys.disabled():
        # The network has an address of the host's only once it is there; the clients are told of it.
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
                enter(tally, round_, strike(stack, network, round_))
            print(f"\n{len(tally.faults)} faults in {time.monotonic() - began:.0f} s: {json.dumps(recoveries(tally))}")
            network.hurry(HURRIED)
            stack.wait(timeout=120)
            checked = stack.volumes.verdict()
            if checked is not None:
                sums = checked.totals
                tally.held(
                    sums.received,
                    lost=known(sums.missing) + abs(known(sums.residual)),
                    duplicated=known(sums.duplicates),
                )
            assert_all_held(stack.volumes, RECORDS, NAMES)
        assert set(TOXICS) <= {kind for kind, took in recoveries(tally).items() if took["times"] >= TIMES}


def strike(stack: Stack, network: ToxicNetwork, round_: Round) -> dict[str, float]:
    """Begin each toxic, kill meanwhile, end all at once; return how long each client took to recover."""
    ends = time.monotonic() + round_.struck[0].seconds
    killed = round_.killed
    pid = running(stack, killed) if killed else 0
    try:
        for one in round_.struck:
            wait_until(ends - one.seconds)
            network.strike(one)
        if killed:
            wait_until(ends - KILLED_BEFORE)
            stack.kill(*killed)
            running(stack, killed, instead_of=pid)
            network.came_back(killed, round_.struck)
        wait_until(ends)
    finally:
        network.heal()
    assert head_at(stack.volumes, RECORDS, time.time()) < RECORDS, "the run is over before the faults are"
    return recovery_seconds(stack.volumes, RECORDS, NAMES, GONE_SECONDS)


def wait_until(moment: float) -> None:
    """Wait for a time of the monotonic clock."""
    left = moment - time.monotonic()
    poll_until(lambda: time.monotonic() >= moment, f"another {left:.1f} s have passed", max(left, 0) + 5, 0.02)


def enter(tally: Tally, round_: Round, took: dict[str, float]) -> None:
    """Note the faults of a round, now that they have ended."""
    print("".join(f"  {name[-1]}: {seconds:.1f}" for name, seconds in took.items()), end="")
    for one in round_.struck:
        tally.fault(one.kind, str(one.client), took[str(one.client)], beside=True)
    if round_.killed:
        recovery = max(took.values()) if round_.killed.service == "server" else took[str(round_.killed)]
        tally.fault(f"kill-{round_.killed.service}", str(round_.killed), recovery, beside=True)


def recoveries(tally: Tally) -> dict[str, dict[str, float]]:
    """Return for each kind how often it struck, and what the median and the worst recovery took, in seconds."""
    kinds: dict[str, list[float]] = {}
    for fault in tally.faults:
        kinds.setdefault(fault.kind, []).append(fault.recovery_s or 0.0)
    return {kind: _figures(sorted(took)) for kind, took in sorted(kinds.items())}


def _figures(took: Sequence[float]) -> dict[str, float]:
    return {"times": len(took), "p50_s": took[len(took) // 2], "max_s": took[-1]}
